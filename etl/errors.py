"""What can go wrong: the one tree of errors, each with the code that the ledger and `--json` show.

An error carries one line for people: what failed and where (`message`), and what to do (`remedy`).
"""

from __future__ import annotations

from collections.abc import Sequence


class EtlError(Exception):
    """Anything that a user, the network or the database can cause."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class UsageError(EtlError):
    """The command line asks for what does not exist."""

    code = "usage_error"
    exit_code = 2


class ConfigError(EtlError):
    """The configuration cannot be used; `faults` has a line for each fault, with file and key."""

    code = "config_error"
    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


# --- the warehouse as a whole: exit 3 ---


class WarehouseError(EtlError):
    """The warehouse cannot be reached or used."""

    code = "warehouse_unreachable"
    exit_code = 3


class SchemaNotAtHead(WarehouseError):
    """The warehouse's schema is behind, ahead of, or damaged against what this program needs."""

    code = "schema_not_at_head"


class DriverMissing(WarehouseError):
    """The URL names a database whose driver is an extra that is not installed."""

    code = "driver_missing"


# --- one workspace's run: exit 1, the others go on ---


class SyncError(EtlError):
    """One workspace could not be synced; nothing of its answer was applied."""

    code = "sync_error"


class ConnectError(SyncError):
    """The API could not be reached, or the connection broke, on every attempt."""

    code = "connect_error"


class AnswerTimeout(SyncError):
    """The wire was silent for `api.timeout_seconds` on every attempt."""

    code = "timeout"


class IncompleteAnswer(SyncError):
    """The body ended before the length or the last chunk it announced, on every attempt."""

    code = "incomplete_answer"


class DeadlineExceeded(SyncError):
    """Download, retries and waits together took longer than `api.deadline_seconds`."""

    code = "deadline_exceeded"


class RateLimited(SyncError):
    """429 on every attempt, or a Retry-After, of any status that is retried, beyond the deadline."""

    code = "rate_limited"


class ServerError(SyncError):
    """A 5xx answer on every attempt."""

    code = "server_error"


class InvalidApiKey(SyncError):
    """401: the key is missing, malformed, revoked or expired."""

    code = "invalid_api_key"


class WorkspaceForbidden(SyncError):
    """403: the key belongs to another workspace."""

    code = "workspace_forbidden"


class InsufficientScope(SyncError):
    """403: the key lacks the scope that reading interviews needs."""

    code = "insufficient_scope"


class RequestRefused(SyncError):
    """Another 4xx answer (404, 422 …): asking again would change nothing."""

    code = "request_refused"


class UnexpectedRedirect(SyncError):
    """A redirect: the key is not carried to wherever it points."""

    code = "unexpected_redirect"


class UnexpectedAnswer(SyncError):
    """A 200 that is not the documented JSON array: a proxy's page, a cut or broken body."""

    code = "unexpected_answer"


class ResponseTooLarge(SyncError):
    """The body is longer than `api.max_response_bytes` after decompression."""

    code = "response_too_large"


class SpoolError(SyncError):
    """The answer could not be kept on the local disk while it arrived."""

    code = "spool_error"


class SchemaMismatch(SyncError):
    """More than half of the rows were rejected for one reason: the API changed, not the data."""

    code = "schema_mismatch"


class WarehouseLocked(SyncError):
    """Another session held a lock for longer than the deadline."""

    code = "warehouse_locked"


class WarehouseFull(SyncError):
    """The warehouse's disk is full."""

    code = "warehouse_full"


class WarehouseLost(SyncError):
    """The connection to the warehouse broke while the run was opened, or twice during the load."""

    code = "warehouse_lost"


class WarehouseRefused(SyncError):
    """The warehouse refused a statement of the load."""

    code = "warehouse_error"


class WarehouseDamaged(SyncError):
    """The warehouse's data is damaged: no run can be trusted to it."""

    code = "warehouse_damaged"
    exit_code = 3


class LoadConflict(SyncError):
    """Another transaction changed a row between our look at it and our write: worth loading again."""

    code = "warehouse_error"


class Interrupted(SyncError):
    """The process was told to stop; the run changed nothing."""

    code = "interrupted"


class UnexpectedFault(SyncError):
    """A fault of the program itself, kept to one workspace; the log has it whole."""

    code = "internal_error"
