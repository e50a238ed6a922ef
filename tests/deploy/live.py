"""Use the files of `config/` on an installed program: the container's health check, cron's lines, a scrape.

    BIN/python -m tests.deploy.live SCRAPE

`ontora-etl` is in BIN; the scrape goes to the file SCRAPE. Everything runs against the stand-in API on
loopback, and ends with 1 and a sentence at the first thing that is wrong.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from etl.standin import StandIn, generate_interviews
from tests.deploy import crontab
from tests.deploy.image_steps import instructions

BIN = Path(sys.executable).parent
WORKSPACE = uuid.UUID("9eed4812-253d-59ff-9b47-82190ea2ccf9")
PATIENCE_SECONDS = 60


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


def require(truth: object, otherwise: str) -> None:
    if not truth:
        sys.exit(f"  wrong: {otherwise}")


def health_check(port: int) -> list[str]:
    """The Dockerfile's, asking another port."""
    given = next(rest for word, rest in instructions() if word == "HEALTHCHECK")
    words = json.loads(given.partition("CMD ")[2])
    return [str(BIN / words[0]), *(word.replace("8080", str(port)) for word in words[1:])]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


def wait_until(port: int, path: str, wanted: str, daemon: subprocess.Popen[bytes]) -> str:
    last = ""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        require(daemon.poll() is None, f"the daemon ended with {daemon.returncode}")
        status, last = get(port, path)
        if status == 200 and wanted in last:
            return last
        time.sleep(0.1)
    return sys.exit(f"  wrong: {path} does not show {wanted!r}: {last[:2000]}")


def try_crontab(config: Path) -> None:
    content = config.read_text()
    folder = config.parent
    (folder / "keys.env").touch(mode=0o600)  # the key is in a file of its own
    places = {crontab.PROGRAM_FOLDER: BIN, crontab.CONFIG_FOLDER: folder, crontab.STATE_FOLDER: folder}
    for schedule, command in crontab.jobs():
        done = crontab.as_cron(command, folder, places, crontab.variables())
        require(done.returncode == 0, f"cron: {command!r} ended with {done.returncode}: {done.stdout}")
        require(not done.stdout, f"cron: {command!r} would mail: {done.stdout}")
        config.write_text(content.replace("[warehouse]", "[warehose]"))
        done = crontab.as_cron(command, folder, places, crontab.variables())
        config.write_text(content)
        require("warehose" in done.stdout, f"cron: {command!r} is quiet about a bad configuration")
        say(f"cron: {schedule}  {command}: quiet when all is well, speaks when not")


def try_daemon(config: Path, scrape: Path) -> None:
    port = free_port()
    command = [str(BIN / "ontora-etl"), "--log-format", "json", "run", "--listen", f"127.0.0.1:{port}"]
    environ = os.environ | {"ONTORA_ETL_CONFIG": str(config), "http_proxy": "http://127.0.0.1:9"}
    log = config.parent / "daemon.log"
    with log.open("wb") as file:
        daemon = subprocess.Popen(command, env=environ, cwd=config.parent, stderr=file)
    try:
        wait_until(port, "/healthz", "ok", daemon)
        up = subprocess.run(health_check(port), env=environ, check=False)
        require(up.returncode == 0, "the health check fails")
        say("the Dockerfile's health check: 0 while the daemon is up")
        wait_until(port, "/readyz", "", daemon)
        wait_until(port, "/", "acme", daemon)
        text = wait_until(port, "/metrics", 'last_success_timestamp_seconds{workspace="acme"}', daemon)
        scrape.write_text(text)
        say(f"a scrape of {len(text.splitlines())} lines")
    except BaseException:
        sys.stderr.write(log.read_text())
        raise
    finally:
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(PATIENCE_SECONDS)
    require(code == 0, f"the daemon ended with {code} on SIGTERM")
    down = subprocess.run(health_check(port), env=environ, capture_output=True, check=False)
    require(down.returncode != 0, "the health check passes with no daemon")
    say("the daemon: 0 on SIGTERM, and the health check fails")


def main() -> None:
    scrape = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name, StandIn() as api:
        folder = Path(name)
        interviews = list(generate_interviews(40, workspace_id=WORKSPACE))
        api.add_workspace(WORKSPACE, key="made-up", interviews=interviews)
        (folder / "key").write_text("made-up\n")
        (folder / "key").chmod(0o600)
        config = folder / "etl.toml"
        config.write_text(
            f'[api]\nbase_url = "{api.base_url}"\n[warehouse]\nurl = "sqlite:///{folder}/warehouse.db"\n'
            f'[[workspaces]]\nname = "acme"\nid = "{WORKSPACE}"\napi_key_file = "{folder}/key"\n'
            'schedule = "every 2s"\n'
        )
        try_crontab(config)
        try_daemon(config, scrape)


if __name__ == "__main__":
    main()
