"""The seam to the part in C (storage/bulk.py) in the hands of a test."""

import os
from collections.abc import Callable

import pytest

from sweeper_gui.storage import bulk
from sweeper_gui.storage.bulk import ONE, Listing, Place, Removed, Spell

#: What `bulk.unlink` and `bulk.rmdir` are.
Remove = Callable[[int, list[bytes], int, int, Place | None], Removed]


def list_in_pieces(patch: pytest.MonkeyPatch, size: int, before: Callable[[], None] = lambda: None) -> None:
    """Directories are listed so many names at a time; `before` is called before each piece, and may raise."""
    rests: dict[int, Listing] = {}
    original = bulk.list_names

    def list_names(directory: int, *, from_start: bool, most: int) -> Listing:
        before()
        inode = os.fstat(directory).st_ino
        whole = original(directory, from_start=True, most=10**6) if from_start else rests.pop(inode)
        rest = rests[inode] = Listing(whole.names[size:], whole.kinds[size:], more=False)
        return Listing(whole.names[:size], whole.kinds[:size], more=bool(rest.names))

    patch.setattr(bulk, "list_names", list_names)


def one_by_one(remove: Remove, before: Callable[[int, bytes], None]) -> Remove:
    """The same, one name a call: so each is a step. What `before` raises as OSError is what becomes of the name.

    `before` is given the descriptor of the directory and the name.
    """

    def act(directory: int, names: list[bytes], at: int, end: int, place: Place | None) -> Removed:
        if at < len(names):
            try:
                before(directory, names[at])
            except OSError as error:
                return Removed(0, error, Spell(1, 0.0, 0.0))
        return remove(directory, names, at, ONE, place)

    return act
