"""Whole passes start from what acceptance tests start from."""

from tests.acceptance.conftest import api, either, new_either, new_program, program

__all__ = ["api", "either", "new_either", "new_program", "program"]
