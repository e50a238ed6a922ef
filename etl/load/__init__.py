"""A whole answer in, the warehouse changed by it: in one transaction, by set-based SQL."""

from etl.load.job import Change, Counts, Job, Outcome
from etl.load.load import load

__all__ = ["Change", "Counts", "Job", "Outcome", "load"]
