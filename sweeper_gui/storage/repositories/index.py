"""The index: what git last knew of each file of a work tree, and which tree a commit of it would make.

Read here rather than with dulwich, which takes several times as long for an entry, ignores extensions without which an
index is not whole (a split one), and does not read long names or far compressed ones.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from sweeper_gui.storage.repositories.access import Unreadable

#: of `Head`: what an entry's first bytes hold
HEAD = struct.Struct(">10I20sH")
REGULAR, SYMLINK, GITLINK, DIRECTORY = 0o100000, 0o120000, 0o160000, 0o040000
SKIP_WORKTREE, INTENT_TO_ADD = 0x4000, 0x2000
#: stands for an entry that is not compared, because it is told already
TOLD = b""

_EXTENDED = 0x4000
_STAGE = 0x3000
_NAME_LENGTH = 0xFFF
#: No path can be opened that is longer.
_MAX_PATH = 4096
#: So many entries are read between two looks at the clock.
_LOOK_EVERY = 2048
_SPLIT = "its index is split into two files, which can't be read"


@dataclass
class Index:
    """An index. Paths are below the work tree, without a slash at the end; the top's is empty.

    `directories` holds for each tracked directory the entries in it, name and first bytes (`HEAD`, and the flags of an
    extended entry), `trees` the id that each would have as a tree; `root` is that of the top, None where entries are
    unmerged. Ids are binary.
    """

    stamp_ns: int = 0
    directories: dict[bytes, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    trees: dict[bytes, bytes] = field(default_factory=dict)
    gitlinks: dict[bytes, bytes] = field(default_factory=dict)
    unmerged: set[bytes] = field(default_factory=set)
    intended: set[bytes] = field(default_factory=set)
    root: bytes | None = None


def read_index(content: bytes, stamp_ns: int, check: Callable[[], None]) -> Index:
    """The index in a file's content, last written at `stamp_ns`. Raises `Unreadable`, and whatever `check` raises."""
    try:
        return _Reader(content, stamp_ns, check).read()
    except (struct.error, IndexError) as error:
        raise Unreadable("its index is damaged") from error


class _Reader:
    """One pass over the content. Entries are in the order of their paths, which is that of the trees' entries too."""

    def __init__(self, content: bytes, stamp_ns: int, check: Callable[[], None]) -> None:
        self._content = content
        self._check = check
        self._index = Index(stamp_ns)
        self._directories = self._index.directories
        #: the directories that are open, from the top down: path, and the tree that it makes
        self._open: list[tuple[bytes, bytearray]] = []
        self._room = max(1 << 20, 4 * len(content))

    def read(self) -> Index:
        content = self._content
        signature, version, count = struct.unpack_from(">4sII", content)
        if signature != b"DIRC" or version not in (2, 3, 4):
            raise Unreadable("its index has an unknown format")
        if content[-20:] not in (b"\0" * 20, hashlib.sha1(content[:-20], usedforsecurity=False).digest()):
            raise Unreadable("its index is damaged")
        if count * (HEAD.size + 2) > len(content):
            raise Unreadable("its index is damaged")
        self._enter(b"")
        self._read_extensions(self._read_entries(version, count))
        while self._open:
            self._leave()
        if self._index.unmerged:
            self._index.root = None
        return self._index

    def _read_entries(self, version: int, count: int) -> int:
        """Returns where they end."""
        content, at, before = self._content, 12, b""
        for number in range(count):
            if number % _LOOK_EVERY == 0:
                self._check()
            (flags,) = struct.unpack_from(">H", content, at + 60)
            name_at = at + (HEAD.size + 2 if flags & _EXTENDED else HEAD.size)
            if version == 4:
                kept, name_at = _varint(content, name_at)
                if kept > len(before):
                    raise Unreadable("its index is damaged")
                end = content.index(b"\0", name_at, name_at + _MAX_PATH + 1) if name_at < len(content) else -1
                path = before[: len(before) - kept] + content[name_at:end]
                following = end + 1
            else:
                length = flags & _NAME_LENGTH
                end = name_at + length if length < _NAME_LENGTH else _end_of_name(content, name_at)
                path = content[name_at:end]
                following = at + ((end - at + 8) & ~7)
            self._take(path, before, flags, content[at : at + (64 if flags & _EXTENDED else 62)])
            before, at = path, following
        return at

    def _take(self, path: bytes, before: bytes, flags: int, head: bytes) -> None:
        unmerged = bool(flags & _STAGE)
        if not path:  # one that replaces an entry of the other part
            raise Unreadable(_SPLIT)
        if path < before or (path == before and not unmerged) or len(path) > _MAX_PATH:
            raise Unreadable("its index is damaged")
        directory, _, name = path.rstrip(b"/").rpartition(b"/")
        if self._open[-1][0] != directory:
            self._go_to(directory)
        if unmerged:
            if path != before:
                self._directories[directory].append((name, TOLD))
                self._index.unmerged.add(path)
            return
        mode = int.from_bytes(head[24:28], "big")
        kind = mode & 0o170000
        if kind == DIRECTORY:  # left out of the work tree: stands for everything in it
            self._index.trees[path.rstrip(b"/")] = head[40:60]
        else:
            self._directories[directory].append((name, head))
        if kind == GITLINK:
            self._index.gitlinks[path] = head[40:60]
        if len(head) > HEAD.size and head[62] & (INTENT_TO_ADD >> 8):
            self._index.intended.add(path)
            return
        self._open[-1][1].extend(b"%o %s\0%s" % (mode, name, head[40:60]))

    def _go_to(self, directory: bytes) -> None:
        while self._open[-1][0] and not directory.startswith(self._open[-1][0] + b"/"):
            if self._open[-1][0] == directory:
                return
            self._leave()
        at = len(self._open[-1][0])
        while len(self._open[-1][0]) < len(directory):
            at = directory.find(b"/", at + 1)
            self._enter(directory if at < 0 else directory[:at])

    def _enter(self, directory: bytes) -> None:
        self._room -= len(directory)
        if self._room < 0:
            raise Unreadable("its index has too many directories in each other")
        self._directories.setdefault(directory, [])
        self._open.append((directory, bytearray()))

    def _leave(self) -> None:
        directory, tree = self._open.pop()
        digest = hashlib.sha1(b"tree %d\0%s" % (len(tree), tree), usedforsecurity=False).digest()
        if not self._open:
            self._index.root = digest
        elif tree:  # a tree without entries is not written
            self._index.trees[directory] = digest
            self._open[-1][1].extend(b"40000 %s\0%s" % (directory.rpartition(b"/")[2], digest))

    def _read_extensions(self, at: int) -> None:
        """Passes those that only make git faster; without the others the entries are not what they seem."""
        while at < len(self._content) - 20:
            signature, length = struct.unpack_from(">4sI", self._content, at)
            if signature == b"link":
                raise Unreadable(_SPLIT)
            if not 65 <= signature[0] <= 90 and signature != b"sdir":
                raise Unreadable("its index has an unknown extension")
            at += 8 + length


def _end_of_name(content: bytes, at: int) -> int:
    end = content.find(b"\0", at, at + _MAX_PATH + 1)
    if end < 0:
        raise Unreadable("its index is damaged")
    return end


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number as version 4 writes it, and where it ends."""
    value = content[at] & 0x7F
    while content[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (content[at] & 0x7F)
        if value > _MAX_PATH:
            raise Unreadable("its index is damaged")
    return value, at + 1
