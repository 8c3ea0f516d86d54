"""What only this repository has: commits that no remote-tracking branch holds, and what is staged."""

import heapq
from collections.abc import Callable, Iterable, Iterator

from sweeper_gui.storage.repositories.index import DIRECTORY, GITLINK, HEAD, REGULAR, Index
from sweeper_gui.storage.repositories.objects import Objects

#: More are not counted.
MOST_COMMITS = 1_000


def unpushed(objects: Objects, branches: Iterable[bytes], remote: set[bytes], shallow: frozenset[bytes]) -> int:
    """How many commits are reached from the branches and not from remote-tracking ones; beyond 1,000 it stops counting.

    Both sides are followed from their tips, the newest commit first, until only what a remote has is left. A commit
    whose clock was wrong can make this tell of commits that are pushed, never the other way round.
    """
    tips = {id_ for id_ in branches if id_ not in remote}
    if not tips:
        return 0
    own = {id_ for id_ in map(objects.peeled, tips) if id_ is not None}
    walk = _Walk(objects, shallow)
    for id_ in {id_ for id_ in map(objects.peeled, remote) if id_ is not None} if own else ():
        walk.reach(id_, pushed=True)
    for id_ in own:
        walk.reach(id_, pushed=False)
    return walk.count()


class _Walk:
    """Commits that were reached: each waits in the heap until its parents are reached from it."""

    def __init__(self, objects: Objects, shallow: frozenset[bytes]) -> None:
        self._objects = objects
        self._shallow = shallow
        self._pushed: dict[bytes, bool] = {}
        self._heap: list[tuple[int, bytes]] = []
        self._parents: dict[bytes, list[bytes]] = {}
        #: how many in the heap are not known to be pushed
        self._open = 0
        #: the counted ones and their times
        self._only_here: dict[bytes, int] = {}

    def reach(self, id_: bytes, *, pushed: bool) -> None:
        """The commit is reached; that a remote has it is passed on to what was reached from it before."""
        known = self._pushed.get(id_)
        if known is None:
            commit = self._objects.commit(id_)
            self._parents[id_] = [] if id_ in self._shallow else [bytes(parent) for parent in commit.parents]
            self._pushed[id_] = pushed
            self._open += not pushed
            heapq.heappush(self._heap, (-commit.commit_time, id_))
        elif pushed and not known:
            self._pushed[id_] = True
            time = self._only_here.pop(id_, None)
            if time is None:
                self._open -= 1  # it still waits
            else:
                heapq.heappush(self._heap, (-time, id_))

    def count(self) -> int:
        """How many are left that no remote has."""
        while self._heap and len(self._only_here) <= MOST_COMMITS:
            time, id_ = self._heap[0]
            if not self._open and -time < min(self._only_here.values(), default=-time + 1):
                break
            heapq.heappop(self._heap)
            pushed = self._pushed[id_]
            if not pushed:
                self._open -= 1
                self._only_here[id_] = -time
            for parent in self._parents[id_]:
                self.reach(parent, pushed=pushed)
        return len(self._only_here)


def staged(objects: Objects, index: Index, head: bytes | None, check: Callable[[], None]) -> Iterator[bytes]:
    """The paths whose entries in the index and in the commit checked out differ; only trees that differ are read."""
    tree = objects.commit(head).tree if head is not None else None
    if index.root is None or (tree is not None and bytes.fromhex(tree.decode()) == index.root):
        return  # what is not merged is told as such
    folders: dict[bytes, list[bytes]] = {}
    for path in index.trees:
        folders.setdefault(path.rpartition(b"/")[0], []).append(path)
    waiting: list[tuple[bytes, bytes | None]] = [(b"", bytes(tree) if tree is not None else None)]
    while waiting:
        check()
        path, id_ = waiting.pop()
        here = dict(_entries(index, path, folders))
        there = {name: (_canonical(mode), entry) for name, mode, entry in objects.tree(id_)} if id_ is not None else {}
        for name in here.keys() | there.keys():
            ours, theirs = here.get(name), there.get(name)
            if ours == theirs:
                continue
            below = path + b"/" + name if path else name
            if DIRECTORY in (ours and ours[0], theirs and theirs[0]):
                waiting.append((below, theirs[1] if theirs and theirs[0] == DIRECTORY else None))
            if any(side and side[0] != DIRECTORY for side in (ours, theirs)):
                yield below


def _entries(index: Index, path: bytes, folders: dict[bytes, list[bytes]]) -> Iterator[tuple[bytes, tuple[int, bytes]]]:
    """What is in one directory of the index: name, mode and id."""
    for name, head in index.directories.get(path, ()):
        if head and (path + b"/" + name if path else name) not in index.intended:
            fields = HEAD.unpack_from(head)
            yield name, (_canonical(fields[6]), fields[10].hex().encode())
    for below in folders.get(path, ()):
        yield below.rpartition(b"/")[2], (DIRECTORY, index.trees[below].hex().encode())


def _canonical(mode: int) -> int:
    """As git writes it today: old trees hold other permissions."""
    kind = mode & 0o170000
    if kind == REGULAR:
        return REGULAR | (0o755 if mode & 0o100 else 0o644)
    return kind if kind in (DIRECTORY, GITLINK) else 0o120000
