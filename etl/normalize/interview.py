"""An interview as the API documents it: 33 fields, their types, nullability and defaults.

Source: `GET /v1/interviews`, response schema. What is not `| None` here is never null there.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Context, Decimal
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what BIGINT holds


class Interview(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One element of the answer, decoded. An unknown field is an error here: `element.py` keeps it."""

    id: UUID
    workspace_id: UUID
    project_id: UUID | None
    name: str
    description: str | None
    goal: str | None
    agent_behavior: str | None
    status: str
    channel: str
    completion_threshold: Integer
    timeframe_start: datetime | None
    timeframe_end: datetime | None
    interview_order: str
    interview_duration_minutes: Integer
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    timezone: str | None = None
    # Documented as never null, with a default: a null is read as the default, like an absent field.
    start_immediately: bool | None = True
    scheduling_mode: str | None = "availability"
    quick_mode_hours: Integer | None = None
    weekly_availability: dict[str, Any] | None = None
    project_context: str | None = None
    success_criteria: str | None = None
    interview_context_for_employee: str | None = None
    interview_type: str | None = None
    welcome_screen: str | None = None
    closing_message: str | None = None
    folder: str | None = None
    recurring_interval: str | None = None
    contact_count: Integer | None = 0
    completed_count: Integer | None = 0
    scheduled_count: Integer | None = 0


# What a null is read as, where the API documents a default and no null.
DEFAULTS = {
    "start_immediately": True,
    "scheduling_mode": "availability",
    "contact_count": 0,
    "completed_count": 0,
    "scheduled_count": 0,
}
FIELDS = Interview.__struct_fields__
INTEGER_FIELDS = frozenset(
    {
        "completion_threshold",
        "interview_duration_minutes",
        "quick_mode_hours",
        "contact_count",
        "completed_count",
        "scheduled_count",
    }
)

# Numbers of undocumented fields keep every digit they were sent with. An exponent too large even for
# Python's decimals makes a NaN, which no warehouse is given.
decimal = partial(Decimal, context=Context(traps=[]))

decode_interview = msgspec.json.Decoder(Interview, float_hook=decimal).decode
decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_anything = msgspec.json.Decoder(float_hook=decimal).decode
encode_canonically = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
encode_compactly = msgspec.msgpack.Encoder().encode
