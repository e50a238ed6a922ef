"""Where notifications arrive: an HTTP server that takes down what it is sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """Where the notifications arrive."""

    base_url: str
    status: int = 200
    seconds: float = 0
    pings: int = 0
    posts: list[Any] = field(default_factory=list)

    def environ(self) -> dict[str, str]:
        return {
            "HOOK": f"{self.base_url}/services/T0/B0/sEcReT",
            "HEARTBEAT": f"{self.base_url}/ping/sEcReT",
        }

    def texts(self) -> list[str]:
        """What has come since the last look."""
        texts = [post["text"] for post in self.posts]
        self.posts.clear()
        return texts


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    """One that runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.posts.append(json.loads(body))
            self.answer()

        def do_GET(self) -> None:
            made.pings += 1
            self.answer()

        def answer(self) -> None:
            time.sleep(made.seconds)
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()
