"""The documentation's own example, and whole answers with known counts."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from etl.extract import windows
from etl.normalize import Notes, Reject, Row, normalize
from etl.normalize.interview import FIELDS
from tests.strategies import WORKSPACE_ID

CHECKOUT = Path(__file__).parents[2]

# From the documentation of `GET /v1/interviews`, as it stands there.
SEED = (CHECKOUT / "tests" / "data" / "seed.json").read_bytes()
SEED_VALUES: dict[str, str | int | bool | None] = {
    **dict.fromkeys(FIELDS, "<string>"),
    **dict.fromkeys(("id", "workspace_id", "project_id"), "3c90c3cc-0d44-4b50-8888-8dd25736052a"),
    **dict.fromkeys(("completion_threshold", "interview_duration_minutes", "quick_mode_hours"), 123),
    **dict.fromkeys(("created_at", "updated_at"), "2023-11-07 05:31:56.000000"),
    **dict.fromkeys(("timeframe_start", "timeframe_end"), "2023-11-07 05:31:56.000000"),
    **dict.fromkeys(("contact_count", "completed_count", "scheduled_count"), 0),
    "start_immediately": True,
    "scheduling_mode": "availability",
    "weekly_availability": "{}",
}


def test_the_documented_example_loads_as_it_stands() -> None:
    (raw,) = msgspec.json.decode(SEED, type=list[msgspec.Raw])
    notes = Notes()
    row = normalize(bytes(raw), 0, b"", UUID("3c90c3cc-0d44-4b50-8888-8dd25736052a"), notes)
    assert isinstance(row, Row)
    assert len(FIELDS) == 33
    assert dict(zip(FIELDS, row.values[:33], strict=True)) == SEED_VALUES
    assert row.values[33] is None
    assert notes == Notes()


@dataclass(frozen=True)
class Sample:
    """A whole answer, and what must come of it."""

    path: Path
    workspace_id: UUID
    received: int
    interviews: int
    duplicates: int
    rejected: int
    rejected_with_id: int
    notes: Notes


AWKWARD = Sample(
    CHECKOUT / "tests" / "data" / "awkward.json",
    WORKSPACE_ID,
    received=44,
    interviews=23,
    duplicates=2,
    rejected=19,
    rejected_with_id=13,
    notes=Notes(
        naive_instants=2,
        replaced_characters=4,
        unknown_fields={"sentiment_score", "score", "_synced_at", "id "},
    ),
)
ACME = Sample(
    CHECKOUT / "tests" / "data" / "interviews-acme.json.gz",
    UUID("0f4f6ad2-6d3e-4c0b-9b0a-3f6f3d0c7a11"),
    received=1500,
    interviews=1475,
    duplicates=9,
    rejected=16,
    rejected_with_id=10,
    notes=Notes(naive_instants=1, replaced_characters=1, unknown_fields={"sentiment_score", "tags"}),
)


def read(sample: Sample, window_bytes: int) -> tuple[list[Row], list[Reject], Notes]:
    rows: list[Row] = []
    rejects: list[Reject] = []
    notes = Notes()
    unpacked = gzip.decompress(raw) if (raw := sample.path.read_bytes()).startswith(b"\x1f\x8b") else raw
    with io.BytesIO(unpacked) as file:
        for window in windows(file, window_bytes):
            notes.replaced_characters += window.replaced
            for position, element in enumerate(window.elements, window.first):
                made = normalize(
                    bytes(element), position, b"", sample.workspace_id, notes, suspect=window.suspect
                )
                if isinstance(made, Row):
                    rows.append(made)
                else:
                    rejects.append(made)
    return rows, rejects, notes


@pytest.mark.parametrize("sample", [AWKWARD, ACME], ids=["awkward", "acme"])
@pytest.mark.parametrize("window_bytes", [512, 50_000, 2**21])
def test_a_whole_answer_has_its_known_counts(sample: Sample, window_bytes: int) -> None:
    rows, rejects, notes = read(sample, window_bytes)
    ids = {row.values[0] for row in rows}
    assert sorted([row.position for row in rows] + [reject.position for reject in rejects]) == list(
        range(sample.received)
    )
    assert (len(ids), len(rows) - len(ids)) == (sample.interviews, sample.duplicates)
    assert len(rejects) == sample.rejected
    assert sum(reject.interview_id is not None for reject in rejects) == sample.rejected_with_id
    assert notes == sample.notes


def test_the_awkward_elements_are_rejected_for_the_right_reasons() -> None:
    _, rejects, _ = read(AWKWARD, 2**21)
    assert Counter((reject.reason, reject.field) for reject in rejects) == {
        ("invalid_instant", "created_at"): 1,
        ("invalid_instant", "timeframe_end"): 1,
        ("invalid_instant", "updated_at"): 1,
        ("wrong_type", "completion_threshold"): 2,
        ("wrong_type", "contact_count"): 1,
        ("out_of_range", "contact_count"): 1,
        ("wrong_type", "start_immediately"): 1,
        ("wrong_type", "weekly_availability"): 1,
        ("out_of_range", "_extra"): 1,
        ("null_not_allowed", "name"): 1,
        ("missing_field", "status"): 1,
        ("missing_field", "id"): 1,
        ("foreign_workspace", "workspace_id"): 1,
        ("invalid_uuid", "id"): 1,
        ("not_an_object", "number"): 1,
        ("not_an_object", "string"): 1,
        ("not_an_object", "null"): 1,
        ("not_an_object", "array"): 1,
    }


def test_the_awkward_interviews_are_stored_as_they_were_meant() -> None:
    rows, _, _ = read(AWKWARD, 2**21)
    by_name = {row.values[3]: dict(zip((*FIELDS, "_extra"), row.values, strict=False)) for row in rows}
    expected: dict[str, dict[str, str | int | bool | None]] = {
        "only the always-sent fields": {"contact_count": 0, "start_immediately": True, "timezone": None},
        "all optional fields null": {"contact_count": 0, "scheduling_mode": "availability"},
        "no offset": {"updated_at": "2026-03-02 09:30:00.000000"},
        "offset": {"updated_at": "2026-03-02 09:30:00.000000"},
        "space and nanoseconds": {"updated_at": "2026-03-02 09:30:00.123457"},
        "lower-case z": {"updated_at": "2026-03-02 09:30:00.000000"},
        "year 1": {"timeframe_start": "0001-01-01 00:00:00.000000"},
        "upper-case uuid": {"id": "a2364367-c8fa-55f7-9dc0-e7cb978c22fc"},
        "hyphenless uuid": {"id": "8bf32c0d-41ae-51ab-a183-f1bc5bbe8736"},
        "integral float": {"contact_count": 12},
        "over 32 bits": {"contact_count": 2**53 + 1, "completed_count": 2**63 - 1, "scheduled_count": -1},
        "nul": {"goal": "a\ufffdb"},
        "lone surrogate": {"goal": "\ufffd."},
        "surrogate pair": {"goal": "\U0001f600"},
        "backslash before u0000": {"goal": r"\u0000"},
        "right to left": {"goal": "\u05e9\u05dc\u05d5\u05dd \u202e!"},
        "separators in text": {"goal": '},{ ] " \\ \t \x1d\x1e\x1f \\N'},
        "sql": {"goal": "'; drop table interviews; --"},
        "nul in availability": {"weekly_availability": '{"m\ufffdn":"\ufffd"}'},
        "unknown fields": {"_extra": '{"_synced_at":"2001-01-01","id ":1,"sentiment_score":0.30}'},
        "unknown status": {"status": "dreaming", "interview_type": "telepathy"},
        "duplicate key": {"name": "duplicate key"},
    }
    for name, cells in expected.items():
        assert {field: by_name[name][field] for field in cells} == cells
