"""The SQL of a load, statement by statement, the same text for Postgres and SQLite.

`{content}` is the list of content columns.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, TextClause

from etl.column_types import Instant, Json
from etl.load.scratch import classified, known, seen, staged
from etl.statement import statement
from etl.tables import CONTENT_COLUMNS, FIELD_NAMES, interviews

_WORDS = {
    "seen": seen.name,
    "known": known.name,
    "staged": staged.name,
    "classified": classified.name,
    "content": ", ".join(CONTENT_COLUMNS),
    "i_content": ", ".join(f"i.{name}" for name in CONTENT_COLUMNS),
    "s_content": ", ".join(f"s.{name}" for name in CONTENT_COLUMNS),
    "content_from_excluded": ", ".join(
        f"{name} = excluded.{name}" for name in CONTENT_COLUMNS if name != "id"
    ),
}


def _sql(words: str, **more: str) -> TextClause:
    return statement(words.format(**_WORDS, **more))


# --- stage: which elements are known by their bytes ---

# CROSS JOIN holds SQLite to this order: over the workspace's digests, into the index of `seen`.
STAGE_KNOWN = _sql("""
    INSERT INTO {known} (position, interview_id)
    SELECT s.position, d.interview_id
    FROM interview_digests d CROSS JOIN {seen} s
    WHERE d.workspace_id = :workspace_id AND s.digest = d.digest
""")

UNKNOWN_POSITIONS = _sql("""
    SELECT s.position
    FROM {seen} s
    WHERE NOT EXISTS (SELECT 1 FROM {known} k WHERE k.position = s.position)
    ORDER BY s.position
""")

KNOWN_EXTRAS = _sql("""
    SELECT DISTINCT i._extra AS extra
    FROM {known} k JOIN interviews i ON i.id = k.interview_id
    WHERE i._extra IS NOT NULL
""")

# --- classify ---

# Equal ids in one answer: the greatest updated_at wins, then the later position. A known element competes
# with what is stored for it, which is what it says.
CLASSIFY = _sql("""
    INSERT INTO {classified} (position, id, fate, restored, old_run_id, old_workspace_id)
    WITH candidates AS (
        SELECT position, id, updated_at, _row_hash FROM {staged} WHERE reason IS NULL
        UNION ALL
        SELECT k.position, i.id, i.updated_at, i._row_hash
        FROM {known} k JOIN interviews i ON i.id = k.interview_id
        WHERE k.interview_id IN (SELECT id FROM {staged} WHERE reason IS NULL)
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY id ORDER BY updated_at DESC, position DESC) AS place
        FROM candidates
    ), judged AS (
        SELECT r.position, r.id, i._run_id, i.workspace_id, i._deleted_at, r.place,
            CASE
                WHEN r.place > 1 THEN 'duplicate'
                WHEN i.id IS NULL THEN 'inserted'
                WHEN r.updated_at < i.updated_at THEN 'stale'
                WHEN r._row_hash = i._row_hash THEN 'unchanged'
                ELSE 'updated'
            END AS fate
        FROM ranked r LEFT JOIN interviews i ON i.id = r.id
    )
    SELECT position, id, fate,
        place = 1 AND _deleted_at IS NOT NULL AND (fate = 'updated' OR workspace_id = :workspace_id),
        _run_id, workspace_id
    FROM judged
""")

# Only the workspace's own rows, and where a project is asked for only that project's (promise 6). Ids of
# rejected elements count as present: they stand in `staged` too.
CLASSIFY_GONE = _sql("""
    INSERT INTO {classified} (position, id, fate, restored, old_run_id, old_workspace_id)
    SELECT NULL, i.id, 'gone', false, i._run_id, i.workspace_id
    FROM interviews i
    WHERE i.workspace_id = :workspace_id AND i._deleted_at IS NULL
        AND (:project_id IS NULL OR i.project_id = :project_id)
        AND NOT EXISTS (SELECT 1 FROM {known} k WHERE k.interview_id = i.id)
        AND NOT EXISTS (SELECT 1 FROM {staged} s WHERE s.id = i.id)
""")

COUNT_ACTIVE = _sql("""
    SELECT count(*) FROM interviews
    WHERE workspace_id = :workspace_id AND _deleted_at IS NULL
        AND (:project_id IS NULL OR project_id = :project_id)
