"""A stand-in for the Ontora API: for the demo, the tests and the benchmarks."""

from etl.standin.interviews import generate_interviews, write_answer
from etl.standin.server import StandIn

__all__ = ["StandIn", "generate_interviews", "write_answer"]
