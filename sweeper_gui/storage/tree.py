"""Directories of a pinned tree: how each is found again, and the descriptors that are kept open for it.

A tree hangs on its top, a name in a directory that the caller keeps open. Every directory below is a node that knows
its parent, its name there and its inode. To open one, the way is walked down from the nearest ancestor that is still
open, one component at a time, and each directory's (device, inode) is compared: so neither the depth of a tree nor the
length of a path matters, and what was swapped meanwhile is never mistaken for what had been there.
"""

import math
import os
import resource
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TypeVar

from sweeper_gui.core.names import visible
from sweeper_gui.storage import bulk, files

#: Open directories are kept up to this number. Jobs pin at most two each, and one more may be about to be closed, so
#: that with 64 in flight there are never more than 256.
MAX_OPEN = 160
_PER_JOB = 3.5
#: Of the descriptors that the process may have, those for everything else: logs, pipes, sockets, libraries.
_FOR_OTHERS = 24
#: Where other hosts may move directories, the way to one is walked anew after so many seconds.
WAY_GOOD_FOR = 0.2
#: A longer path is shown by its end.
_SHOWN_PATH = 240


N = TypeVar("N", bound="Node")


def most_jobs() -> int:
    """How many jobs may open directories at a time, by the process's limit of open files (RLIMIT_NOFILE)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_OPEN
    return max(1, int((soft - _FOR_OTHERS) / _PER_JOB))


class TreeChanged(Exception):
    """A name holds another directory than before."""


class Tree:
    """What all nodes of one tree share. `parent_fd` is the caller's and stays open until the tree is done with.

    With `asks_server` the server is asked for everything that is looked at, whatever this host knows.
    """

    __slots__ = ("_home", "asks_server", "device", "name", "parent_fd", "top")

    def __init__(self, parent_fd: int, name: bytes, *, asks_server: bool = False) -> None:
        self.device = -1
        #: (device, inode) of the top, once it has been opened
        self.top = (-1, -1)
        self.asks_server = asks_server
        self.moved(parent_fd, name)

    def moved(self, parent_fd: int, name: bytes) -> None:
        """The top has been renamed."""
        self.parent_fd = parent_fd
        self.name = name
        self._home: tuple[int, int] | None = None

    @property
    def home(self) -> tuple[int, int]:
        """The identity of the directory that the top is in, as `files.identity_of_open` gives it."""
        if self._home is None:
            self._home = files.identity_of_open(self.parent_fd)
        return self._home


class Node:
    """One directory. Its name is one component; the top's is empty."""

    __slots__ = ("depth", "handle", "inode", "name", "parent", "tree")

    def __init__(self, tree: Tree, parent: "Node | None", name: bytes, inode: int) -> None:
        self.tree = tree
        self.parent = parent
        #: levels below the top
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.name = name
        self.inode = inode
        #: its open descriptor, which belongs to the cache
        self.handle: _Handle | None = None

    @property
    def place(self) -> bulk.Place:
        """Where the directory must be for anything to be removed from it: in its tree, and the tree where it was."""
        return bulk.Place(self.depth, self.tree.top, self.tree.home)

    def path(self, entry: bytes = b"") -> bytes:
        """The path below the top, of the entry in this directory where one is given."""
        parts = [entry] if entry else []
        node: Node | None = self
        while node is not None and node.parent is not None:
            parts.append(node.name)
            node = node.parent
        return b"/".join(reversed(parts))

    def shown(self, entry: bytes = b"") -> str:
        """The path as it may be shown: '.' for the top, by its end where it is very long."""
        text = visible(self.path(entry)) or "."
        return text if len(text) <= _SHOWN_PATH else "…" + text[-_SHOWN_PATH:]


class _Handle:
    """An open descriptor and how many are using it. `node` is None once it is to be closed after use."""

    __slots__ = ("descriptor", "good_until", "node", "pins")

    def __init__(self, descriptor: int, node: Node) -> None:
        self.descriptor = descriptor
        self.node: Node | None = node
        self.pins = 1
        #: monotonic seconds
        self.good_until = monotonic() + WAY_GOOD_FOR if node.tree.asks_server else math.inf


