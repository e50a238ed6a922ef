"""The daemon's HTTP side: health, metrics, status pages, webhooks. Needs the extra `serve`."""

from etl.serve.face import DaemonFace
from etl.serve.server import start_server

__all__ = ["DaemonFace", "start_server"]