""")

FORGET_GONE = _sql("DELETE FROM {classified} WHERE fate = 'gone'")


def lock_changing(row_lock: str) -> TextClause:
    """Lock the rows about to change; tells which ones changed since, and how new the newest is."""
    return _sql(
        """
        WITH changing AS (
            SELECT i._run_id <> c.old_run_id AS moved_on, coalesce(i._deleted_at, i._synced_at) AS valid_from
            FROM {classified} c JOIN interviews i ON i.id = c.id
            WHERE c.fate IN ('updated', 'gone') OR c.restored
            ORDER BY i.id
            {row_lock}
        )
        SELECT count(CASE WHEN moved_on THEN 1 END) AS moved_on, max(valid_from) AS valid_from FROM changing
        """,
        row_lock=row_lock,
    )


# --- history ---

KEEP_VERSIONS = _sql("""
    INSERT INTO interviews_history ({content}, _valid_from, _valid_to, _change, _run_id)
    SELECT {i_content}, coalesce(i._deleted_at, i._synced_at), :observed_at,
        CASE WHEN c.restored THEN 'restored' WHEN c.fate = 'gone' THEN 'deleted' ELSE 'updated' END, :run_id
    FROM {classified} c JOIN interviews i ON i.id = c.id
    WHERE c.fate IN ('updated', 'gone') OR c.restored
""")

# --- upsert ---

# The last WHERE is for another workspace's load that came in between: promise 3 once more, and no row taken
# for new overwrites one that is there by now. What is an update carries a mark in _deleted_at, never stored.
UPSERT = _sql("""
    INSERT INTO interviews ({content}, _first_seen_at, _synced_at, _deleted_at, _run_id)
    SELECT {s_content}, :observed_at, :observed_at,
        CASE WHEN c.fate = 'updated' THEN :observed_at END, :run_id
    FROM {classified} c JOIN {staged} s ON s.position = c.position
    WHERE c.fate IN ('inserted', 'updated')
    ORDER BY s.id
    ON CONFLICT (id) DO UPDATE SET {content_from_excluded},
        _synced_at = excluded._synced_at, _deleted_at = NULL, _run_id = excluded._run_id
        WHERE interviews.updated_at <= excluded.updated_at AND excluded._deleted_at IS NOT NULL
""")

RESTORE_AS_STORED = _sql("""
    UPDATE interviews SET _deleted_at = NULL, _synced_at = :observed_at, _run_id = :run_id
    WHERE id IN (SELECT id FROM {classified} WHERE restored AND fate IN ('stale', 'unchanged'))
""")

# --- delete ---

MARK_DELETED = _sql("""
    UPDATE interviews SET _deleted_at = :observed_at, _run_id = :run_id
    WHERE id IN (SELECT id FROM {classified} WHERE fate = 'gone')
""")

# --- digests: those of the answer that was applied last, and no others ---

# Interviews that came from another workspace: what that one's last answer said no longer holds.
DISTRUST_FORMER_WORKSPACES = _sql("""
    UPDATE workspaces SET applied_digest = NULL
    WHERE workspace_id <> :workspace_id AND workspace_id IN (
        SELECT old_workspace_id FROM {classified}
        WHERE fate = 'updated' AND old_workspace_id <> :workspace_id)
""")

DROP_MOVED_DIGESTS = _sql("""
    DELETE FROM interview_digests
    WHERE workspace_id <> :workspace_id
        AND interview_id IN (
            SELECT id FROM {classified} WHERE fate = 'updated' AND old_workspace_id <> :workspace_id)
""")

DROP_UNSEEN_DIGESTS = _sql("""
    DELETE FROM interview_digests
    WHERE workspace_id = :workspace_id AND interview_id IN (
        SELECT interview_id FROM interview_digests WHERE workspace_id = :workspace_id
        EXCEPT SELECT interview_id FROM {known}
        EXCEPT SELECT id FROM {classified} WHERE fate IN ('inserted', 'updated', 'unchanged'))
""")

KEEP_DIGESTS = _sql("""
    INSERT INTO interview_digests (workspace_id, interview_id, digest)
    SELECT :workspace_id, c.id, s.digest
    FROM {classified} c JOIN {staged} s ON s.position = c.position
    WHERE c.fate IN ('inserted', 'updated', 'unchanged')
    ORDER BY c.id
    ON CONFLICT (workspace_id, interview_id) DO UPDATE SET digest = excluded.digest
        WHERE interview_digests.digest <> excluded.digest
