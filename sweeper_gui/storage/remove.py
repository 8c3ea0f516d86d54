"""Removing one tree for good. It has been set aside and discovered before, and nothing needs it any more.

The tree is `name` in a directory that the caller keeps open. Everything is done with unlink and rmdir of one name in
an open directory whose (device, inode) is what the discovery saw; nothing is ever removed through a path or a link.

The order is made for volumes where each operation is a round trip. Changes to one directory are serialised by the
kernel, so threads work on different directories, those first after which most is still to be done: its own entries and
the rmdirs on the way up to the top. A directory's children are removed together, once all of them are empty: an rmdir
that waits in a directory would hold up the look-ups in it.

A directory goes through `_empty` (its entries are unlinked), `_remove_children` (once those are empty too) and waits
for its parent to do the same. Each of these steps is a job of the pool. `waiting` counts what must end before the next
step: a step that is queued or running, and every child that still has something in it.
"""

import errno
import logging
import math
import os
import pwd
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sweeper_gui.core.names import visible
from sweeper_gui.storage import bulk
from sweeper_gui.storage.attempts import BACK_OFF, ENDS, FORBIDDEN, MAY_PASS, words_for
from sweeper_gui.storage.bulk import ONE, Listing
from sweeper_gui.storage.discover import Directory, Discovery, discover
from sweeper_gui.storage.files import CrossesMount, bounded
from sweeper_gui.storage.queue import Gauge, Kind, Priority, WorkPool, removing
from sweeper_gui.storage.tree import WAY_GOOD_FOR, TreeChanged
from sweeper_gui.storage.walk import MAX_ERRORS, SLOW, Counters

__all__ = ["BACK_OFF", "Counters", "Discovery", "Removal", "RemovalOutcome", "discover", "remove"]

#: So many names of one directory are held at once.
BATCH = 4096
#: In a directory with more names than this it is worth looking them up in parallel before they are removed in turn.
LOOK_UP_FROM = 64
_LOOK_UP_PART = 16
#: Removed entries are told in groups of this number, or after so many seconds.
_TELL_EVERY = 32
_TELL_AFTER = 0.1
#: A directory in which others keep making entries is given up after so many attempts; one that they have made begins
#: with those of the directory that it is in, so that no chain of new ones is followed for ever.
MAX_PASSES = 50
#: In one attempt so many names are taken from a directory beyond those that the discovery saw: a listing to which
#: others keep adding may have no end.
_MORE_NAMES = 4 * BATCH

_STILL_GROWING = OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

_log = logging.getLogger(__name__)


