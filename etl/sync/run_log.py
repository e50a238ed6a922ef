"""One line in the log for each run, with its facts for machines: `sync` and the daemon log alike."""

from __future__ import annotations

import logging

from etl.ledger import Trigger
from etl.sync.report import Report

log = logging.getLogger("ontora_etl.sync")

_TOLD = ("inserted", "updated", "deleted", "restored", "rejected", "stale", "duplicate", "held_deletes")


class RunLog:
    """Writes the lines; a warning that every run of a workspace repeats is written once."""

    def __init__(self) -> None:
        self._warned: dict[str, frozenset[str]] = {}

    def write(self, report: Report, trigger: Trigger) -> None:
        """A line for the run, and one for each warning that the run before did not have."""
        facts = {"trigger": trigger, **report.as_dict()}
        level = logging.ERROR if report.status == "failed" else logging.INFO
        log.log(level, "workspace %s: %s", report.name, _sentence(report), extra={"facts": facts})
        if report.status != "succeeded":
            return
        messages = frozenset(warning["message"] for warning in report.warnings)
        for message in sorted(messages - self._warned.get(report.name, frozenset())):
            log.warning("workspace %s: %s", report.name, message)
        self._warned[report.name] = messages

    def forget(self, name: str) -> None:
        """The workspace is configured no more."""
        self._warned.pop(name, None)


def _sentence(report: Report) -> str:
    if report.status == "skipped":
        return "skipped: another process is syncing it"
    if report.status == "failed":
        return f"failed after {report.duration_seconds:.1f} s: {report.error} [{report.error_code}]"
    counts = report.counts.as_dict()
    changes = [f"{counts[name]} {name.replace('_', ' ')}" for name in _TOLD if counts[name]]
    return (
        f"{report.status} in {report.duration_seconds:.1f} s: {counts['received']} received, "
        f"{', '.join(changes) or 'nothing new'}"
    )
