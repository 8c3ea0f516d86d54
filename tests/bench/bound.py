"""The least time in which a tree can be removed on a volume where every operation is a round trip."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bound:
    """Seconds: the longest chain of operations that must follow each other, and all work shared by those in flight."""

    chain: float
    work: float

    @property
    def seconds(self) -> float:
        """The larger of the two."""
        return max(self.chain, self.work)


def bound_of(trees: list[Path], read: float, write: float, in_flight: int) -> Bound:
    """For removing all trees together. `read` and `write` are what an operation takes, in seconds.

    The chain: nothing may be unlinked before all is discovered, and a directory is discovered by a look-up, an open and
    a listing after its parent's, and one more look-up for its entries, however many are asked for at once. Changes in
    one directory follow each other, since the kernel serialises them; look-ups are made ahead of them. The work: a
    look-up of every entry, an open and a listing of every directory, and a change for everything, each once.
    """
    discovered = removed = work = 0.0
    for tree in trees:
        chain = _Chain(read, write)
        removed = max(removed, chain.below(tree) + write)
        discovered = max(discovered, chain.deepest)
        work += chain.work + read + write
    return Bound(discovered + removed, work / in_flight)


class _Chain:
    def __init__(self, read: float, write: float) -> None:
        self._read = read
        self._write = write
        self.work = 0.0
        #: when the last directory is discovered
        self.deepest = 0.0

    def below(self, directory: Path, begun: float = 0.0) -> float:
        """How long it takes to empty a directory, once all is discovered."""
        listed = begun + 3 * self._read
        self.deepest = max(self.deepest, listed + self._read)
        with os.scandir(directory) as listing:
            entries = list(listing)
        children = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        self.work += 2 * self._read + len(entries) * (self._read + self._write)
        slowest = max((self.below(Path(child.path), listed) for child in children), default=0.0)
        return max((len(entries) - len(children)) * self._write, slowest) + len(children) * self._write