class RemovalOutcome(StrEnum):
    """How the removal of one tree ended."""

    COMPLETE = "complete"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed. `entries_removed` does not count the top, `errors` are the first few of `error_count`.

    What somebody else took out of a directory that was then removed counts too: nothing tells it from an unlink of
    which the answer got lost.
    `bytes_freed` are allocated bytes as the discovery saw them. They are known by directory, so that for one that was
    left half-way its entries are taken to be of equal size. A file with further names outside the tree frees nothing.
    `modes` says which directories were made writable for it: 'mod/cache: 0555'.
    """

    outcome: RemovalOutcome
    entries_removed: int
    bytes_freed: int
    error_count: int = 0
    errors: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is left of the tree."""
        return self.outcome is RemovalOutcome.COMPLETE

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped by a cancel."""
        return self.outcome is RemovalOutcome.CANCELLED


def remove(
    pool: WorkPool,
    parent_fd: int,
    name: bytes,
    discovery: Discovery,
    *,
    cancel: threading.Event,
    counters: Counters | None = None,
    on_done: Callable[[Removal], None],
    back_off: Sequence[float] = BACK_OFF,
) -> None:
    """Removes the discovered tree, which is `name` in the directory open as `parent_fd` by now.

    Returns at once; `on_done` is called exactly once, from a thread of the pool, and `parent_fd` stays open until then.
    A cancel takes effect before the next entry. One entry that can't be removed does not keep the others; a mount point
    that is met, a volume that is read-only or gone, or a top that is another directory than the discovered one ends it.
    Raises ValueError for a discovery that was not ok.
    """
    if discovery.top is None:
        raise ValueError("what was not discovered, or not found to be safe, can't be removed")
    _Removing(pool, parent_fd, name, discovery.top, cancel, counters, on_done, back_off).start()


class _Leftover:
    """What could not be removed from one directory, and whether another attempt may help.

    `unreachable`: it is the directory itself that can't be worked in.
    """

    def __init__(self, unreachable: bool = False) -> None:
        self.count = 0
        self.texts: list[str] = []
        self.may_pass = False
        self.unreachable = unreachable

    def add(self, error: OSError, text: Callable[[], str]) -> None:
        """The text is made only for the first few: there may be a million."""
        self.count += 1
        self.may_pass = self.may_pass or error.errno in MAY_PASS
        if len(self.texts) < MAX_ERRORS:
            self.texts.append(text())


Step = Callable[[Directory, Gauge], None]
_Remove = Callable[[int, list[bytes], int, int, bulk.Place | None], bulk.Removed]


class _Removing:
    """The removal of one tree."""

    def __init__(
        self,
        pool: WorkPool,
        parent_fd: int,
        name: bytes,
        top: Directory,
        cancel: threading.Event,
        counters: Counters | None,
        on_done: Callable[[Removal], None],
        back_off: Sequence[float],
    ) -> None:
        self._pool = pool
        self._tree = top.tree
        self._tree.moved(parent_fd, name)
        self._top = top
        self._cancel = cancel
        self._counters = counters
        self._on_done = on_done
        self._back_off = back_off
        #: protects what follows and the counts of all directories
        self._lock = threading.Lock()
        self._pending = 0
        #: whether every directory has been queued
        self._begun = False
        self._halted = False
        self._gone = False
        self._entries = self._bytes = 0
        self._error_count = 0
        self._errors: list[str] = []
        self._modes: list[str] = []

    def start(self) -> None:
        self._top.waiting = 1
        self._submit(self._begin, self._top, removing(float("inf")))

    @property
    def _stopping(self) -> bool:
        return self._halted or self._cancel.is_set() or self._pool.closed

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _submit(self, step: Step, directory: Directory, priority: Priority) -> None:
        with self._lock:
            self._pending += 1
        self._pool.submit(partial(self._run, step, directory), priority)

    def _run(self, step: Step, directory: Directory) -> None:
        """One job. Whatever happens in it is told, and the removal comes to its end."""
        try:
            if not self._stopping:
                step(directory, self._pool.gauge(self._cancel))
        except CrossesMount:
            self._halt(f"{directory.shown()}: contains a mount point")
        except TreeChanged as error:
            directory.unreachable = True
            self._keep(directory, [str(error)], 1)
        except FileNotFoundError as error:
            self._vanished(directory, error)
        except OSError as error:
            self._consider(directory, error)
            self._try_again(directory, _only(directory.shown(), error))
        except Exception as error:  # noqa: BLE001 - the removal must come to its end, and say that it is not complete
            _log.error("removing a tree failed", exc_info=error)
            self._halt(f"{directory.shown()}: an internal error ({error!r})")
        finally:
            self._ended()

    def _ended(self) -> None:
        with self._lock:
            self._pending -= 1
            if self._pending:
                return
        if self._gone:
            self._tell_rest()
        self._pool.descriptors.forget(self._tree)
        self._pool.let_go()
        self._on_done(self._result())

    def _result(self) -> Removal:
        if self._gone:
            outcome = RemovalOutcome.COMPLETE
        elif self._cancel.is_set() or self._pool.closed:
            outcome = RemovalOutcome.CANCELLED
        else:
            outcome = RemovalOutcome.FAILED
        return Removal(outcome, self._entries, self._bytes, self._error_count, tuple(self._errors), tuple(self._modes))

    # --- steps --------------------------------------------------------------------------------------------------------

    def _begin(self, top: Directory, gauge: Gauge) -> None:
        """Looks whether the top is the discovered one, and queues every directory that has entries to be unlinked."""
        self._pool.descriptors.forget_way(top)
        with self._pool.descriptors.pinned(top):
            gauge.done(Kind.READ)
        empty: list[Directory] = []
        run, unlink_all = self._run, self._empty  # one of each for all jobs: there may be a hundred thousand
        jobs: list[tuple[Priority, Callable[[], None]]] = []
        for directory in _from_top(top):
            directory.waiting = len(directory.children) + 1
            for child in directory.children:
                child.tail = directory.tail + len(directory.children)
            if directory.files:
                jobs.append((_weight(directory), partial(run, unlink_all, directory)))
            else:
                empty.append(directory)
        with self._lock:
            self._pending += len(jobs)
        self._begun = True
        self._pool.submit_each(jobs)
        for directory in empty:
            self._one_less(directory)

    def _empty(self, directory: Directory, gauge: Gauge) -> None:
        with self._pool.descriptors.pinned(directory) as descriptor:
            gauge.done(Kind.READ)
            leftover = self._unlink_all(directory, descriptor, gauge)
        if self._stopping:
            return
        if leftover.count:
            self._try_again(directory, leftover)
        else:
            self._one_less(directory)

    def _remove_children(self, directory: Directory, gauge: Gauge) -> None:
        """Removes the children, which are empty by now; those that are not are emptied again."""
        children, directory.children = directory.children, []
        full: list[tuple[Directory, _Leftover]] = []
        try:
            with self._pool.descriptors.pinned(directory) as descriptor:
                gauge.done(Kind.READ)
                self._remove_each(directory, descriptor, children, full, gauge)
        finally:
            directory.children = [*(child for child, _ in full), *children]
        if self._stopping:
            return
        with self._lock:
            directory.waiting += len(full)
        for child, leftover in full:
            self._try_again(child, leftover)
        self._one_less(directory)

    def _remove_each(
        self,
        directory: Directory,
        descriptor: int,
        children: list[Directory],
        full: list[tuple[Directory, _Leftover]],
        gauge: Gauge,
    ) -> None:
        """Uses `children` up, as far as it comes; those that can't be go to `full`, with what to say."""
        directory.kept = directory.kept or any(child.kept for child in children)
        children[:] = [child for child in children if not child.kept]
        names = [child.name for child in children]
        place = _Place(directory, gauge)
        children.reverse()
        at = 0
        while children and not self._stopping:
            done = bulk.rmdir(descriptor, names, at, gauge.spell_end(), place.known())
            self._tell_removed(_last(children, done.gone))
            at += done.gone
            if done.error is not None:
                [child] = _last(children, 1)
                at += 1
                error = self._rmdir_otherwise(child.name, descriptor, directory, done.error)
                if error is None:
                    self._tell_removed([child])
                else:
                    whose = _whose(error, descriptor, child.name)
                    full.append((child, _only(child.shown(), error, whose)))
            gauge.done(Kind.CHANGE, done.spell.operations, done.spell.last)

    def _tell_removed(self, directories: Sequence[Directory]) -> None:
        """Removed directories, with what was unlinked in them by others."""
        if directories:
            self._tell(
                sum(1 + directory.files for directory in directories),
                sum(directory.own + directory.allocated for directory in directories),
            )

    def _remove_top(self, top: Directory, gauge: Gauge) -> None:
        if top.kept:
            return
        name, parent = self._tree.name, self._tree.parent_fd
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        gauge.done(Kind.READ)
        if (status.st_dev, status.st_ino) != self._tree.top:
            raise TreeChanged(f"{visible(name)} is another directory than before")
        done = bulk.rmdir(parent, [name], 0, ONE, None)
        error = done.error and self._rmdir_otherwise(name, parent, None, done.error)
        gauge.done(Kind.CHANGE)
        if error is not None:
            self._try_again(top, _only(visible(name), error))
            return
        self._gone = True

    # --- from one step to the next ------------------------------------------------------------------------------------

    def _one_less(self, directory: Directory) -> None:
        """Something that the directory waited for has ended: its next step, or one less for its parent."""
        while True:
            with self._lock:
                directory.waiting -= 1
                if directory.waiting:
                    return
                directory.waiting = 1
            if directory.children and not directory.unreachable:
                self._submit(self._remove_children, directory, removing(len(directory.children) + directory.tail))
                return
            parent = directory.parent
            if parent is None:
                self._submit(self._remove_top, directory, removing(float("inf")))
                return
            assert isinstance(parent, Directory)
            directory = parent

    def _try_again(self, directory: Directory, leftover: _Leftover) -> None:
        """Empties it once more after a while, or keeps it where that would not help."""
        attempts, directory.attempts = directory.attempts, directory.attempts + 1
        directory.passes += 1
        if not leftover.may_pass or attempts >= len(self._back_off) or directory.passes >= MAX_PASSES:
            directory.unreachable = leftover.unreachable
            self._keep(directory, leftover.texts, leftover.count)
            return
        with self._lock:
            self._pending += 1
        step = self._empty if self._begun else self._begin
        job = partial(self._run, step, directory)
        self._pool.submit_later(job, self._back_off[attempts], _weight(directory), self._cancel)

    def _keep(self, directory: Directory, texts: Sequence[str], count: int) -> None:
        """Something in it stays, and so do all directories above it."""
        self._note(texts, count)
        directory.kept = True
        self._one_less(directory)

    def _vanished(self, directory: Directory, error: OSError) -> None:
        """Somebody else has removed it: fine. Only of the top nobody but us sees whether that is so."""
        if directory.parent is None:
            if self._is_gone():
                self._gone = True
            else:
                self._try_again(directory, _only(directory.shown(), error))
            return
        with self._lock:
            if directory.waiting == 1:
                for child in directory.children:
                    directory.files += 1 + child.files
                    directory.allocated += child.own + child.allocated
                directory.children = []
        self._one_less(directory)

    def _is_gone(self) -> bool:
        try:
            os.stat(self._tree.name, dir_fd=self._tree.parent_fd, follow_symlinks=False)
        except OSError as error:
            return error.errno == errno.ENOENT
        return False

    def _consider(self, directory: Directory, error: OSError) -> None:
        """What an error means beyond the entry that it was met at."""
        if error.errno in ENDS:
            self._halt(f"{directory.shown()}: {words_for(error)}")
        elif error.errno == errno.ESTALE:
            self._pool.descriptors.forget_way(directory)

    def _halt(self, text: str) -> None:
        self._note([text], 1)
        self._halted = True

    def _note(self, texts: Sequence[str], count: int) -> None:
        with self._lock:
            self._error_count += count
            self._errors += texts[: MAX_ERRORS - len(self._errors)]

    def _tell(self, entries: int, size: int) -> None:
        with self._lock:
            self._entries += entries
            self._bytes = bounded(self._bytes + size)
        if self._counters is not None:
            self._counters.add(entries, size)

    def _tell_rest(self) -> None:
        """What is gone without having been told: removed by others, or by an unlink whose answer got lost."""
        rest = [*_from_top(self._top)]
        entries = sum(directory.files + len(directory.children) for directory in rest)
        self._tell(entries, sum(directory.own + directory.allocated for directory in rest))

    # --- entries ------------------------------------------------------------------------------------------------------

    def _unlink_all(self, directory: Directory, descriptor: int, gauge: Gauge) -> _Leftover:
        """Unlinks all entries but the known directories, in batches: a listing ends before its unlinks start."""
        leftover = _Leftover()
        known = {child.name for child in directory.children}
        room = len(known) + directory.files + _MORE_NAMES
        begun = False
        more = True
        while more and not self._stopping:
            if room <= 0:
                leftover.add(_STILL_GROWING, lambda: f"{directory.shown()}: {words_for(_STILL_GROWING)}")
                break
            listing = bulk.list_names(descriptor, from_start=not begun, most=BATCH)
            names, strangers = _sort_out(listing, known, descriptor)
            more, begun = listing.more, True
            room -= BATCH
            gauge.done(Kind.OTHER)
            self._take_in(directory, descriptor, strangers, leftover)
            self._look_up(directory, descriptor, names, gauge)
            self._unlink(directory, descriptor, names, leftover, gauge)
        return leftover

    def _take_in(self, directory: Directory, descriptor: int, names: Sequence[bytes], leftover: _Leftover) -> None:
        """Directories that were made after the discovery: removed by the same rules as all others."""
        if names and directory.passes >= MAX_PASSES:
            leftover.add(_STILL_GROWING, lambda: f"{directory.shown()}: {words_for(_STILL_GROWING)}")
            return
        for name in names:
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_dev != self._tree.device:
                raise CrossesMount(errno.EXDEV, "another device", name)
            child = Directory(self._tree, directory, name, status.st_ino, status.st_blocks * 512)
            child.waiting = 1
            child.passes = directory.passes + 1
            child.tail = directory.tail + len(directory.children)
            with self._lock:
                directory.children.append(child)
                directory.waiting += 1
            self._submit(self._empty, child, _weight(child))

    def _look_up(self, directory: Directory, descriptor: int, names: list[bytes], gauge: Gauge) -> None:
        """Brings the names to the kernel's cache in parallel, where each would take a round trip in the unlink.

        All of this ends before the first unlink: NFS keeps a file that is being looked up under another name.
        """
        if len(names) < LOOK_UP_FROM:
            return
        first = bulk.look_up(descriptor, names, 0, ONE)
        gauge.done(Kind.READ)
        if first.took < SLOW:
            return
        parts = [names[at : at + _LOOK_UP_PART] for at in range(1, len(names), _LOOK_UP_PART)]
        self._pool.share(partial(self._look_up_part, descriptor), parts, _weight(directory))
        gauge.begin()

    def _look_up_part(self, descriptor: int, names: list[bytes]) -> None:
        gauge = self._pool.gauge(self._cancel)
        at = 0
        while at < len(names) and not self._stopping:
            spell = bulk.look_up(descriptor, names, at, gauge.spell_end())
            at += spell.operations
            gauge.done(Kind.READ, spell.operations, spell.last)

    def _unlink(
        self, directory: Directory, descriptor: int, names: list[bytes], leftover: _Leftover, gauge: Gauge
    ) -> None:
        """The loop that everything else is for: one spell of unlinks after the other, with a look at the cancel."""
        removed = at = 0
        told_at = gauge.stamp
        place = _Place(directory, gauge)
        try:
            while at < len(names) and not self._stopping:
                done = bulk.unlink(descriptor, names, at, gauge.spell_end(), place.known())
                removed += done.gone
                at += done.gone
                if done.error is not None:
                    removed += self._unlink_otherwise(directory, descriptor, names[at], done.error, leftover)
                    at += 1
                gauge.done(Kind.CHANGE, done.spell.operations, done.spell.last)
                if removed >= _TELL_EVERY or gauge.stamp > told_at + _TELL_AFTER:
                    self._tell_unlinked(directory, removed)
                    removed = 0
                    told_at = gauge.stamp
        finally:
            self._tell_unlinked(directory, removed)

    def _tell_unlinked(self, directory: Directory, count: int) -> None:
        """Counts unlinked entries, with their share of the bytes that the discovery saw in the directory."""
        if not count:
            return
        directory.attempts = 0
        share = directory.allocated if count >= directory.files else directory.allocated * count // directory.files
        directory.allocated -= share
        directory.files = max(0, directory.files - count)
        self._tell(count, share)

    def _unlink_otherwise(
        self, directory: Directory, descriptor: int, name: bytes, error: OSError, leftover: _Leftover
    ) -> bool:
        """After a failed unlink: makes the directory writable where we may, else notes why. Whether it is gone."""
        left = self._once_writable(bulk.unlink, name, descriptor, directory, error)
        if left is None:
            return True
        self._consider(directory, left)
        leftover.add(left, lambda: f"{directory.shown(name)}: {words_for(left)}{_whose(left, descriptor, name)}")
        return False

    def _rmdir_otherwise(
        self, name: bytes, descriptor: int, directory: Directory | None, error: OSError
    ) -> OSError | None:
        """After a failed rmdir: the error that keeps it. `directory` is the one open as `descriptor`, if ours."""
        left = self._once_writable(bulk.rmdir, name, descriptor, directory, error)
        if left is not None:
            self._consider(directory or self._top, left)
        return left

    def _once_writable(
        self, remove: _Remove, name: bytes, descriptor: int, directory: Directory | None, error: OSError
    ) -> OSError | None:
        """Once more where we may not and the directory can be made writable; the error that is left."""
        if error.errno not in FORBIDDEN or directory is None:
            return error
        try:
            if not self._make_writable(directory, descriptor):
                return error
            return remove(descriptor, [name], 0, ONE, directory.place).error
        except FileNotFoundError:
            return None
        except OSError as again:
            return again

    def _make_writable(self, directory: Directory, descriptor: int) -> bool:
        """Gives the owner, if that is us, all rights on a directory that lacks them (Go's module cache is 0555).

        Whether it was changed. No uid is compared: on some volumes the server makes us another user than we know.
        Raises OSError where that failed for another reason than that we may not.
        """
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & stat.S_IRWXU == stat.S_IRWXU:
            return False
        try:
            os.fchmod(descriptor, mode | stat.S_IRWXU)
        except PermissionError:
            return False
        with self._lock:
            if len(self._modes) < MAX_ERRORS:
                self._modes.append(f"{directory.shown()}: {mode:04o}")
        return True


