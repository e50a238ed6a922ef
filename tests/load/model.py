"""What a warehouse must hold, by the contract's words: a small model in plain Python, with no SQL in it.

It shares nothing with `etl.load` but the names of the counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_DELETE_ROWS = 2
MAX_DELETE_FRACTION = 0.5


@dataclass(frozen=True)
class Element:
    """An array element: its text, the id that can be read in it, and its content or why it has none."""

    text: str
    id: str | None
    content: Mapping[str, Any] | None = None
    reason: str = ""
    kind: str = ""
    """What it is, where it is no interview at all: a number and a null are rejected for different reasons."""

    @property
    def updated_at(self) -> str:
        return str(self.content["updated_at"]) if self.content else ""


@dataclass
class Version:
    """One version of an interview, with the observed time at which it began."""

    content: Mapping[str, Any]
    since: datetime
    run_id: int
    deleted: bool = False


@dataclass
class Interview:
    """An interview: what it is now, and the ended versions as (version, end, change, run)."""

    now: Version
    first_seen: datetime
    written: datetime
    past: list[tuple[Version, datetime, str, int]] = field(default_factory=list)


@dataclass
class Rejected:
    """A distinct reject of a workspace."""

    reason: str
    interview_id: str | None
    position: int
    first_seen: datetime
    last_seen: datetime
    first_run: int
    last_run: int
    times: int = 1
    resolved: datetime | None = None


@dataclass
class Workspace:
    """What is remembered of a workspace."""

    applied_run: int = 0
    held: int = 0
    held_of: int | None = None
    watermark: str = ""


class Mismatch(Exception):
    """More than half of the elements are rejected for one reason: nothing may be applied."""


class Model:
    """The warehouse."""

    def __init__(self) -> None:
        self.interviews: dict[str, Interview] = {}
        self.rejects: dict[tuple[str, str], Rejected] = {}
        self.workspaces: dict[str, Workspace] = {}
        self.snapshots: list[tuple[datetime, dict[str, tuple[Mapping[str, Any], bool]]]] = []
        self.latest = datetime.min.replace(tzinfo=UTC)

    def load(
        self,
        workspace: str,
        answer: Sequence[Element],
        run_id: int,
        now: datetime,
        *,
        accept_deletes: bool = False,
    ) -> dict[str, int]:
        """Apply the answer; the counters that are not zero. Raises Mismatch."""
        known = self.workspaces.setdefault(workspace, Workspace())
        if known.applied_run > run_id:
            return _not_zero({"received": len(answer), "stale": len(answer)})
        if self.refuses(workspace, answer):
            raise Mismatch
        fates, restored = self._judge(workspace, answer)
        gone = self._gone(workspace, answer)
        active = len(self.active(workspace))
        of = active if known.held_of is None else min(active, known.held_of)
        held = 0 if accept_deletes else _held(len(gone), of, sum(1 for e in answer if not e.reason))
        if held:
            gone = []
        at = self._observation_time([*(e.id for e in fates["updated"]), *gone, *restored], now)
        for element in (*fates["inserted"], *fates["updated"]):
            self._write(element, at, run_id)
        for interview_id in restored:
            self._end(interview_id, at, run_id, deleted=False)
        for interview_id in gone:
            self._end(interview_id, at, run_id, deleted=True)
        self._keep_rejects(workspace, answer, at, run_id)
        self._resolve(
            workspace, [e for f in ("inserted", "updated", "unchanged") for e in fates[f]], at, run_id
        )
        known.applied_run, known.held = run_id, held
        known.held_of = of if held else None
        known.watermark = max([known.watermark, *(e.updated_at for e in answer)])
        self._remember(max(now, at), now)
        counts = {fate: len(elements) for fate, elements in fates.items()}
        rejected = sum(1 for element in answer if element.reason)
        return _not_zero(
            counts
            | {"received": len(answer), "rejected": rejected, "deleted": len(gone), "held_deletes": held}
            | {"duplicate": len(answer) - rejected - sum(counts.values())}
            | {"restored": self._restored}
        )

    def refuses(self, workspace: str, answer: Sequence[Element]) -> bool:
        """Whether one reason rejects more than half; one element alone does so only where others are gone."""
        reasons = Counter((e.reason, e.kind) for e in answer if e.reason)
        times = max(reasons.values(), default=0)
        return 2 * times > len(answer) and (times > 1 or bool(self._gone(workspace, answer)))

    def _judge(self, workspace: str, answer: Sequence[Element]) -> tuple[dict[str, list[Element]], list[str]]:
        """The fate of each id's winning element, and the ids to restore as they are stored."""
        winners: dict[str, Element] = {}
        for element in answer:
            if element.id is None or element.content is None:
                continue
            best = winners.get(element.id)
            if best is None or element.updated_at >= best.updated_at:
                winners[element.id] = element
        fates: dict[str, list[Element]] = {f: [] for f in ("inserted", "updated", "unchanged", "stale")}
        as_stored = []
        self._restored = 0
        for interview_id, element in winners.items():
            stored = self.interviews.get(interview_id)
            if stored is None:
                fates["inserted"].append(element)
                continue
            if element.updated_at < stored.now.content["updated_at"]:
                fate = "stale"
            else:
                fate = "unchanged" if element.content == stored.now.content else "updated"
            fates[fate].append(element)
            if stored.now.deleted and fate == "updated":
                self._restored += 1
            elif stored.now.deleted and stored.now.content["workspace_id"] == workspace:
                self._restored += 1
                as_stored.append(interview_id)
        return fates, as_stored

    def _gone(self, workspace: str, answer: Sequence[Element]) -> list[str]:
        seen = {element.id for element in answer}
        return [i for i in self.active(workspace) if i not in seen]

    def active(self, workspace: str) -> list[str]:
        """The ids of the workspace's interviews that are not deleted."""
        return [
            interview_id
            for interview_id, interview in self.interviews.items()
            if interview.now.content["workspace_id"] == workspace and not interview.now.deleted
        ]

    def _observation_time(self, changing: Sequence[str | None], now: datetime) -> datetime:
        # Never before the version that ends, should the clock have been set back.
        begun = [self.interviews[i].now.since for i in changing if i is not None]
        return max([now, *(since + timedelta(microseconds=1) for since in begun)])

    def _write(self, element: Element, at: datetime, run_id: int) -> None:
        assert element.id is not None
        assert element.content is not None
        version = Version(element.content, at, run_id)
        stored = self.interviews.get(element.id)
        if stored is None:
            self.interviews[element.id] = Interview(version, at, at)
            return
        change = "restored" if stored.now.deleted else "updated"
        stored.past.append((stored.now, at, change, run_id))
        stored.now, stored.written = version, at

    def _end(self, interview_id: str, at: datetime, run_id: int, *, deleted: bool) -> None:
        """The same content from now on deleted, or present again."""
        stored = self.interviews[interview_id]
        stored.past.append((stored.now, at, "deleted" if deleted else "restored", run_id))
        stored.now = Version(stored.now.content, at, run_id, deleted)
        if not deleted:
            stored.written = at

    def _keep_rejects(self, workspace: str, answer: Sequence[Element], at: datetime, run_id: int) -> None:
        for position, element in enumerate(answer):
            if not element.reason:
                continue
            key = (workspace, element.text)
            known = self.rejects.get(key)
            if known is None:
                self.rejects[key] = Rejected(element.reason, element.id, position, at, at, run_id, run_id)
            else:
                known.times += known.last_run != run_id
                known.position, known.last_seen, known.last_run, known.resolved = position, at, run_id, None

    def _resolve(self, workspace: str, loaded: Sequence[Element], at: datetime, run_id: int) -> None:
        ids = {element.id for element in loaded}
        for (owner, _), reject in self.rejects.items():
            if reject.last_run == run_id:
                continue
            if (owner == workspace and reject.interview_id in ids) or self._is_home(
                owner, reject, workspace, run_id
            ):
                reject.resolved = reject.resolved or at

    def _is_home(self, owner: str, reject: Rejected, workspace: str, run_id: int) -> bool:
        """Whether another workspace's interview is loaded there, and no longer in the answers here."""
        stored = self.interviews.get(reject.interview_id or "")
        if reject.reason != "foreign_workspace" or stored is None or stored.now.deleted:
            return False
        if owner == workspace:
            return True
        return stored.now.run_id == run_id and self.workspaces[owner].applied_run != reject.last_run

    def _remember(self, at: datetime, now: datetime) -> None:
        # Where the clock was set back, the hours after it are lived twice: neither time can be replayed.
        self.snapshots = [snapshot for snapshot in self.snapshots if snapshot[0] < now]
        if at <= self.latest:
            return
        self.latest = at
        state = {i: (one.now.content, one.now.deleted) for i, one in self.interviews.items()}
        self.snapshots.append((at, state))


def _held(gone: int, of: int, accepted: int) -> int:
    large = gone > MAX_DELETE_ROWS and gone > MAX_DELETE_FRACTION * of
    return gone if large or not accepted else 0


def _not_zero(counts: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}
