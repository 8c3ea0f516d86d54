"""The seam to the part in C (storage/bulk.py) in the hands of a test."""

import os
from collections.abc import Callable

import pytest

from sweeper_gui.storage import bulk
from sweeper_gui.storage.bulk import Listing


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
