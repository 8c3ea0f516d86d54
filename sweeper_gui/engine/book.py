"""The rows of one listing: what is known of each workspace, judged anew whenever something about it changes."""

import threading
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from sweeper_gui.core.policy import Now, Policy
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Session, Snapshot
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Status, Verdict, judge
from sweeper_gui.core.workspace import Identity, Workspace
from sweeper_gui.sweep.ground import Facts

#: What was measured while a workspace was recent tells nothing of the time since: people still worked in there.
_RIPENED = Verdict(Status.RECENT, "old enough by now, as far as is known: to be measured again")


class Book:
    """Thread-safe. What changed since it was last asked is kept by name, so that a slow reader gets each row once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, Row] = {}
        self._changed: dict[bytes, None] = {}
        self._gone: dict[bytes, None] = {}
        self._ripened: set[bytes] = set()
        self._snapshot: Snapshot | None = None
        self._policy = Policy()
        self.listed = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def snapshot(self) -> Snapshot | None:
        """The registry as last read."""
        return self._snapshot

    def rows(self, names: Iterable[bytes] | None = None) -> list[Row]:
        """The rows of these names as far as they are known, or all."""
        with self._lock:
            if names is None:
                return list(self._rows.values())
            return [self._rows[name] for name in names if name in self._rows]

    def ripened(self) -> list[Row]:
        """Rows that only time has made orphans since they were measured; they count as recent until they are again."""
        with self._lock:
            return [self._rows[name] for name in self._ripened]

    def ids(self) -> frozenset[str]:
        """The ids of the directories listed."""
        return frozenset(row.workspace.id for row in self.rows() if row.workspace.id is not None)

    def set_rules(self, policy: Policy) -> None:
        """The policy that rows are judged by from now on."""
        self._policy = policy

    def list(self, workspaces: Sequence[Workspace], now: Now) -> None:
        """Workspaces that a listing found. What was measured of one stays, until its attributes say otherwise."""
        with self._lock:
            for workspace in workspaces:
                known = self._rows.get(workspace.name)
                if known is not None and known.workspace.kind is workspace.kind:
                    self._put(known.workspace, known.usage, now)
                else:
                    self._put(workspace, None, now)

    def keep_only(self, names: Iterable[bytes]) -> None:
        """A listing is complete: all other rows are no longer on the volume."""
        kept = set(names)
        with self._lock:
            for name in [name for name in self._rows if name not in kept]:
                self._drop(name)
        self.listed = True

    def remove(self, names: Iterable[bytes]) -> None:
        """Workspaces that have been swept."""
        with self._lock:
            for name in names:
                if name in self._rows:
                    self._drop(name)

    def _drop(self, name: bytes) -> None:
        del self._rows[name]
        self._ripened.discard(name)
        self._changed.pop(name, None)
        self._gone[name] = None

    def attributes(self, workspace: Workspace, now: Now) -> None:
        """What stat says of a workspace now. A measure of another directory, or of an earlier state, is dropped."""
        with self._lock:
            known = self._rows.get(workspace.name)
            if known is None:
                return
            before = known.workspace.identity
            same = before is not None and workspace.identity is not None and before.same_as(workspace.identity)
            seen = replace(known.workspace, kind=workspace.kind, identity=workspace.identity, uid=workspace.uid)
            self._put(seen, known.usage if same else None, now)

    def measured(self, name: bytes, identity: Identity | None, uid: int | None, usage: Usage, now: Now) -> None:
        """What was measured of a workspace, and which directory that was."""
        with self._lock:
            known = self._rows.get(name)
            if known is not None:
                self._put(replace(known.workspace, identity=identity, uid=uid), usage, now)

    def judge_all(self, clock: Callable[[], Now], *, snapshot: Snapshot | None = None, facts: Facts | None = None,
                  root: bytes = b"") -> None:  # fmt: skip
        """Judges every row by its moment's clock, and by a new snapshot or new facts where given."""
        if snapshot is not None:
            self._snapshot = snapshot
        with self._lock:
            names = list(self._rows)
        for name in names:
            self._judge_again(name, clock(), facts, root)

    def _judge_again(self, name: bytes, now: Now, facts: Facts | None, root: bytes) -> None:
        """Judges without the lock, so that a front end that polls meanwhile waits for nobody; again where overtaken."""
        while (row := self._rows.get(name)) is not None:
            snapshot = self._snapshot
            workspace = facts.about(row.workspace, root) if facts is not None else row.workspace
            judged = self._judged(workspace, row.usage, snapshot, now)
            with self._lock:
                if self._rows.get(name) is row and self._snapshot is snapshot:
                    self._store(judged)
                    return

    def _put(self, workspace: Workspace, usage: Usage | None, now: Now) -> None:
        self._store(self._judged(workspace, usage, self._snapshot, now))

    def _judged(self, workspace: Workspace, usage: Usage | None, snapshot: Snapshot | None, now: Now) -> Row:
        verdict = judge(workspace, usage, snapshot, self._policy, now)
        session = snapshot.sessions.get(workspace.id) if snapshot is not None and workspace.id is not None else None
        if verdict.orphan and usage is not None and not _was_old(usage, session, self._policy):
            verdict = _RIPENED
        return Row(workspace, verdict, usage, session)

    def _store(self, row: Row) -> None:
        name = row.name
        if self._rows.get(name) != row:
            self._rows[name] = row
            self._changed[name] = None
            self._gone.pop(name, None)
            (self._ripened.add if row.verdict is _RIPENED else self._ripened.discard)(name)

    def take_changes(self, most: int) -> tuple[tuple[Row, ...], tuple[bytes, ...], bool]:
        """Changed rows (at most so many), names that are gone, and whether there is more; each is told once."""
        with self._lock:
            names = [name for name, _ in zip(self._changed, range(most), strict=False)]
            rows = tuple(self._rows[name] for name in names)
            for name in names:
                del self._changed[name]
            gone = tuple(self._gone)
            self._gone.clear()
            return rows, gone, bool(self._changed)


def _was_old(usage: Usage, session: Session | None, policy: Policy) -> bool:
    """Whether it was old enough already when it was measured."""
    newest = usage.newest_change_ns / 1e9
    if session is not None and session.deleted_at is not None:
        newest = max(newest, session.deleted_at)
    return usage.measured_at - newest >= policy.min_age
