"""Reading a whole tree: every directory listed, every entry's attributes read, in parallel over directories.

What is done with the attributes is said by the two kinds of walk: measuring (measure.py) and the discovery before a
removal (remove.py). A walk never changes anything and never leaves the mount and the device that its top is on.
"""

import logging
import os
import stat
import threading
from abc import ABC, abstractmethod
from collections import deque
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

from sweeper_gui.core.usage import change_of
from sweeper_gui.storage.files import CrossesMount
from sweeper_gui.storage.queue import Gauge, Kind, Priority, WorkPool, after
from sweeper_gui.storage.tree import Node, Tree, TreeChanged

#: So many entries of one directory are held at once.
BATCH = 2048
#: So many attributes are read between two looks at the cancel and the clock, where that is quick.
PART = 16
#: An attribute that takes longer than this, in seconds, came over a network: those of a directory are then read in
#: parallel, by threads that find no other directory to read. (Some volumes serve one look-up in a directory at a time.)
SLOW = 100e-6
#: Errors that are kept with their text.
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
            self.bytes += size


class Link:
    """A file with several names, as one of them showed it."""

    __slots__ = ("allocated", "apparent", "count", "inode")

    def __init__(self, status: os.stat_result) -> None:
        self.inode = status.st_ino
        self.count = status.st_nlink
        self.allocated = status.st_blocks * 512
        self.apparent = status.st_size