class DescriptorCache:
    """Opens nodes, and keeps those open that were used last. Safe to use from any thread."""

    def __init__(self, capacity: int = MAX_OPEN) -> None:
        self._capacity = min(
            capacity, int(most_jobs() * (_PER_JOB - 1))
        )  # one that is being closed is not in the cache
        self._lock = threading.Lock()
        #: open and unpinned, the one that was used last at the end
        self._resting: OrderedDict[_Handle, None] = OrderedDict()
        self._open = 0
        #: to be closed by whoever comes first, without the lock: a file system may take its time for it
        self._leaving: deque[int] = deque()

    @property
    def open_now(self) -> int:
        """How many directories are open."""
        return self._open

    def open_top(self, tree: Tree, make: Callable[[os.stat_result], N]) -> tuple[N, os.stat_result]:
        """Opens the tree's top for the first time; `make` makes its node. Raises as `pinned` does."""
        descriptor = files.open_directory(tree.name, tree.parent_fd)
        status = _status(descriptor)
        tree.device = status.st_dev
        tree.top = (status.st_dev, status.st_ino)
        node = make(status)
        self.unpin(self._adopt(node, descriptor))
        if tree.asks_server and not files.is_listed_as(status.st_ino, tree.name, tree.parent_fd):
            raise TreeChanged(f"{visible(tree.name)} is another directory than this host takes it for")
        return node, status

    def pinned(self, node: Node) -> "_Pinned":
        """``with cache.pinned(node) as descriptor: …``: the node's descriptor, which stays open in the block.

        Raises `TreeChanged` where it or a directory above it is another one than before, `files.CrossesMount` where
        something is mounted there by now, NotADirectoryError, FileNotFoundError and other OSErrors.
        """
        return _Pinned(self, node)

    def forget_way(self, node: Node) -> None:
        """Makes the node and all above it be opened anew when they are needed next (a server said ESTALE)."""
        step: Node | None = node
        with self._lock:
            while step is not None:
                if step.handle is not None:
                    self._detach(step.handle)
                step = step.parent
        self._close_leaving()

    def forget(self, tree: Tree) -> None:
        """Closes what is open of a tree that is done with."""
        with self._lock:
            for handle in [handle for handle in self._resting if handle.node and handle.node.tree is tree]:
                self._detach(handle)
        self._close_leaving()

    def close(self) -> None:
        """Closes everything that nobody is using."""
        with self._lock:
            for handle in [*self._resting]:
                self._detach(handle)
        self._close_leaving()

    def pin(self, node: Node) -> "_Handle":
        """As `pinned`, until `unpin`. Walks down from the nearest open ancestor; each step is pinned until the next."""
        handle, way = self._nearest(node)
        for step in reversed(way):
            try:
                below = self._open_below(handle, step)
            finally:
                if handle is not None:
                    self.unpin(handle)
            handle = below
        assert handle is not None
        return handle

    def _nearest(self, node: Node) -> tuple[_Handle | None, list[Node]]:
        """The nearest open directory on the way up, pinned, and the nodes below it that must be opened."""
        way: list[Node] = []
        step: Node | None = node
        now = monotonic()
        with self._lock:
            while step is not None:
                handle = step.handle
                if handle is not None and handle.good_until < now:
                    self._detach(handle)
                elif handle is not None:
                    handle.pins += 1
                    self._resting.pop(handle, None)
                    return handle, way
                way.append(step)
                step = step.parent
        return None, way

    def _open_below(self, parent: _Handle | None, node: Node) -> _Handle:
        tree = node.tree
        name, above = (tree.name, tree.parent_fd) if parent is None else (node.name, parent.descriptor)
        if tree.asks_server:
            files.fresh_stat(b"", above)  # or a name that another host has moved away would still lead to what it was
        descriptor, identity = files.open_identified(name, above)
        if identity != (tree.device, node.inode):
            os.close(descriptor)
            raise TreeChanged(f"{node.shown()} is another directory than before")
        return self._adopt(node, descriptor)

    def _adopt(self, node: Node, descriptor: int) -> _Handle:
        """Makes it the node's descriptor, pinned; another thread may have been faster."""
        with self._lock:
            handle = node.handle
            if handle is None:
                handle = node.handle = _Handle(descriptor, node)
                self._open += 1
                self._make_room()
            else:
                handle.pins += 1
                self._resting.pop(handle, None)
                self._leaving.append(descriptor)
        self._close_leaving()
        return handle

    def unpin(self, handle: _Handle) -> None:
        """Once for each `pin`."""
        with self._lock:
            handle.pins -= 1
            if handle.pins:
                return
            if handle.node is None:
                self._leave(handle)
            else:
                self._resting[handle] = None
                self._make_room()
        self._close_leaving()

    def _make_room(self) -> None:
        while self._open > self._capacity and self._resting:
            self._detach(next(iter(self._resting)))

    def _detach(self, handle: _Handle) -> None:
        """Takes it from its node and has it closed, now or when its last user has ended. Holds the lock."""
        if handle.node is not None:
            handle.node.handle = None
            handle.node = None
        if not handle.pins:
            self._resting.pop(handle, None)
            self._leave(handle)

    def _leave(self, handle: _Handle) -> None:
        self._open -= 1
        self._leaving.append(handle.descriptor)

    def _close_leaving(self) -> None:
        while self._leaving:
            try:
                descriptor = self._leaving.popleft()
            except IndexError:  # another thread was faster
                return
            os.close(descriptor)


class _Pinned:
    """A descriptor that stays open in a `with` block."""

    __slots__ = ("_cache", "_handle", "_node")

    def __init__(self, cache: DescriptorCache, node: Node) -> None:
        self._cache = cache
        self._node = node

    def __enter__(self) -> int:
        self._handle = self._cache.pin(self._node)
        return self._handle.descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cache.unpin(self._handle)


def _status(descriptor: int) -> os.stat_result:
    """Of a directory that has just been opened, and is closed again where it can't be told."""
    try:
        return os.fstat(descriptor)
    except OSError:
        os.close(descriptor)
        raise
