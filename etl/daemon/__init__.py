"""The daemon: when to walk, how often at a time, what to do after a failure, and how to end."""

from etl.daemon.daemon import Daemon

__all__ = ["Daemon"]
