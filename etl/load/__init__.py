"""A whole answer in, the warehouse changed by it: in one transaction, by set-based SQL."""

from etl.load.first import LostBet
from etl.load.job import Change, Counts, Job, Outcome
from etl.load.load import load
from etl.load.state import remember_success

__all__ = ["Change", "Counts", "Job", "LostBet", "Outcome", "load", "remember_success"]
