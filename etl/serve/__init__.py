"""The daemon's HTTP side: health, metrics, status pages, webhooks. Needs the extra `serve`."""

from etl.serve.face import DaemonFace
from etl.serve.server import start_server
from etl.serve.wire import MOST_CONNECTIONS

__all__ = ["MOST_CONNECTIONS", "DaemonFace", "start_server"]
