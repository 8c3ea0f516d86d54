"""Many names of one directory at a time: listed, their attributes read, unlinked. The one way to the part in C.

At each system call Python gives its lock away and fetches it back, which costs more than the call itself where a disk
is quick. Here a call does as many operations as there is time for: hundreds on a quick disk, and one on a volume where
each is a round trip, so that a cancel, the limit and the place of a directory are looked at as often as they must be.

Names are bytes and single components: any other is refused (ValueError) before the kernel sees it.
"""

import os
from typing import NamedTuple

from sweeper_gui.storage import _native
from sweeper_gui.storage.claim import CLAIM
from sweeper_gui.storage.files import bounded

#: After so many seconds a call ends, but not before its first operation has.
SPELL = 200e-6
#: The `until` with which a call does one operation.
ONE = 0
#: What a listing says of an entry's kind (dirent.h).
_UNKNOWN, _DIRECTORY = 0, 4


class Listing(NamedTuple):
    """Names of a directory, without '.' and '..', the kind of each, and whether there may be more."""

    names: list[bytes]
    kinds: bytearray
    more: bool

    def directories(self) -> list[bytes]:
        """Those that are directories as far as the listing tells."""
        if _DIRECTORY not in self.kinds:
            return []
        return [name for name, kind in zip(self.names, self.kinds, strict=True) if kind == _DIRECTORY]

    def untold(self) -> list[bytes]:
        """Those whose kind the file system does not tell in a listing."""
        if _UNKNOWN not in self.kinds:
            return []
        return [name for name, kind in zip(self.names, self.kinds, strict=True) if kind == _UNKNOWN]


class Attributes(NamedTuple):
    """What is kept of one entry where somebody needs more than a sum. Bytes and nanoseconds, within 64 bits."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int


#: An entry's name and attributes, None where it did not answer.
Found = tuple[bytes, Attributes | None]


class Link(NamedTuple):
    """A file with several names, as one of them showed it; `blocks` are of 512 bytes."""

    inode: int
    names: int
    blocks: int
    apparent: int

    @property
    def allocated(self) -> int:
        """Bytes on the volume."""
        return self.blocks * 512


class Spell(NamedTuple):
    """What one call did: how many operations, and the seconds that they took together and the last of them did."""

    operations: int
    took: float
    last: float


class Removed(NamedTuple):
    """How many names are gone, those included that had been before, and the error of the one after them."""

    gone: int
    error: OSError | None
    spell: Spell


class Place(NamedTuple):
    """Where a directory must be for anything to be removed from it.

    A process that had been at work in a tree can move a part of it elsewhere, into a live workspace, and an open
    descriptor goes along. The kernel goes up its own tree of directories: it sees at once every rename made on this
    host, and no server is asked.
    """

    #: below the top of its tree
    levels: int
    #: (device, inode) of the top, and of the directory that the top is in
    top: tuple[int, int]
    home: tuple[int, int]


class Rules(NamedTuple):
    """How attributes are added up: see `Tally`."""

    device: int
    now_ns: int
    #: whether the server is asked, whatever this host knows
    fresh: bool
    #: whether the attributes of each entry are wanted too
    keep: bool


_ANY = Rules(0, 0, fresh=False, keep=False)


def until(stamp: float) -> int:
    """The time until which a call may go on that begins now, at `stamp` of the monotonic clock."""
    return int((stamp + SPELL) * 1e9)


def list_names(directory: int, *, from_start: bool, most: int) -> Listing:
    """The next names of an open directory, at least `most` (and some more) unless it ends before. Raises OSError."""
    return Listing(*_native.list_names(directory, from_start, most))


class Tally:
    """What some entries of one directory add up to; hard-linked files are not added up yet. Bytes and nanoseconds."""

    __slots__ = (
        "apparent", "blocks", "claimed", "directories", "entries", "errors", "kept", "links", "mounts", "newest",
        "newest_ctime", "newest_name",
    )  # fmt: skip

    def __init__(self, newest: int) -> None:
        self.entries = 0
        #: of 512 bytes
        self.blocks = 0
        self.apparent = 0
        #: the newest change (see `change_of`), where newer than the one given, and whose it is
        self.newest = bounded(newest)
        self.newest_name = b""
        self.newest_ctime = 0
        self.directories: list[tuple[bytes, int, int]] = []  # name, inode, blocks
        self.links: list[Link] = []
        #: on another device
        self.mounts: list[bytes] = []
        #: whether the directory is the root of another volume
        self.claimed = False
        self.errors: list[tuple[bytes, OSError]] = []
        #: the attributes of each entry where the rules say so, None for one that did not answer
        self.kept: list[Found] = []

    def read(self, directory: int, names: list[bytes], at: int, end: int, rules: Rules) -> Spell:
        """Reads the attributes of `names`, from number `at` on, and adds them up.

        Ends at the time `end`, but not before one is read. Links are not followed, and nothing is mounted for it.
        """
        (
            count, took, last, blocks, apparent, self.newest, newest_name, self.newest_ctime, claimed, directories,
            links, mounts, errors, kept,
        ) = _native.attributes(
            directory, names, at, end, rules.fresh, rules.device, rules.now_ns,
            self.newest, self.newest_ctime, CLAIM, rules.keep,
        )  # fmt: skip
        self.entries += count
        self.blocks += blocks
        self.apparent += apparent
        self.newest_name = self.newest_name if newest_name is None else newest_name
        self.claimed = self.claimed or claimed
        self.directories += directories
        self.mounts += mounts
        if links:
            self.links += [Link(*link) for link in links]
        if errors:
            self.errors += [(name, OSError(code, os.strerror(code))) for name, code in errors]
        if kept is not None:
            found = [None if one is None else Attributes(*one) for one in kept]
            self.kept += zip(names[at : at + count], found, strict=True)
        return Spell(count, took * 1e-9, last * 1e-9)

    def take_out(self, codes: frozenset[int]) -> tuple[list[bytes], OSError | None]:
        """The names that failed with one of these errors, which are then neither counted nor failed, and the last."""
        names = [name for name, error in self.errors if error.errno in codes]
        last = next((error for _, error in reversed(self.errors) if error.errno in codes), None)
        self.errors = [(name, error) for name, error in self.errors if error.errno not in codes]
        self.entries -= len(names)
        return names, last


def look_up(directory: int, names: list[bytes], at: int, end: int) -> Spell:
    """Brings `names` to the kernel's cache, from number `at` on, until the time `end`. What fails is not told."""
    return Tally(0).read(directory, names, at, end, _ANY)


def unlink(directory: int, names: list[bytes], at: int, end: int, place: Place | None) -> Removed:
    """Unlinks `names` in an open directory, from number `at` on, until the time `end` or the first error.

    Right before the first one it is looked whether the directory is in its place; None does not look. Raises an
    OSError, ESTALE, where it is elsewhere.
    """
    return _removed(_native.unlink(directory, names, at, end, place))


def rmdir(directory: int, names: list[bytes], at: int, end: int, place: Place | None) -> Removed:
    """As `unlink`, for empty directories."""
    return _removed(_native.rmdir(directory, names, at, end, place))


def _removed(answer: tuple[int, int, int, int]) -> Removed:
    count, code, took, last = answer
    error = OSError(code, os.strerror(code)) if code else None
    return Removed(count, error, Spell(count + bool(code), took * 1e-9, last * 1e-9))