class Tally:
    """What some entries of one directory add up to; hard-linked files are not added up yet. Bytes and nanoseconds."""

    __slots__ = (
        "apparent", "blocks", "directories", "entries", "errors", "links", "mounts", "newest", "newest_ctime",
        "newest_name",
    )  # fmt: skip

    def __init__(self, newest: int) -> None:
        self.entries = 0
        #: of 512 bytes
        self.blocks = 0
        self.apparent = 0
        #: the newest change, where newer than the one given, and whose it is
        self.newest = newest
        self.newest_name = ""
        self.newest_ctime = 0
        self.directories: list[tuple[str, int, int]] = []  # name, inode, blocks
        self.links: list[Link] = []
        self.mounts: list[str] = []
        self.errors: list[tuple[str, OSError]] = []

    def read(self, entries: "list[os.DirEntry[str]]", device: int, now_ns: int) -> None:
        """Reads the entries' attributes and adds them up. One function, because it runs for every entry there is."""
        blocks = apparent = 0
        newest, newest_ctime = self.newest, self.newest_ctime
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                self.errors.append((entry.name, error))
                continue
            if status.st_dev != device:
                self.mounts.append(entry.name)
                continue
            modified, changed = status.st_mtime_ns, status.st_ctime_ns
            if changed > newest_ctime:  # noqa: PLR1730 - max() would be a call for every entry there is
                newest_ctime = changed
            if changed > newest or modified > newest:
                change = change_of(modified, changed, now_ns)
                if change > newest:
                    newest = change
                    self.newest_name = entry.name
            if stat.S_ISDIR(status.st_mode):
                self.directories.append((entry.name, status.st_ino, status.st_blocks))
            elif status.st_nlink > 1:
                self.links.append(Link(status))
                continue
            blocks += status.st_blocks
            apparent += status.st_size
        self.entries += len(entries)
        self.blocks += blocks
        self.apparent += apparent
        self.newest, self.newest_ctime = newest, newest_ctime


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
    ) -> None:
        """Changes up to `newest_ns` are of no interest; those with an mtime later than `now_ns` go by their ctime.

        A `strict` walk ends at the first error or mount.
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
        #: protects everything above, and what the kinds of walk add
        self.lock = threading.Lock()
        #: no further directory is opened
        self.halted = False
        self._priority = priority
        self._counters = counters
        self._strict = strict
        self._pending = 1
        self._slow = False

    def start(self) -> None:
        """Queues the top. `end` will be called exactly once, from a thread of the pool."""
        self.pool.submit(partial(self._run, None), self._priority)

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

    # --- one directory ------------------------------------------------------------------------------------------------

    def _run(self, node: N | None) -> None:
        try:
            if not self.stopping:
                self._read_directory(node if node is not None else self._open_top())
        except CrossesMount:
            with self.lock:
                self.halted = self.halted or self._strict
                self.mounts.append(node.path() if node is not None else b"")
        except (TreeChanged, FileNotFoundError, NotADirectoryError):
            self._fail(node, "", CHANGED)
        except OSError as error:
            self._fail(node, "", error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - the walk must come to its end, and say that it is incomplete
            _log.error("reading a directory failed", exc_info=error)
            self._fail(node, "", f"an internal error ({error!r})")
        finally:
            self._ended()

    def _open_top(self) -> N:
        with self.pool.operation(Kind.READ):
            top, status = self.pool.descriptors.open_top(
                self.tree, lambda status: self.node(None, b"", status.st_ino, status.st_blocks * 512)
            )
        with self.lock:
            self.allocated += status.st_blocks * 512
            self.apparent += status.st_size
            self.begin(top, status)
        return top

    def _read_directory(self, node: N) -> None:
        gauge = self.pool.gauge(self.cancel)
        with self.pool.descriptors.pinned(node) as descriptor:
            gauge.done(Kind.READ)
            with os.scandir(descriptor) as listing:
                more = True
                while more and not self.stopping:
                    entries = list(islice(listing, BATCH))
                    gauge.done(Kind.OTHER)
                    more = len(entries) == BATCH
                    self._read_entries(node, entries, gauge)
            status = os.fstat(descriptor)
        with self.lock:
            self.listed(node, status)

    def _read_entries(self, node: N, entries: "list[os.DirEntry[str]]", gauge: Gauge) -> None:
        """In this thread while that is quick; as soon as it is slow the rest is shared out."""
        parts = deque(entries[at : at + PART] for at in range(0, len(entries), PART))
        entries.clear()  # an entry holds its attributes once they were read: each part goes when it is done
        tally = self._new_tally()
        while parts and not self.stopping:
            if self._slow and len(parts) > 1:
                self.pool.share(partial(self._read_part, node), parts, after(self._priority))
                break
            self._read_into(tally, parts.popleft(), gauge)
        self._add(node, tally)

    def _read_part(self, node: N, entries: "list[os.DirEntry[str]]") -> None:
        tally = self._new_tally()
        self._read_into(tally, entries, self.pool.gauge(self.cancel))
        self._add(node, tally)

    def _read_into(self, tally: Tally, entries: "list[os.DirEntry[str]]", gauge: Gauge) -> None:
        """One by one on a slow volume: there each is worth a look at the cancel, and tells that the volume answers."""
        if not self._slow:
            tally.read(entries, self.tree.device, self.now_ns)
            self._slow = gauge.done(Kind.READ, len(entries)) > SLOW * len(entries)
            return
        took = 0.0
        for entry in entries:
            if self.stopping:
                return
            tally.read([entry], self.tree.device, self.now_ns)
            took += gauge.done(Kind.READ)
        self._slow = took > SLOW * len(entries)

    def _new_tally(self) -> Tally:
        return Tally(self.newest_ns)

    def _add(self, node: N, tally: Tally) -> None:
        children = [
            self.node(node, os.fsencode(name), inode, blocks * 512) for name, inode, blocks in tally.directories
        ]
        with self.lock:
            self.entries += tally.entries
            self.directories += len(children)
            self.allocated += tally.blocks * 512
            self.apparent += tally.apparent
            self.newest_ctime_ns = max(self.newest_ctime_ns, tally.newest_ctime)
            self.mounts += [node.path(os.fsencode(name)) for name in tally.mounts]
            self.halted = self.halted or (self._strict and bool(tally.mounts))
            self._pending += len(children)
            self.take(node, tally, children)
        for name, error in tally.errors:
            self._fail(node, name, CHANGED if isinstance(error, FileNotFoundError) else error.strerror or str(error))
        if self._counters is not None:
            self._counters.add(tally.entries, tally.blocks * 512)
        self.pool.submit_all([partial(self._run, child) for child in children], self._priority)

    def _fail(self, node: N | None, name: str, words: str) -> None:
        with self.lock:
            self.halted = self.halted or self._strict
            self.error_count += 1
            if len(self.errors) < MAX_ERRORS:
                where = node.shown(os.fsencode(name)) if node is not None else "."
                self.errors.append(f"{where}: {words}")

    def _ended(self) -> None:
        with self.lock:
            self._pending -= 1
            if self._pending:
                return
        self.pool.descriptors.forget(self.tree)
        self.pool.let_go()
        self.end()
