"""The warehouse as a place: engines, transactions, locks, bulk loading, and the schema's revision."""

from etl.warehouse.connection import Warehouse, open_warehouse
from etl.warehouse.dialect import BulkWriter, Cell, Dialect

__all__ = ["BulkWriter", "Cell", "Dialect", "Warehouse", "open_warehouse"]
