"""How many files and connections this process may have open at once."""

from __future__ import annotations

import resource

from etl.errors import UsageError

# A connection to the API, the look-up of its address, two sessions of the warehouse, two temporary files.
_FILES_OF_A_DOWNLOAD = 6
_OTHERS = 32


def make_room_for_files(downloads: int, connections: int = 0) -> None:
    """See to it that so many downloads at a time, and so many connections from outside, find files to open.

    A process is given fewer than it may ask for: 256 by macOS, 1,024 by Linux. Raises UsageError where it
    may not ask for enough.
    """
    wanted = _OTHERS + _FILES_OF_A_DOWNLOAD * downloads + connections
    given, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _allows(given, wanted):
        return
    if not _allows(most, wanted):
        raise UsageError(
            f"{downloads} downloads at a time may take {wanted} open files; this process is allowed {most}",
            remedy="lower api.concurrency, or raise the limit (ulimit -n)",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _allows(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
