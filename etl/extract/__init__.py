"""Settings and a workspace in, the answer out: whole, trusted, spooled, readable in windows."""

from etl.extract.client import Downloads, heeds_proxies
from etl.extract.interviews import fetch_interviews, probe_interviews
from etl.extract.spool import Answer
from etl.extract.windows import Window, windows

__all__ = [
    "Answer",
    "Downloads",
    "Window",
    "fetch_interviews",
    "heeds_proxies",
    "probe_interviews",
    "windows",
]
