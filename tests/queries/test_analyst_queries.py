"""The ten questions of the README's section "For analysts" run as printed, with equal answers on both."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from etl.dictionary import relations
from tests.queries.twins import Twins, days_ago, interviews_of

README = Path(__file__).parents[2] / "README.md"


def _section() -> str:
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    found = re.search(r"^## For analysts$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _blocks() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```$", _section(), re.MULTILINE | re.DOTALL)


QUESTIONS = [block for block in _blocks() if block.startswith(("SELECT", "WITH"))]


def _asked(story: Twins, words: str) -> list[dict[str, Any]]:
    """The answer to the one question whose SQL has these words."""
    (query,) = [question for question in QUESTIONS if words in question]
    return story.rows(query)


def test_the_readme_has_ten_questions() -> None:
    assert len(QUESTIONS) == 10


def test_the_readme_names_every_table_and_view() -> None:
    assert [r.name for r in relations() if f"| `{r.name}` |" not in _section()] == []


@pytest.mark.parametrize("number", range(1, 11))
def test_a_question_has_the_same_answer_on_both(story: Twins, number: int) -> None:
    answer = story.rows(QUESTIONS[number - 1])

    assert answer, "the story should have something to tell"


def test_completion_rate_by_week_ends_in_the_present(story: Twins) -> None:
    weeks = _asked(story, "WHERE is_week_end")

    summary = story.rows("SELECT sum(contacts) AS contacts, sum(completions) AS done FROM workspace_summary")
    assert (weeks[-1]["contacts"], weeks[-1]["completions"]) == (summary[0]["contacts"], summary[0]["done"])
    assert len(weeks) in (6, 7)
    assert all(one["week"] < other["week"] for one, other in pairwise(weeks))


def test_only_completions_that_were_observed_are_timed(story: Twins) -> None:
    (answer,) = _asked(story, "first_completion")

    assert answer == {
        "workspace_name": "acme",
        "interviews": 2,
        "fastest_days": 40.7,
        "average_days": 40.7,
        "slowest_days": 40.7,
    }


def test_what_changed_yesterday(story: Twins) -> None:
    changes = _asked(story, "days_ago = 1")

    told = {c["change"]: (c["status_before"], c["status"], c["completed_before"]) for c in changes}
    assert len(changes) == 2
    assert told["updated"] == ("active", "paused", 6)
    assert told["first seen"][0] is None


def test_the_one_that_went_backwards_is_found(story: Twins) -> None:
    (answer,) = _asked(story, "status_before = 'completed'")

    assert answer["id"] == interviews_of("acme", 1)[0]["id"]
    assert answer["reopened_at"] == f"{days_ago(19):%Y-%m-%d} 00:00:00.000000"


def test_deleted_lately_leaves_out_what_came_back(story: Twins) -> None:
    answer = _asked(story, "v.is_deleted AND v.days_ago <= 30")

    assert [row["id"] for row in answer] == [
        interviews_of("acme", 6)[5]["id"],
        interviews_of("globex", 1)[0]["id"],
    ]


def test_rejects_by_reason(story: Twins) -> None:
    (answer,) = _asked(story, "rejected_rows r")

    assert (answer["workspace_name"], answer["rejected_rows"]) == ("acme", 1)
    assert "completion_threshold" in answer["message"]


def test_overdue_names_those_with_open_contacts(story: Twins) -> None:
    ids = [row["id"] for row in _asked(story, "WHERE is_overdue")]

    assert interviews_of("acme", 5)[4]["id"] in ids


def test_the_table_of_past_days_grows_by_the_days_it_lacks(twins: Twins) -> None:
    create, index, nightly = _table_of_past_days()
    first = interviews_of("acme", 3)
    twins.sync("acme", days_ago(4, hour=12), first)
    last_day = "DELETE FROM interview_days WHERE day = (SELECT max(day) FROM interview_days)"
    _execute(twins, create, index, last_day, nightly, nightly)

    kept = twins.rows("SELECT * FROM interview_days ORDER BY day, id")

    columns = ", ".join(kept[0])
    assert kept == twins.rows(f"SELECT {columns} FROM interview_daily WHERE days_ago > 0 ORDER BY day, id")
    assert len(kept) == 4 * 3


def test_the_table_of_past_days_fills_where_it_was_made_before_the_first_sync(twins: Twins) -> None:
    create, index, nightly = _table_of_past_days()
    _execute(twins, create, index)
    twins.sync("acme", days_ago(2, hour=12), interviews_of("acme", 3))
    _execute(twins, nightly)

    assert twins.rows("SELECT count(*) AS days FROM interview_days") == [{"days": 2 * 3}]


def _table_of_past_days() -> list[str]:
    """The statements that make it, index it, and fill it each night."""
    (block,) = [block for block in _blocks() if block.startswith("CREATE TABLE")]
    return [statement for statement in block.split(";") if statement.strip()]


def _execute(twins: Twins, *statements: str) -> None:
    for warehouse in twins.warehouses:
        with warehouse.writing() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))
