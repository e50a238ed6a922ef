"""A whole answer in, the warehouse changed by it: in one transaction, by set-based SQL."""

from etl.load.first import LostBet
from etl.load.job import Changes, Counts, Job, Outcome
from etl.load.load import load
from etl.load.state import REMEMBER_APPLIED, REMEMBER_SUCCESS, remembered

__all__ = [
    "REMEMBER_APPLIED",
    "REMEMBER_SUCCESS",
    "Changes",
    "Counts",
    "Job",
    "LostBet",
    "Outcome",
    "load",
    "remembered",
]
