"""The scratch tables live as long as a session, and a pooler's sessions outlive programs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Text

from etl.load.scratch import _scratch


def test_tables_of_other_columns_have_other_names() -> None:
    columns = [("a", Text, False), ("b", Text, False), ("a", BigInteger, False), ("a", Text, True)]
    names = {_scratch("x", Column(name, kind, nullable=null)).name for name, kind, null in columns}
    assert len(names) == len(columns)
    assert (
        _scratch("y", Column("a", Text)).name == "ontora_etl_y" + _scratch("z", Column("a", Text)).name[12:]
    )
