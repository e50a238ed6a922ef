"""A daemon in this process starts from what acceptance tests start from."""

from tests.acceptance.conftest import api, program

__all__ = ["api", "program"]