""")


# --- rejects ---

KEEP_REJECTS = _sql("""
    INSERT INTO rejected_rows (workspace_id, interview_id, position, reason, message, payload, payload_digest,
        first_seen_at, last_seen_at, times_seen, first_run_id, last_run_id)
    SELECT :workspace_id, s.id, s.position, s.reason, s.message, s.payload, s._row_hash,
        :observed_at, :observed_at, 1, :run_id, :run_id
    FROM {staged} s
    WHERE s.position IN (
        SELECT max(position) FROM {staged} WHERE reason IS NOT NULL GROUP BY _row_hash, message)
    ON CONFLICT (workspace_id, payload_digest, message) DO UPDATE SET
        position = excluded.position, last_seen_at = excluded.last_seen_at,
        times_seen = rejected_rows.times_seen + 1, last_run_id = excluded.last_run_id, resolved_at = NULL
""")

RESOLVE_REJECTS = _sql("""
    UPDATE rejected_rows SET resolved_at = :observed_at
    WHERE workspace_id = :workspace_id AND resolved_at IS NULL AND last_run_id <> :run_id
        AND (interview_id IN (SELECT interview_id FROM {known}) OR interview_id IN (
            SELECT id FROM {classified} WHERE fate IN ('inserted', 'updated', 'unchanged')))
""")

# Another workspace's interview, rejected here: it has loaded where it belongs, and the answers that held it
# no longer do.
RESOLVE_FOREIGN_REJECTS = _sql("""
    UPDATE rejected_rows SET resolved_at = :observed_at
    WHERE reason = 'foreign_workspace' AND resolved_at IS NULL AND last_run_id <> :run_id
        AND EXISTS (
            SELECT 1 FROM interviews i
            WHERE i.id = rejected_rows.interview_id AND i._deleted_at IS NULL
                AND (i._run_id = :run_id OR rejected_rows.workspace_id = :workspace_id))
        AND NOT EXISTS (
            SELECT 1 FROM workspaces w
            WHERE w.workspace_id = rejected_rows.workspace_id AND w.workspace_id <> :workspace_id
                AND w.applied_run_id = rejected_rows.last_run_id)
""")

SEE_REJECTS_AGAIN = _sql("""
    UPDATE rejected_rows
    SET last_seen_at = :observed_at, times_seen = times_seen + 1, last_run_id = :run_id
    WHERE workspace_id = :workspace_id AND last_run_id = :applied_run_id
""")

# --- count ---

COUNT_FATES = _sql("""
    SELECT fate, count(*) AS rows, count(CASE WHEN restored THEN 1 END) AS restored
    FROM {classified} GROUP BY fate
""")

# Known elements that no other element of the answer contends with.
COUNT_KNOWN = _sql("""
    SELECT count(*) AS elements, count(DISTINCT k.interview_id) AS interviews
    FROM {known} k
    WHERE NOT EXISTS (SELECT 1 FROM {classified} c WHERE c.position = k.position)
""")

# --- dry run ---

COMPARED = (*FIELD_NAMES, "_extra")

CHANGES = _sql(
    """
    SELECT c.id, s.name, {i_fields}, {s_fields}
    FROM {classified} c
    JOIN interviews i ON i.id = c.id
    JOIN {staged} s ON s.position = c.position
    WHERE c.fate = 'updated'
    ORDER BY c.id
    LIMIT :most
    """,
    i_fields=", ".join(f"i.{name} AS old_{name}" for name in COMPARED),
    s_fields=", ".join(f"s.{name} AS new_{name}" for name in COMPARED),
).columns(**{f"{which}_{name}": interviews.c[name].type for which in ("old", "new") for name in COMPARED})

COMINGS_AND_GOINGS = _sql("""
    SELECT c.id, coalesce(s.name, i.name) AS name,
        CASE WHEN c.restored THEN 'restored' WHEN c.fate = 'gone' THEN 'deleted' ELSE 'inserted' END AS fate,
        count(*) OVER () AS in_all
    FROM {classified} c
    LEFT JOIN interviews i ON i.id = c.id
    LEFT JOIN {staged} s ON s.position = c.position
    WHERE c.fate IN ('gone', 'inserted') OR (c.restored AND c.fate <> 'updated')
    ORDER BY CASE c.fate WHEN 'gone' THEN 1 WHEN 'inserted' THEN 3 ELSE 2 END, c.id
    LIMIT :most
""")

# How columns come back whose type the text does not say.
COUNT = BigInteger()
INSTANT = Instant()
JSON = Json()
