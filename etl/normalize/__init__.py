"""Bytes of one array element in, one typed row or one reject out."""

from etl.normalize.element import NORMALIZATION_VERSION, Notes, Reject, Row, normalize

__all__ = ["NORMALIZATION_VERSION", "Notes", "Reject", "Row", "normalize"]
