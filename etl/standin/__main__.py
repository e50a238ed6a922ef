"""`python -m etl.standin`: a stand-in API to try the program on, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import threading
import uuid
from pathlib import Path

from etl.standin import StandIn, generate_interviews

_NAMESPACE = uuid.UUID("0b1f8f0e-52d6-5a0a-9f3b-8f6f5f2f7a10")
_KEY = "ont_live_standin"
_HEAD = "# Written by python -m etl.standin, which writes it anew.\n"


def main() -> None:
    """Serve generated workspaces on loopback."""
    parser = argparse.ArgumentParser(prog="python -m etl.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--workspaces", type=int, default=20)
    parser.add_argument("--interviews", type=int, default=500, help="in each workspace")
    parser.add_argument("--gzip", action="store_true", help="pack answers for clients that ask for it")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before each answer")
    parser.add_argument("--config", type=Path, help="write a configuration for these workspaces to this file")
    words = parser.parse_args()
    names = [f"ws-{number:02}" for number in range(1, words.workspaces + 1)]
    try:
        standin = StandIn(port=words.port, gzip=words.gzip)
    except (OSError, OverflowError) as error:  # the port is taken, or no port at all
        why = error.strerror if isinstance(error, OSError) else error
        parser.error(f"cannot listen on port {words.port} ({why}): name another one with --port")
    with standin as api:
        api.latency_seconds = words.latency
        for name in names:
            workspace_id = uuid.uuid5(_NAMESPACE, name)
            interviews = generate_interviews(words.interviews, workspace_id=workspace_id)
            api.add_workspace(workspace_id, key=_KEY, interviews=interviews)
        if words.config:
            try:
                _write(words.config, _configuration(api.base_url, names))
            except OSError as error:
                parser.error(
                    f"cannot write {words.config} ({error.strerror}): name another one with --config"
                )
        sys.stdout.write(f"export ONTORA_API_KEY={_KEY}\nserving {api.base_url} until Ctrl-C\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


def _write(config: Path, text: str) -> None:
    """Never over a file that somebody else has written."""
    is_ours = config.is_file() and config.read_text("utf-8", errors="replace").startswith(_HEAD)
    with config.open("w" if is_ours else "x", encoding="utf-8") as file:
        file.write(text)


def _configuration(base_url: str, names: list[str]) -> str:
    head = f'{_HEAD}[api]\nbase_url = "{base_url}"\n'
    one = '\n[[workspaces]]\nname = "{}"\nid = "{}"\napi_key_env = "ONTORA_API_KEY"\n'
    return head + "".join(one.format(name, uuid.uuid5(_NAMESPACE, name)) for name in names)


if __name__ == "__main__":
    main()
