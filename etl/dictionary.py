"""The data dictionary: every table, view and column with its meaning, as Markdown, JSON or dbt sources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CheckConstraint, Table

from etl.tables import metadata
from etl.views import VIEWS, View, type_name

_MEMBERSHIP = re.compile(r"(\w+) IN \(([^()]*)\)")

# Which column tells how fresh a relation is, and when that is too old. Content may rightly rest for a while;
# a workspace that has not synced for a day is a fault.
_HOUR, _DAY = "hour", "day"
_FRESHNESS: dict[str, tuple[str, dict[str, Any]]] = {
    "interviews": ("_synced_at", {"warn_after": {"count": 30, "period": _DAY}}),
    "workspaces": (
        "last_success_at",
        {"warn_after": {"count": 6, "period": _HOUR}, "error_after": {"count": 24, "period": _HOUR}},
    ),
    "sync_health": (
        "last_success_at",
        {"warn_after": {"count": 6, "period": _HOUR}, "error_after": {"count": 24, "period": _HOUR}},
    ),
}

# Where a column's values are keys of another table: only where no row may ever be without its partner.
_REFERENCES = {
    ("interviews", "workspace_id"): ("workspaces", "workspace_id"),
    ("interviews", "_run_id"): ("sync_runs", "id"),
    ("interviews_history", "id"): ("interviews", "id"),
    ("interviews_history", "_run_id"): ("sync_runs", "id"),
    ("sync_runs", "workspace_id"): ("workspaces", "workspace_id"),
    ("rejected_rows", "workspace_id"): ("workspaces", "workspace_id"),
    ("interview_versions", "id"): ("interviews", "id"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `accepted` are the values of a closed set, empty where the set is open."""

    name: str
    type: str
    nullable: bool
    comment: str
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view. `key` names the columns that tell its rows apart."""

    kind: str
    name: str
    comment: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def relations() -> list[Relation]:
    """Every table, then every view."""
    return [*map(_table, metadata.tables.values()), *map(_view, VIEWS)]


def _table(table: Table) -> Relation:
    accepted = _closed_sets(table)
    return Relation(
        "table",
        table.name,
        table.comment or "",
        tuple(column.name for column in table.primary_key),
        tuple(
            Column(c.name, type_name(c.type), bool(c.nullable), c.comment or "", accepted.get(c.name, ()))
            for c in table.columns
        ),
    )


def _closed_sets(table: Table) -> dict[str, tuple[str, ...]]:
    """By column: the values that the table's CHECK constraints allow."""
    found = {}
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint):
            whole = _MEMBERSHIP.fullmatch(str(constraint.sqltext))
            if whole:
                found[whole[1]] = tuple(re.findall(r"'([^']*)'", whole[2]))
    return found


def _view(view: View) -> Relation:
    columns = tuple(Column(c.name, c.type, c.nullable, c.comment) for c in view.columns)
    return Relation("view", view.name, view.comment, view.key, columns)


def as_json() -> dict[str, list[dict[str, Any]]]:
    """The dictionary for programs: `{"tables": […], "views": […]}`."""
    return {
        f"{kind}s": [
            {
                "name": relation.name,
                "comment": relation.comment,
                "key": list(relation.key),
                "columns": [
                    {
                        "name": column.name,
                        "type": column.type,
                        "nullable": column.nullable,
                        "comment": column.comment,
                        **({"accepted_values": list(column.accepted)} if column.accepted else {}),
                    }
                    for column in relation.columns
                ],
            }
            for relation in relations()
            if relation.kind == kind
        ]
        for kind in ("table", "view")
    }


def as_markdown() -> str:
    """The dictionary for people."""
    lines = [
        "# Data dictionary",
        "",
        "Types as in Postgres. In SQLite `timestamptz` is text `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, `date`",
        "is text `YYYY-MM-DD`, `uuid` is 36-character lower-case text, `jsonb` is text, `boolean` is 0 or 1.",
        "",
    ]
    for kind in ("table", "view"):
        lines += [f"## {kind.capitalize()}s", ""]
        for relation in relations():
            if relation.kind == kind:
                lines += _markdown_section(relation)
    return "\n".join(lines)


def _markdown_section(relation: Relation) -> list[str]:
    key = ", ".join(f"`{name}`" for name in relation.key)
    return [
        f"### {relation.name}",
        "",
        f"{relation.comment}. Key: {key}.",
        "",
        "| column | type | null | meaning |",
        "|---|---|---|---|",
        *map(_markdown_row, relation.columns),
        "",
    ]


def _markdown_row(column: Column) -> str:
    null = "yes" if column.nullable else "no"
    return f"| `{column.name}` | {column.type} | {null} | {column.comment.replace('|', '/')} |"


def as_dbt() -> str:
    """A `sources.yml` for dbt: descriptions, tests and freshness.

    The source's schema is the dbt variable `ontora_schema`, `public` where it is not set.
    """
    source = {
        "name": "ontora",
        "description": "Ontora's interviews, synced by ontora-etl",
        "schema": "{{ var('ontora_schema', 'public') }}",
        "tables": [_dbt_relation(relation) for relation in relations()],
    }
    head = "# Written by: ontora-etl schema --format dbt\n"
    return head + "\n".join(_yaml({"version": 2, "sources": [source]})) + "\n"


def _dbt_relation(relation: Relation) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": relation.name, "description": relation.comment}
    if relation.name in _FRESHNESS:
        column, freshness = _FRESHNESS[relation.name]
        entry["config"] = {"loaded_at_field": column, "freshness": freshness}
    entry["columns"] = [_dbt_column(relation, column) for column in relation.columns]
    return entry


def _dbt_column(relation: Relation, column: Column) -> dict[str, Any]:
    tests: list[Any] = [] if column.nullable else ["not_null"]
    if relation.key == (column.name,):
        tests.append("unique")
    if column.accepted:
        tests.append({"accepted_values": {"arguments": {"values": list(column.accepted)}}})
    if reference := _REFERENCES.get((relation.name, column.name)):
        table, field = reference
        arguments = {"to": f"source('ontora', '{table}')", "field": field}
        tests.append({"relationships": {"arguments": arguments}})
    entry: dict[str, Any] = {
        "name": column.name,
        "description": column.comment,
        "data_type": column.type,
    }
    if tests:
        entry["data_tests"] = tests
    return entry


def _yaml(node: Mapping[str, Any] | Sequence[Any], indent: str = "") -> Iterator[str]:
    """The lines of a YAML block. Text is quoted as in JSON, which YAML reads the same."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, Mapping | list):
                yield f"{indent}{key}:"
                yield from _yaml(value, indent + "  ")
            else:
                yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}"
        return
    for item in node:
        if isinstance(item, Mapping):
            first, *rest = _yaml(item, indent + "  ")
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{indent}- {json.dumps(item, ensure_ascii=False)}"
