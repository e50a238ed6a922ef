"""An element of an answer in raw JSON, and what normalize makes of it."""

from __future__ import annotations

from etl.normalize import Notes, Reject, Row, normalize
from etl.normalize.interview import FIELDS
from tests.strategies import REQUIRED, WORKSPACE_ID

COLUMNS = (*FIELDS, "_extra", "_row_hash")
ID = "a2364367-c8fa-55f7-9dc0-e7cb978c22fc"
MINIMAL = {
    **dict.fromkeys(REQUIRED, "null"),
    "id": f'"{ID}"',
    "workspace_id": f'"{WORKSPACE_ID}"',
    "name": '"Shift handover"',
    "status": '"active"',
    "channel": '"google_meet"',
    "interview_order": '"seniority_high_first"',
    "completion_threshold": "70",
    "interview_duration_minutes": "20",
    "created_at": '"2026-01-01T00:00:00Z"',
    "updated_at": '"2026-01-02T00:00:00Z"',
}


def element(**fields: str | None) -> bytes:
    """An element of the always-sent fields, with the given ones in raw JSON; None leaves one out."""
    raw = {**MINIMAL, **fields}
    return (
        "{" + ",".join(f'"{name}":{value}' for name, value in raw.items() if value is not None) + "}"
    ).encode()


def read(raw: bytes, notes: Notes | None = None) -> Row | Reject:
    return normalize(raw, 7, b"digest", WORKSPACE_ID, notes or Notes())


def stored(raw: bytes, notes: Notes | None = None) -> dict[str, str | int | bool | None]:
    row = read(raw, notes)
    assert isinstance(row, Row), row
    assert (row.position, row.digest) == (7, b"digest")
    cells = dict(zip(COLUMNS, row.values, strict=True))
    assert row.updated_at == cells["updated_at"]
    return cells


def rejected(raw: bytes) -> Reject:
    reject = read(raw)
    assert isinstance(reject, Reject), reject
    assert reject.position == 7
    return reject
