"""Reading a whole tree: every directory listed, every entry's attributes read, in parallel over directories.

What is done with the attributes is said by the two kinds of walk: measuring (measure.py) and the discovery before a
removal (remove.py). A walk never changes anything and never leaves the mount and the device that its top is on.
"""

import errno
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Generic, TypeVar

from sweeper_gui.storage import bulk, files
from sweeper_gui.storage.attempts import BACK_OFF, NO_ANSWER
from sweeper_gui.storage.bulk import Found, Listing, Tally
from sweeper_gui.storage.files import CrossesMount
from sweeper_gui.storage.mounts import is_network
from sweeper_gui.storage.queue import Gauge, Kind, Priority, WorkPool, after
from sweeper_gui.storage.tree import Node, Tree, TreeChanged

#: So many entries of one directory are held at once.
BATCH = 2048
#: So many entries are a part of the work where several threads read the attributes of one directory.
PART = 16
#: An attribute that takes longer than this, in seconds, came over a network: those of a directory are then read in
#: parallel, by threads that find no other directory to read. (Some volumes serve one look-up in a directory at a time.)
SLOW = 100e-6
#: Errors that are kept with their text, and roots of other volumes with their path.
MAX_ERRORS = 5
#: A readable sentence for errors that mean that somebody is at work in the tree.
CHANGED = "changed while it was read"

N = TypeVar("N", bound=Node)
_log = logging.getLogger(__name__)


