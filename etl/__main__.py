"""The program's door. `--version` answers before anything is imported that takes time."""

from __future__ import annotations

import gc
import sys

from etl.cli.streams import guard, leave

# Starting makes many objects and loading makes many rows, but neither makes cycles: at Python's own
# threshold a third of the start goes into looking for them.
_OBJECTS_BEFORE_COLLECTING = 200_000


def main() -> None:
    """Run the command line; ends the process with the documented exit code."""
    guard()
    if sys.argv[1:] == ["--version"]:
        from etl import __version__  # noqa: PLC0415

        sys.stdout.write(f"ontora-etl {__version__}\n")
        leave(0)
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING)
    # httpx's own command line, which it can do without: it would bring rich, which a cron job has no use for.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # Python's word for "there is none"
    from etl.cli.app import run_command_line  # noqa: PLC0415

    run_command_line()


if __name__ == "__main__":
    main()
