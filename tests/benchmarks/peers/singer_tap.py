"""A Singer tap for the interviews, as the SDK's template has it; `python singer_tap.py --config FILE`."""

from __future__ import annotations

from singer_sdk import Stream, Tap  # type: ignore[import-not-found]  # lives in an environment of its own
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator  # type: ignore[import-not-found]
from singer_sdk.streams import RESTStream  # type: ignore[import-not-found]

_TEXTS = (
    "description",
    "goal",
    "agent_behavior",
    "status",
    "channel",
    "interview_order",
    "created_by",
    "timezone",
    "scheduling_mode",
    "project_context",
    "success_criteria",
    "interview_context_for_employee",
    "interview_type",
    "welcome_screen",
    "closing_message",
    "folder",
    "recurring_interval",
    "workspace_id",
    "project_id",
    "name",
)
_NUMBERS = (
    "completion_threshold",
    "interview_duration_minutes",
    "quick_mode_hours",
    "contact_count",
    "completed_count",
    "scheduled_count",
)
_INSTANTS = ("timeframe_start", "timeframe_end", "created_at", "updated_at")


class Interviews(RESTStream):  # type: ignore[misc]
    """GET /v1/interviews."""

    name = "interviews"
    path = "/v1/interviews"
    primary_keys = ("id",)
    records_jsonpath = "$[*]"
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True),
        *(th.Property(name, th.StringType) for name in _TEXTS),
        *(th.Property(name, th.IntegerType) for name in _NUMBERS),
        *(th.Property(name, th.DateTimeType) for name in _INSTANTS),
        th.Property("start_immediately", th.BooleanType),
        th.Property("weekly_availability", th.ObjectType(additional_properties=True)),
    ).to_dict()

    @property
    def url_base(self) -> str:
        """Where the API is."""
        return str(self.config["base_url"])

    @property
    def authenticator(self) -> object:
        """The key goes in a header."""
        return APIKeyAuthenticator(key="X-API-Key", value=self.config["api_key"], location="header")

    def get_url_params(self, context: object, next_page_token: object) -> dict[str, str]:  # noqa: ARG002
        """Which workspace."""
        return {"workspace_id": self.config["workspace_id"]}


class TapOntora(Tap):  # type: ignore[misc]
    """One stream."""

    name = "tap-ontora"
    config_jsonschema = th.PropertiesList(
        th.Property("base_url", th.StringType, required=True),
        th.Property("api_key", th.StringType, required=True),
        th.Property("workspace_id", th.StringType, required=True),
    ).to_dict()

    def discover_streams(self) -> list[Stream]:
        """The one."""
        return [Interviews(self)]


if __name__ == "__main__":
    TapOntora.cli()
