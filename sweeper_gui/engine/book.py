"""The rows of one listing: what is known of each workspace, judged anew whenever something about it changes."""

import threading
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from sweeper_gui.core.policy import Now, Policy
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import judge
from sweeper_gui.core.workspace import Identity, Workspace
from sweeper_gui.sweep.ground import Facts


class Book:
    """Thread-safe. What changed since it was last asked is kept by name, so that a slow reader gets each row once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[bytes, Row] = {}
        self._changed: dict[bytes, None] = {}
        self._gone: dict[bytes, None] = {}
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

    def judge_all(self, now: Now, *, snapshot: Snapshot | None = None, facts: Facts | None = None,
                  root: bytes = b"") -> None:  # fmt: skip
        """Judges every row by the clock of now, and by a new snapshot or new facts where given."""
        if snapshot is not None:
            self._snapshot = snapshot
        for name in list(self._rows):  # row by row: a front end that polls meanwhile must not wait for all
            with self._lock:
                row = self._rows.get(name)
                if row is None:
                    continue
                workspace = facts.about(row.workspace, root) if facts is not None else row.workspace
                self._put(workspace, row.usage, now)

    def _put(self, workspace: Workspace, usage: Usage | None, now: Now) -> None:
        snapshot = self._snapshot
        verdict = judge(workspace, usage, snapshot, self._policy, now)
        session = snapshot.sessions.get(workspace.id) if snapshot is not None and workspace.id is not None else None
        row = Row(workspace, verdict, usage, session)
        if self._rows.get(workspace.name) != row:
            self._rows[workspace.name] = row
            self._changed[workspace.name] = None
            self._gone.pop(workspace.name, None)

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
