"""Something that a Postgres does once, in the middle of another's work."""

from __future__ import annotations

from tests.postgres import PostgresServer


def once_at_commit(server: PostgresServer, url: str, table: str, act: str) -> None:
    """Do this (PL/pgSQL) once, when the first transaction that has written to the table is about to commit.

    A rollback does not undo that it was done: a sequence counts.
    """
    with server.connect(url) as admin:
        admin.execute("CREATE SEQUENCE times")
        admin.execute(
            f"""
            CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('times') = 1 THEN {act}; END IF;
                RETURN NULL;
            END $$
            """
        )
        admin.execute(
            f"""
            CREATE CONSTRAINT TRIGGER act AFTER INSERT OR UPDATE ON {table}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION act()
            """
        )
