"""The discovery before a removal: what is in a set-aside tree, and whether it is still what was measured.

It only reads, and ends at the first reason to leave the tree alone.
"""

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from sweeper_gui.core.names import visible
from sweeper_gui.core.usage import change_of
from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage.attempts import BACK_OFF
from sweeper_gui.storage.bulk import Tally
from sweeper_gui.storage.files import bounded
from sweeper_gui.storage.queue import Priority, WorkPool, removing
from sweeper_gui.storage.tree import Node, Tree
from sweeper_gui.storage.walk import Walk

_CHANGED = "changed since it was measured"
_NOTHING_IS_NEWER = 2**64


class Directory(Node):
    """A directory of a tree that is to be removed: what the discovery learned, and how far the removal is.

    `files` counts the entries that are no directories, `allocated` the bytes that their removal frees, `own` those of
    the directory itself.
    """

    __slots__ = (
        "allocated", "attempts", "children", "files", "kept", "own", "passes", "tail", "unreachable",
        "waiting",
    )  # fmt: skip

    def __init__(self, tree: Tree, parent: "Directory | None", name: bytes, inode: int, own: int) -> None:
        super().__init__(tree, parent, name, inode)
        self.own = own
        self.files = 0
        self.allocated = 0
        self.children: list[Directory] = []
        #: what must end before the next step: the jobs of this directory, and the children that are not empty yet
        self.waiting = 0
        #: attempts since anything was removed here, and attempts in all
        self.attempts = self.passes = 0
        #: how many operations follow, one after the other, once this directory is empty
        self.tail = 0
        #: whether something in it could not be removed, so that it stays too
        self.kept = False
        #: whether nothing more can be done in it
        self.unreachable = False


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a tree holds, or in words why it must not be removed.

    `entries` counts what is below the top, `allocated` the bytes that a removal frees: files that have further names
    outside the tree are not in it. `top` is the plan for `remove`, which uses it up; None where not `ok`.
    """

    ok: bool
    reason: str
    entries: int
    allocated: int
    top: Directory | None


def discover(
    pool: WorkPool,
    parent_fd: int,
    name: bytes,
    *,
    evidence_newest_ns: int | None,
    evidence_identity: Identity | None,
    now_ns: int,
    cancel: threading.Event,
    on_done: Callable[[Discovery], None],
    back_off: Sequence[float] = BACK_OFF,
    fullest: int = 0,
) -> None:
    """Reads the whole tree `name` in the directory open as `parent_fd`, and compares it with the evidence.

    Not ok: any change newer than `evidence_newest_ns` (but for the top's ctime, which the setting aside has set), a top
    that is not the directory of `evidence_identity` or has another mtime, anything that can't be read, a mount, another
    device or the root of another volume inside. None as evidence accepts every change: for a tree whose removal has
    begun. `now_ns` and `back_off` are as for `measure`. `parent_fd` stays open until `on_done` is called, exactly once,
    from a thread of the pool.

    `fullest` is how many entries the directory with the most has, as far as that is known (0): trees are discovered one
    after the other, those first of which the removal takes longest.
    """
    _Discovering(
        pool, parent_fd, name, evidence_newest_ns, evidence_identity, now_ns, cancel, on_done, back_off, fullest
    ).start()


def _turn(fullest: int) -> Priority:
    """Trees that are discovered all at once are all discovered late, and nothing of any could be removed until then.

    What follows a discovery is at least the unlinks of its fullest directory, one after the other. The tree where most
    follows comes first (as jobs on one machine with delivery times: Jackson, 1955), and among equals, or where nobody
    knows, the one that was asked for first.
    """
    return (*removing(fullest or math.inf), monotonic())


class _Discovering(Walk[Directory]):
    """The discovery of one tree."""

    def __init__(
        self,
        pool: WorkPool,
        parent_fd: int,
        name: bytes,
        evidence_newest_ns: int | None,
        evidence_identity: Identity | None,
        now_ns: int,
        cancel: threading.Event,
        on_done: Callable[[Discovery], None],
        back_off: Sequence[float],
        fullest: int,
    ) -> None:
        newest_ns = _NOTHING_IS_NEWER if evidence_newest_ns is None else evidence_newest_ns
        super().__init__(
            pool, parent_fd, name, priority=_turn(fullest), cancel=cancel, now_ns=now_ns, newest_ns=newest_ns,
            counters=None, strict=True, back_off=back_off,
        )  # fmt: skip
        self._identity = evidence_identity
        self._on_done = on_done
        self._top: Directory | None = None
        self._difference = ""
        #: how many names of a hard-linked file have not been met yet, by inode
        self._names_left: dict[int, int] = {}

    def begin(self, top: Directory, status: os.stat_result) -> None:
        self._top = top
        known = self._identity
        if known is not None and (status.st_dev, status.st_ino) != (known.device, known.inode):
            self._differs("it is another directory than the one that was measured")
        self._check_top(status)

    def node(self, parent: Directory | None, name: bytes, inode: int, size: int) -> Directory:
        return Directory(self.tree, parent, name, inode, size)

    def take(self, node: Directory, tally: Tally, children: list[Directory]) -> None:
        if tally.newest > self.newest_ns:
            self._differs(f"{_CHANGED}: {node.shown(tally.newest_name)}")
        node.children += children
        node.files += tally.entries - len(children)
        node.allocated += tally.blocks * 512 - sum(child.own for child in children)
        for link in tally.links:
            if self._was_last_name(link.inode, link.names):
                node.allocated += link.allocated
                self.allocated += link.allocated

    def _was_last_name(self, inode: int, count: int) -> bool:
        """Whether all names of a file have been met now, so that removing the tree frees its bytes."""
        left = self._names_left.pop(inode, count) - 1
        if left > 0:
            self._names_left[inode] = left
        return left == 0

    def listed(self, node: Directory, status: os.stat_result) -> None:
        if node.parent is None:
            self._check_top(status)
        elif change_of(status.st_mtime_ns, status.st_ctime_ns, self.now_ns) > self.newest_ns:
            self._differs(f"{_CHANGED}: {node.shown()}")

    def _check_top(self, status: os.stat_result) -> None:
        if self.newest_ns == _NOTHING_IS_NEWER:
            return  # its removal has begun, and has changed the top itself
        if self._identity is not None:
            changed = bounded(status.st_mtime_ns) != self._identity.mtime_ns
        else:
            changed = self.newest_ns < status.st_mtime_ns <= self.now_ns
        if changed:
            self._differs(f"{_CHANGED}: .")

    def _differs(self, reason: str) -> None:
        self._difference = self._difference or reason
        self.halted = True

    def end(self) -> None:
        reason = self._reason()
        top = self._top if not reason else None
        self._on_done(Discovery(not reason, reason, self.entries, self.allocated, top))

    def _reason(self) -> str:
        if self._difference:
            return self._difference
        if self.mounts:
            return f"contains a mount point: {visible(self.mounts[0]) or '.'}"
        if self.other_roots:
            return f"contains the root of another volume: {visible(self.other_roots[0]) or '.'}"
        if self.errors:
            return f"could not be read: {self.errors[0]}"
        return "cancelled" if self.stopping or self._top is None else ""
