"""Logs on stderr: a line each, as text for people or as JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from etl.cli.streams import is_unicode


def start_logging(form: str, level: str) -> None:
    """Send the program's logs to stderr from this level up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Their own talk is a level of detail that nobody asked for.
    for name in ("httpx", "httpcore", "alembic", "apscheduler", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its errors are how it cleaned up after a session that was lost: the loss itself is raised.
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)


def json_line(level: str, message: str) -> str:
    """What is told apart from the log, as one of its lines."""
    record = logging.makeLogRecord({"name": "ontora_etl", "levelname": level, "msg": message})
    return _JsonLines().format(record)


def _instant(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_instant(record)} {record.levelname.lower():7} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=not is_unicode(sys.stderr), default=str)
