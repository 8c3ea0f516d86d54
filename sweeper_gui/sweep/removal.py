"""The last part of the protocol, for many trees at once: discover, ask once more, announce, remove.

The work runs on the pool's threads; each tree goes its way by itself and ends with exactly one outcome. Until the
rename to `removing/` a tree can go back to its place, and does so on any doubt where `put_back_on_doubt` says so.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sweeper_gui.core.outcome import Outcome, Result
from sweeper_gui.storage import files
from sweeper_gui.storage.order import Carried, Found, Order, carry_out
from sweeper_gui.storage.remove import Removal
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.clock import since_boot
from sweeper_gui.sweep.evidence import FRESH, Untrusted
from sweeper_gui.sweep.log import Name, Removing
from sweeper_gui.sweep.site import Site
from sweeper_gui.sweep.tree import Tree, put_back
from sweeper_gui.sweep.words import words_of

#: Asked right before the first unlink: why a tree must not be removed, or an empty string.
LastQuestion = Callable[[Tree, Found], str]
#: So many trees at most are on their way at a time: what waits in the trash could be in its place still.
MOST_PENDING = 20
T = TypeVar("T")


class Removals:
    """Removes trees side by side. `problem` says why no further tree may be begun, once there is a reason."""

    def __init__(self, site: Site, last_question: LastQuestion, *, put_back_on_doubt: bool) -> None:
        self._site = site
        self._last_question = last_question
        self._put_back_on_doubt = put_back_on_doubt
        self._stop = site.stop
        self._changed = threading.Condition()
        self._pending: set[Tree] = set()
        self.problem = ""

    @property
    def pending(self) -> int:
        """How many trees have not ended yet."""
        with self._changed:
            return len(self._pending)

    def start(self, tree: Tree) -> None:
        """Sends a tree on its way; returns at once. It lies in `whole/`, or, begun before, in `removing/`."""
        with self._changed:
            self._pending.add(tree)
        tree.step = "checking"
        self._guarded(tree, lambda: self._carry_out(tree))

    def _carry_out(self, tree: Tree) -> None:
        carry_out(
            self._order(tree),
            tree.directory,
            self._site.ground.pool,
            lambda found: bool(self._guarded(tree, lambda: self._may_be_removed(tree, found))),
            cancel=self._stop,
            counters=tree.counters,
            on_done=lambda carried: self._carried(tree, carried),
        )

    def _order(self, tree: Tree) -> Order:
        control, sweep = self._site.control, self._site.ground.settings.sweep
        return Order(
            control=control.path,
            control_inode=os.fstat(control.descriptor).st_ino,
            control_group=control.group,
            sweep_id=tree.directory.id,
            number=tree.number,
            inode=tree.identity.inode,
            mtime_ns=tree.identity.mtime_ns,
            newest_change_ns=tree.intent.newest_change_ns,
            now_ns=int(self._site.evidence.now().host * 1e9),
            begun=tree.begun,
            fullest=tree.fullest,
            max_in_flight=sweep.max_in_flight,
            impact=self._site.ground.pool.impact,
            max_ops_per_second=sweep.max_ops_per_second,
        )

    def _may_be_removed(self, tree: Tree, found: Found) -> bool:
        """The last question, and all that must be so before the first unlink; False where the tree has ended so."""
        if self._stop.is_set():
            self._leave(tree, f"{self._why_stopped()} before its removal began")
            return False
        asked = since_boot()
        doubt = self._ask(tree, found)
        if doubt:
            self._leave(tree, doubt)
            return False
        tree.entries = found.entries
        if not self._announced(tree, found):
            return False
        tree.step = "removing"
        return self._settled(tree) and self._still_answered(tree, found, asked)

    def _carried(self, tree: Tree, carried: Carried) -> None:
        removal, doubt = carried.removal, carried.doubt
        if removal is not None:
            self._guarded(tree, lambda: self._removed(tree, removal))
        elif carried.failure:
            self._fail(tree, carried.failure)
        elif doubt:
            stopped = f"{self._why_stopped()} before its removal began" if self._stop.is_set() else ""
            self._guarded(tree, lambda: self._leave(tree, stopped or doubt))

    def _announced(self, tree: Tree, found: Found) -> bool:
        """Writes the removal down and renames the tree to `removing/`, unless it lies there already.

        False where that failed: the tree has ended.
        """
        inode = tree.identity.inode
        try:
            self._site.write(
                Removing(time.time(), tree.number, Name.of(tree.name), found.entries, tree.source(self._site))
            )
            if not tree.begun:
                with self._site.ground.operation():
                    files.move(tree.entry, tree.directory.whole, tree.entry, tree.directory.removing, inode)
        except (OSError, VolumeError) as error:
            if isinstance(error, VolumeError):
                self.problem = self.problem or str(error)
            self._leave(tree, f"its removal could not begin: {words_of(error)}")
            return False
        return True

    def _settled(self, tree: Tree) -> bool:
        """Has the tree's way here on the disk before its first unlink; False where that failed: the tree has ended.

        Otherwise a power cut could leave the unlinks and lose a rename, and with it a half-empty tree where only whole
        ones are looked for. One that was begun before may have died in between.
        """
        try:
            with self._site.ground.operation():
                for directory in (tree.directory.removing, tree.directory.whole):
                    files.settle(directory)
                with contextlib.suppress(FileNotFoundError), self._site.ground.volume.parent_of(tree.name) as parent:
                    files.settle(parent)
        except (OSError, VolumeError) as error:
            reason = f"its removal could not begin: {words_of(error)}; it waits in the trash"
            self._end(tree, Outcome(tree.name, Result.PARTLY_REMOVED, reason))
            return False
        return True

    def _still_answered(self, tree: Tree, found: Found, asked: float) -> bool:
        """Whether the answers still hold, where a volume that hung made them old; False where not: the tree has ended.

        `asked` is in seconds since boot.
        """
        doubt = self._ask(tree, found) if since_boot() - asked > FRESH else ""
        if doubt and (tree.begun or self._turned_back(tree, doubt)):
            self._leave(tree, doubt)
        return not doubt

    def _turned_back(self, tree: Tree, doubt: str) -> bool:
        """Moves a tree of which nothing has been removed from `removing/` to `whole/`; False where it ended there."""
        try:
            self._site.check_lock()
            with self._site.ground.operation():
                files.move(tree.entry, tree.directory.removing, tree.entry, tree.directory.whole, tree.identity.inode)
        except (OSError, VolumeError) as error:
            reason = f"{doubt}; nothing of it has been removed, and it could not be moved back: {words_of(error)}"
            self._end(tree, Outcome(tree.name, Result.PARTLY_REMOVED, reason))
            return False
        tree.step = "checking"
        return True

    def _ask(self, tree: Tree, found: Found) -> str:
        if self.problem:
            return self.problem
        try:
            doubt = self._last_question(tree, found)
            if not doubt:
                self._site.about_to_change()
        except (Untrusted, VolumeError) as error:
            self.problem = str(error)
            return self.problem
        return doubt

    def _leave(self, tree: Tree, reason: str) -> None:
        if tree.begun:
            self._end(tree, Outcome(tree.name, Result.PARTLY_REMOVED, reason))
        elif self._put_back_on_doubt or tree.revived:
            self._end(tree, put_back(self._site, tree, reason))
        else:
            self._end(tree, Outcome(tree.name, Result.SKIPPED, f"stays set aside: {reason}"))

    def _removed(self, tree: Tree, removal: Removal) -> None:
        entries, freed = removal.entries_removed, removal.bytes_freed
        if removal.complete:
            self._end(tree, Outcome(tree.name, Result.REMOVED, "", entries, freed), removal.modes)
            return
        result = Result.PARTLY_REMOVED if entries or removal.cancelled else Result.FAILED
        reason = self._why_stopped() if removal.cancelled else (removal.errors[:1] or ("not all removed",))[0]
        outcome = Outcome(
            tree.name,
            result,
            f"{reason}; the rest waits in the trash",
            entries,
            freed,
            removal.error_count,
            removal.errors,
        )
        self._end(tree, outcome, removal.modes)

    def _why_stopped(self) -> str:
        """Whether the run was cancelled or must not go on; in the latter case no further tree is begun either."""
        if not self._site.lock_lost:
            return "cancelled"
        self.problem = self.problem or self._site.lock_lost
        return f"stopped ({self._site.lock_lost})"

    def _guarded(self, tree: Tree, step: Callable[[], T]) -> T | None:
        """What a step returns; whatever goes wrong ends the tree with a reason, where it lies, and nothing else."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 (it ends this tree, in words, and no other)
            if isinstance(error, VolumeError):
                self.problem = self.problem or str(error)
            self._fail(tree, words_of(error))
            return None

    def _fail(self, tree: Tree, words: str) -> None:
        counters, reason = tree.counters, f"stays in the trash: {words}"
        self._end(tree, Outcome(tree.name, Result.FAILED, reason, counters.entries, counters.bytes, 1, (words,)))

    def _end(self, tree: Tree, outcome: Outcome, modes: tuple[str, ...] = ()) -> None:
        try:
            if tree.end(outcome):
                self._site.told(outcome, modes)
        finally:  # or the run would wait for it for ever, and the lock with it
            with self._changed:
                self._pending.discard(tree)
                self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Returns when fewer trees are on their way than may be."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._pending) < MOST_PENDING)

    def wait_for_any(self) -> None:
        """Returns when a tree has ended since the call, at once if none is pending."""
        with self._changed:
            before = len(self._pending)
            self._changed.wait_for(lambda: not self._pending or len(self._pending) < before)

    def wait(self) -> None:
        """Returns when every tree has ended. A cancel ends them at their next entry."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending)
