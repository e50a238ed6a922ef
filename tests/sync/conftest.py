"""Whole passes start from what acceptance tests start from."""

from tests.acceptance.conftest import api, either, program

__all__ = ["api", "either", "program"]
