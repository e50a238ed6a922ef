"""ontora-etl: Ontora's interviews in your SQL warehouse, whole, current and with their history."""

__version__ = "0.1.0"
