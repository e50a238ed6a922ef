"""The stand-in API in a process of its own, so that it shares no interpreter lock with what is measured.

`python -m tests.benchmarks.api` prints its address, then does what the lines on its standard input say.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from tests.benchmarks.children import KEY, REPOSITORY


class Api:
    """The stand-in API, from `with` on."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.api"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        self.base_url = self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(10)

    def serve(self, workspace_id: UUID, answer: Path) -> None:
        """The workspace answers this file from now on."""
        self._tell(serve=[str(workspace_id), str(answer)])

    def pace(self, bytes_per_second: float | None) -> None:
        """Answers travel at this pace; None is as fast as loopback goes."""
        self._tell(pace=bytes_per_second)

    def delay(self, seconds: float) -> None:
        """Every answer waits so long first."""
        self._tell(delay=seconds)

    def address(self, workspace_id: UUID) -> str:
        """The URL of a workspace's interviews."""
        return f"{self.base_url}/v1/interviews?workspace_id={workspace_id}"

    def _tell(self, **order: Any) -> None:
        self._process.stdin.write(json.dumps(order) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        self._line()

    def _line(self) -> str:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError("the stand-in API ended")
        return line.strip()


def _serve() -> None:
    from etl.standin import StandIn  # noqa: PLC0415  # only this process needs it

    with StandIn() as api:
        _say(api.base_url)
        for line in sys.stdin:
            match json.loads(line):
                case {"serve": [workspace_id, path]}:
                    if workspace_id not in api.worlds:
                        api.add_workspace(workspace_id, key=KEY)
                    api.set_body(workspace_id, Path(path))
                case {"pace": bytes_per_second}:
                    api.bytes_per_second = bytes_per_second
                case {"delay": seconds}:
                    api.latency_seconds = seconds
                case order:
                    raise AssertionError(f"no such order: {order}")
            _say("done")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
