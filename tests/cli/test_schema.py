"""`schema` prints every table, view and column, and needs neither configuration nor warehouse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl.cli.app import app
from etl.dictionary import relations
from etl.tables import metadata
from etl.views import VIEWS


def _printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["schema", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONTORA_ETL_CONFIG", raising=False)


def _sources() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load(_printed("--format", "dbt"))
    assert document["version"] == 2
    (source,) = document["sources"]
    return {table["name"]: table for table in source["tables"]}


def test_every_relation_and_column_has_a_meaning() -> None:
    assert {r.name for r in relations()} == {*metadata.tables, *(view.name for view in VIEWS)}
    for relation in relations():
        assert relation.comment
        assert {*relation.key} <= {column.name for column in relation.columns}
        assert all(column.comment for column in relation.columns), relation.name


def test_markdown_lists_everything() -> None:
    text = _printed()

    sections = {part.split("\n")[0]: part for part in text.split("### ")[1:]}
    for relation in relations():
        for column in relation.columns:
            assert f"| `{column.name}` | {column.type} |" in sections[relation.name]


def test_json_lists_everything() -> None:
    answer = json.loads(_printed("--format", "json"))

    listed = {r["name"]: [c["name"] for c in r["columns"]] for kind in answer.values() for r in kind}
    assert listed == {r.name: [c.name for c in r.columns] for r in relations()}
    (runs,) = [table for table in answer["tables"] if table["name"] == "sync_runs"]
    (status,) = [column for column in runs["columns"] if column["name"] == "status"]
    assert status == {
        "name": "status",
        "type": "text",
        "nullable": False,
        "comment": "running, succeeded, failed or interrupted",
        "accepted_values": ["running", "succeeded", "failed", "interrupted"],
    }


def test_dbt_sources_describe_everything() -> None:
    listed = {
        name: {column["name"]: column["description"] for column in table["columns"]}
        for name, table in _sources().items()
    }

    assert listed == {r.name: {c.name: c.comment for c in r.columns} for r in relations()}


def test_dbt_watches_freshness_and_keys() -> None:
    tables = _sources()

    assert tables["interviews"]["config"]["loaded_at_field"] == "_synced_at"
    assert tables["workspaces"]["config"]["loaded_at_field"] == "last_success_at"
    (key,) = [column for column in tables["interviews"]["columns"] if column["name"] == "id"]
    assert key["data_tests"] == ["not_null", "unique"]


def test_dbt_text_is_quoted_whatever_it_holds() -> None:
    text = _printed("--format", "dbt")

    assert "schema: \"{{ var('ontora_schema', 'public') }}\"" in text
    for line in text.splitlines():
        if "description:" in line:
            assert isinstance(json.loads(line.partition("description:")[2]), str)


def test_help_ends_in_an_example() -> None:
    assert "ontora-etl schema --format dbt > models/sources.yml" in _printed("--help")