class _Place:
    """Whether a directory that is worked in is still in the tree.

    An open descriptor goes along when a process that was at work in the tree moves the directory elsewhere, be it into
    a live workspace. The kernel can't be told to remove something only where it is below a certain directory, so this
    is looked at right before the first change of each call of bulk.py, and none goes on for longer than `bulk.SPELL`:
    on a volume where a change takes longer than that, before each. What another host moves this one learns by asking
    the server for the way from the top, after each `tree.WAY_GOOD_FOR` seconds. What remains is a move in between.
    """

    __slots__ = ("_directory", "_gauge", "_place", "_walked_until")

    def __init__(self, directory: Directory, gauge: Gauge) -> None:
        self._directory = directory
        self._gauge = gauge
        self._place = directory.place
        #: in the gauge's time
        self._walked_until = gauge.stamp + WAY_GOOD_FOR if directory.tree.asks_server else math.inf

    def known(self) -> bulk.Place:
        """Where it must be, as far as only this host moves it. Raises what `DescriptorCache.pinned` raises."""
        if self._gauge.stamp > self._walked_until:
            with self._gauge.pool.descriptors.pinned(self._directory):
                self._walked_until = self._gauge.stamp + WAY_GOOD_FOR
        return self._place


def _from_top(top: Directory) -> Iterator[Directory]:
    """All directories, each before its children."""
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        yield directory
        waiting += directory.children