class Counters:
    """How far a walk or a removal is: entries, and allocated bytes. Anyone may read them at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.entries = 0
        self.bytes = 0

    def add(self, entries: int, size: int) -> None:
        """Called by workers, a few times a second or for some dozens of entries at once."""
        with self._lock:
            self.entries += entries
            self.bytes = files.bounded(self.bytes + size)


class _Reading(Generic[N]):
    """An open directory whose entries are read; `directories` are those among them, where somebody wants to know."""

    __slots__ = ("descriptor", "directories", "node", "rules")

    def __init__(self, node: N, descriptor: int, rules: bulk.Rules, directories: Set[bytes]) -> None:
        self.node = node
        self.descriptor = descriptor
        self.rules = rules
        self.directories = directories


#: A part of a walk. What raises has added nothing yet, so that it can be tried again.
Step = Callable[[], None]


class Walk(ABC, Generic[N]):
    """One tree that is being read. `parent_fd` stays open, and is the caller's, until the walk has ended."""

    def __init__(
        self,
        pool: WorkPool,
        parent_fd: int,
        name: bytes,
        *,
        priority: Priority,
        cancel: threading.Event,
        now_ns: int,
        newest_ns: int,
        counters: Counters | None,
        strict: bool = False,
        back_off: Sequence[float] = BACK_OFF,
    ) -> None:
        """Changes up to `newest_ns` are of no interest; those with an mtime later than `now_ns` go by their ctime.

        A `strict` walk ends at the first error, mount or root of another volume, and on a network file system it has
        all attributes from the server: a change that another host made in the last minute must be seen. What did not
        answer is read again after each time of `back_off`, in seconds, before it is an error.
        """
        self.pool = pool
        self.tree = Tree(parent_fd, name)
        self.cancel = cancel
        self.now_ns = now_ns
        self.newest_ns = newest_ns
        self.newest_ctime_ns = 0
        self.entries = self.directories = self.allocated = self.apparent = 0
        self.error_count = 0
        self.errors: list[str] = []
        self.mounts: list[bytes] = []
        self.other_roots: list[bytes] = []
        #: protects everything above, and what the kinds of walk add
        self.lock = threading.Lock()
        #: no further directory is opened
        self.halted = False
        self._priority = priority
        self._counters = counters
        self._strict = strict
        self._back_off = back_off
        self._pending = 1
        self._slow = False

    def start(self) -> None:
        """Queues the top. `end` will be called exactly once, from a thread of the pool."""
        self.pool.submit(partial(self._run, self._read_top, None), self._priority)

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to be read."""
        return self.halted or self.cancel.is_set() or self.pool.closed

    # --- what the kinds of walk say -----------------------------------------------------------------------------------

    @abstractmethod
    def begin(self, top: N, status: os.stat_result) -> None:
        """The top has been opened. Called with the lock held."""

    @abstractmethod
    def node(self, parent: N | None, name: bytes, inode: int, size: int) -> N:
        """A node for a directory that was found, which itself takes `size` bytes; the top has no parent."""

    @abstractmethod
    def take(self, node: N, tally: Tally, children: list[N]) -> None:
        """Some entries of a directory were read, `children` the directories among them. Called with the lock held."""

    @abstractmethod
    def listed(self, node: N, status: os.stat_result) -> None:
        """A directory was read to its end; the status is as of then. Called with the lock held."""

    @abstractmethod
    def end(self) -> None:
        """All that was begun has ended."""

    def enter(self, node: N, descriptor: int, listing: Listing) -> None:
        """A directory's names are known, all of them unless there are more; no attributes have been read yet."""

    def wants(self, node: N) -> bool:  # noqa: ARG002 - one kind of walk looks at it
        """Whether `seen` is to be called with what the directory's entries show."""
        return False

    def seen(self, node: N, found: Sequence[Found], directories: Set[bytes]) -> None:
        """The attributes of some entries have been read; `directories` are those that the listing calls so."""

    def further(self) -> Sequence[Step]:
        """Jobs that wait for all directories to be read; asked for again when they have ended, until there are none."""
        return ()

    # --- one directory ------------------------------------------------------------------------------------------------

    def _run(self, step: Step, node: N | None, attempt: int = 0) -> None:
        """One job. `attempt` says how often it has been tried before."""
        try:
            if not self.stopping:
                step()
        except CrossesMount:
            with self.lock:
                self.halted = self.halted or self._strict
                self.mounts.append(node.path() if node is not None else b"")
        except TreeChanged:
            self._fail(node, b"", CHANGED)
        except OSError as error:
            if error.errno not in NO_ANSWER or not self._later(step, node, error, attempt):
                self._fail(node, b"", _words_for(error))
        except Exception as error:  # noqa: BLE001 - the walk must come to its end, and say that it is incomplete
            _log.error("reading a directory failed", exc_info=error)
            self._fail(node, b"", f"an internal error ({error!r})")
        finally:
            self._ended()

    def _later(self, step: Step, node: N | None, error: OSError, attempt: int) -> bool:
        """Queues a step that got no answer once more, after a while; False where it was tried often enough."""
        if attempt >= len(self._back_off):
            return False
        if error.errno == errno.ESTALE and node is not None:
            self.pool.descriptors.forget_way(node)
        with self.lock:
            self._pending += 1
        job = partial(self._run, step, node, attempt + 1)
        self.pool.submit_later(job, self._back_off[attempt], self._priority, self.cancel)
        return True

    def _read_top(self) -> None:
        self.tree.asks_server = self._strict and is_network(self.tree.parent_fd)
        with self.pool.operation(Kind.READ):
            top, status = self.pool.descriptors.open_top(
                self.tree, lambda status: self.node(None, b"", status.st_ino, status.st_blocks * 512)
            )
        self._rules = bulk.Rules(status.st_dev, files.bounded(self.now_ns), self.tree.asks_server, keep=False)
        with self.lock:
            self.allocated += status.st_blocks * 512
            self.apparent += status.st_size
            self._pending += 1
            self.begin(top, status)
        self._run(partial(self._read_directory, top), top)

    def _read_directory(self, node: N) -> None:
        gauge = self.pool.gauge(self.cancel)
        with self.pool.descriptors.pinned(node) as descriptor:
            gauge.done(Kind.READ)
            listing = bulk.list_names(descriptor, from_start=True, most=BATCH)
            gauge.done(Kind.OTHER)
            self.enter(node, descriptor, listing)
            gauge.begin()
            self._read_listing(node, descriptor, listing, gauge)
            try:
                self._take_end(node, descriptor)
            except OSError:  # tried again on its own: the entries have been added
                with self.lock:
                    self._pending += 1
                self._run(partial(self._read_end, node), node)

    def _read_listing(self, node: N, descriptor: int, listing: Listing, gauge: Gauge) -> None:
        """The first entries and all that follow. An error after the first is final: these have been added."""
        while not self.stopping:
            if listing.names:
                self._read_entries(self._reading(node, descriptor, listing), listing.names, gauge)
            if not listing.more or self.stopping:
                return
            try:
                listing = bulk.list_names(descriptor, from_start=False, most=BATCH)
            except OSError as error:
                self._fail(node, b"", _words_for(error))
                return
            gauge.done(Kind.OTHER)

    def _reading(self, node: N, descriptor: int, listing: Listing | None = None) -> "_Reading[N]":
        if listing is not None and self.wants(node):
            return _Reading(node, descriptor, self._rules._replace(keep=True), frozenset(listing.directories()))
        return _Reading(node, descriptor, self._rules, frozenset())

    def _read_end(self, node: N) -> None:
        """The directory itself, once it has been listed."""
        with self.pool.descriptors.pinned(node) as descriptor:
            self._take_end(node, descriptor)

    def _take_end(self, node: N, descriptor: int) -> None:
        status = files.fresh_stat(b"", descriptor) if self.tree.asks_server else os.fstat(descriptor)
        with self.lock:
            self.listed(node, status)

    def _read_again(self, node: N, names: list[bytes], attempt: int) -> None:
        """Entries that were listed and did not answer."""
        with self.pool.descriptors.pinned(node) as descriptor:
            self._read_part(self._reading(node, descriptor), names, attempt)

    def _read_entries(self, reading: "_Reading[N]", names: list[bytes], gauge: Gauge) -> None:
        """In this thread while that is quick; as soon as it is slow the rest is shared out."""
        tally = self._new_tally()
        at = 0
        while at < len(names) and not self.stopping and not (self._slow and len(names) - at > PART):
            at += self._read_spell(reading, tally, names, at, gauge)
        self._add_read(reading, tally)
        if at < len(names) and not self.stopping:
            parts = [names[start : start + PART] for start in range(at, len(names), PART)]
            self.pool.share(partial(self._read_part, reading), parts, after(self._priority))
            gauge.begin()

    def _read_part(self, reading: "_Reading[N]", names: list[bytes], attempt: int = 0) -> None:
        gauge = self.pool.gauge(self.cancel)
        tally = self._new_tally()
        at = 0
        while at < len(names) and not self.stopping:
            at += self._read_spell(reading, tally, names, at, gauge)
        self._add_read(reading, tally, attempt)

    def _read_spell(self, reading: "_Reading[N]", tally: Tally, names: list[bytes], at: int, gauge: Gauge) -> int:
        """Some entries; on a slow volume one: each is worth a look at the cancel, and tells that the volume answers."""
        spell = tally.read(reading.descriptor, names, at, gauge.spell_end(), reading.rules)
        self._slow = spell.took > SLOW * spell.operations
        gauge.done(Kind.READ, spell.operations, spell.last)
        return spell.operations

    def _add_read(self, reading: "_Reading[N]", tally: Tally, attempt: int = 0) -> None:
        if tally.kept:
            self.seen(reading.node, tally.kept, reading.directories)
        self._add(reading.node, tally, attempt)

    def _new_tally(self) -> Tally:
        return Tally(self.newest_ns)

    def _add(self, node: N, tally: Tally, attempt: int = 0) -> None:
        """Adds up what was read; what did not answer is read again."""
        if attempt < len(self._back_off):
            names, error = tally.take_out(NO_ANSWER)
            if error is not None:
                self._later(partial(self._read_again, node, names, attempt + 1), node, error, attempt)
        children = [self.node(node, name, inode, blocks * 512) for name, inode, blocks in tally.directories]
        with self.lock:
            self.entries += tally.entries
            self.directories += len(children)
            self.allocated += tally.blocks * 512
            self.apparent += tally.apparent
            self.newest_ctime_ns = max(self.newest_ctime_ns, tally.newest_ctime)
            self.mounts += [node.path(name) for name in tally.mounts]
            if tally.claimed and len(self.other_roots) < MAX_ERRORS:
                self.other_roots.append(node.path())
            self.halted = self.halted or (self._strict and bool(tally.mounts or tally.claimed))
            self._pending += len(children)
            self.take(node, tally, children)
        for name, error in tally.errors:
            self._fail(node, name, _words_for(error))
        if self._counters is not None:
            self._counters.add(tally.entries, tally.blocks * 512)
        jobs = [partial(self._run, partial(self._read_directory, child), child) for child in children]
        self.pool.submit_all(jobs, self._priority)

    def _fail(self, node: N | None, name: bytes, words: str) -> None:
        with self.lock:
            self.halted = self.halted or self._strict
            self.error_count += 1
            if len(self.errors) < MAX_ERRORS:
                where = node.shown(name) if node is not None else "."
                self.errors.append(f"{where}: {words}")

    def _ended(self) -> None:
        with self.lock:
            self._pending -= 1
            if self._pending:
                return
            steps = () if self.stopping else self.further()  # nothing else of this walk runs now
            self._pending = len(steps)
        if steps:
            self.pool.submit_all([partial(self._run, step, None) for step in steps], self._priority)
            return
        self.pool.descriptors.forget(self.tree)
        self.pool.let_go()
        self.end()


def _words_for(error: OSError) -> str:
    """What to say of something that could not be read."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return CHANGED
    return error.strerror or str(error)
