"""SIGHUP: the configuration anew, or the old one where the new one cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from msgspec.structs import replace

from etl.config import Settings, load_settings
from etl.errors import ConfigError

log = logging.getLogger("ontora_etl.daemon")

_FIXED = ("api", "warehouse", "serve")
"""Sections whose connections and ports stand for the daemon's whole life."""


def read_again(settings: Settings, environ: Mapping[str, str]) -> Settings | None:
    """The settings as their file now says; None where it is faulty: the log has each fault."""
    try:
        found = load_settings(settings.source, environ)
    except ConfigError as error:
        for fault in error.faults:
            log.error("%s", fault)  # noqa: TRY400  # its text is for people, its traceback for nobody
        log.error("the configuration cannot be used; the one from before stays in force")  # noqa: TRY400
        return None
    for warning in found.warnings:
        log.warning("%s", warning)
    for section in _FIXED:
        if getattr(found, section) != getattr(settings, section):
            log.warning("[%s] has changed: that takes effect when the daemon is started again", section)
    return replace(found, **{section: getattr(settings, section) for section in _FIXED})