def _weight(directory: Directory) -> Priority:
    return removing(directory.files + len(directory.children) + directory.tail)


def _last(directories: list[Directory], count: int) -> list[Directory]:
    """Takes so many from the end of the list."""
    at = len(directories) - count
    taken = directories[at:]
    del directories[at:]
    return taken


def _sort_out(listing: Listing, known: set[bytes], descriptor: int) -> tuple[list[bytes], list[bytes]]:
    """The names of a listing: those to unlink, and directories nobody knows.

    A name that was a directory at the discovery is left alone, whatever it is now.
    """
    directories = listing.directories() + [name for name in listing.untold() if _is_directory(name, descriptor)]
    strangers = [name for name in directories if name not in known]
    others = known.union(strangers)
    if not others:
        return listing.names, []
    return [name for name in listing.names if name not in others], strangers


def _is_directory(name: bytes, descriptor: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _only(shown: str, error: OSError, whose: str = "") -> _Leftover:
    leftover = _Leftover(unreachable=True)
    leftover.add(error, lambda: f"{shown}: {words_for(error)}{whose}")
    return leftover


def _whose(error: OSError, descriptor: int, name: bytes) -> str:
    """Who could do what we may not."""
    if error.errno not in FORBIDDEN:
        return ""
    try:
        if error.errno == errno.EACCES:
            return f" (the directory belongs to {_user(os.fstat(descriptor).st_uid)})"
        return f" (it belongs to {_user(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid)})"
    except OSError:
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
