"""A work tree compared with its index, by the attributes that the walk over the workspace reads anyway.

What is compared: size, mode, mtime and ctime. Where they agree and the file is older than the index, it is unchanged;
where they leave a doubt its content is compared, byte for byte. A file that differs from what is committed only by line
endings or by a filter is unchanged as long as its attributes are, and changed where its content must be compared: to
know better would take the very programs that must not be run. That git was told to assume a file unchanged does not
count, for somebody may have worked on it.
"""

import hashlib
import stat
import threading
from collections.abc import Callable, Sequence, Set
from enum import Enum
from typing import NamedTuple

from sweeper_gui.core.names import visible
from sweeper_gui.storage.bulk import Attributes, Found
from sweeper_gui.storage.repositories.access import CHUNK, Folder
from sweeper_gui.storage.repositories.gitdir import Config
from sweeper_gui.storage.repositories.ignores import Ignores
from sweeper_gui.storage.repositories.index import GITLINK, HEAD, SKIP_WORKTREE, SYMLINK, Index
from sweeper_gui.storage.tree import Node

#: More paths are not told apart: one that is both staged and changed may then be counted twice.
MOST_PATHS = 10_000
_BILLION = 10**9
_EMPTY = hashlib.sha1(b"blob 0\0", usedforsecurity=False).digest()


class State(Enum):
    """What the attributes of a tracked file say."""

    SAME = 1
    CHANGED = 2
    UNCLEAR = 3


class Unclear(NamedTuple):
    """A tracked file whose content must be compared: the directory as the walk met it, and what is expected."""

    node: Node
    name: bytes
    path: bytes
    mode: int
    id_: bytes


class WorkTree:
    """One work tree. `path` is that of its top below the workspace. Thread-safe."""

    def __init__(self, path: bytes, config: Config, index: Index, check: Callable[[], None]) -> None:
        self.path = path
        self.config = config
        self.index = index
        self.check = check
        self.changed: set[bytes] = set()
        self.untracked = 0
        self.unclear: list[Unclear] = []
        #: why it can't be told about; the first reason counts
        self.problem = ""
        self._visited: set[bytes] = set()
        self._lock = threading.Lock()

    def change(self, path: bytes) -> None:
        """A tracked file is not what was committed."""
        with self._lock:
            if len(self.changed) < MOST_PATHS:
                self.changed.add(path)

    def found_untracked(self) -> None:
        """A file is neither tracked nor ignored."""
        with self._lock:
            self.untracked += 1

    def fail(self, problem: str) -> None:
        """It can't be told about completely."""
        self.problem = self.problem or problem

    def visit(self, path: bytes) -> dict[bytes, bytes]:
        """What the index holds of a directory that the walk has come to: name and first bytes of each entry."""
        self._visited.add(path)
        return dict(self.index.directories.get(path, ()))

    def finish(self) -> None:
        """The walk has ended: whatever it has not come to is gone."""
        for path, entries in self.index.directories.items():
            self.check()
            if path not in self._visited:
                self.gone(path, entries)

    def gone(self, directory: bytes, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """These entries of the index are not in their directory."""
        for name, head in entries:
            if head and not (len(head) > HEAD.size and int.from_bytes(head[62:64], "big") & SKIP_WORKTREE):
                self.change(join(directory, name))


class Part:
    """One directory of a work tree, as the walk meets it.

    `excluded` are directories that are ignored but hold tracked files: what else is in them is ignored.
    """

    __slots__ = ("_expected", "_path", "excluded", "ignores", "tree")

    def __init__(self, tree: WorkTree, path: bytes, ignores: Ignores, *, excluded: bool = False) -> None:
        self.tree = tree
        self.ignores = ignores
        self.excluded = excluded
        self._path = path
        self._expected = tree.visit(path)

    @property
    def path(self) -> bytes:
        """Its path below the work tree."""
        return self._path

    @property
    def shown(self) -> str:
        """The path as it may be shown."""
        return visible(join(self.tree.path, self._path)) or "."

    @property
    def holds_tracked(self) -> bool:
        """Whether the index has anything in it."""
        return bool(self._expected)

    def below(self, name: bytes) -> "Part | None":
        """The part that a directory in this one is, None where it is none of the work tree's."""
        path = join(self._path, name)
        index = self.tree.index
        tracked = path in index.directories
        ignored = self.excluded or self._ignored(name, is_directory=True)
        if name == b".git" or (ignored and not tracked and path not in index.gitlinks):
            return None
        return Part(self.tree, path, self.ignores, excluded=ignored and path not in index.gitlinks)

    def compare(self, node: Node, found: Sequence[Found], directories: Set[bytes]) -> None:
        """Some entries whose attributes have been read; `directories` are those that the listing calls so.

        Raises what the patterns raise.
        """
        for name, attributes in found:
            head = self._expected.pop(name, None)
            if attributes is None:
                self._without_answer(node, name, head, is_directory=name in directories)
            else:
                self._compare(node, name, head, attributes)

    def _without_answer(self, node: Node, name: bytes, head: bytes | None, *, is_directory: bool) -> None:
        """The walk will try again, and say so where it has to give up: what it finds then is not asked for here."""
        if head:
            fields = HEAD.unpack_from(head)
            self.tree.unclear.append(Unclear(node, name, join(self._path, name), fields[6], fields[10]))
        elif head is None and not is_directory:
            self._meet_untracked(name)

    def _compare(self, node: Node, name: bytes, head: bytes | None, found: Attributes) -> None:
        if head is None:
            # Pipes, sockets and devices can't be committed, and directories are compared when the walk gets there.
            if stat.S_ISREG(found.mode) or stat.S_ISLNK(found.mode):
                self._meet_untracked(name)
        elif head:
            state, mode, id_ = state_of(head, found, self.tree.config, self.tree.index.stamp_ns)
            if state is State.CHANGED:
                self.tree.change(join(self._path, name))
            elif state is State.UNCLEAR:
                self.tree.unclear.append(Unclear(node, name, join(self._path, name), mode, id_))

    def _meet_untracked(self, name: bytes) -> None:
        if name != b".git" and not self.excluded and not self._ignored(name, is_directory=False):
            self.tree.found_untracked()

    def _ignored(self, name: bytes, *, is_directory: bool) -> bool:
        return self.ignores.ignore(self._path, name, is_directory=is_directory, check=self.tree.check)

    def end(self) -> None:
        """The directory has been read to its end."""
        self.tree.gone(self._path, list(self._expected.items()))
        self._expected.clear()


def join(directory: bytes, name: bytes) -> bytes:
    """The path of an entry."""
    return directory + b"/" + name if directory else name


def state_of(head: bytes, found: Attributes, config: Config, stamp_ns: int) -> tuple[State, int, bytes]:
    """What a file's attributes say of its index entry, with the entry's mode and binary id."""
    changed_s, changed_ns, modified_s, modified_ns, _, _, mode, _, _, size, id_, _ = HEAD.unpack_from(head)
    kind = mode & 0o170000
    if kind == GITLINK:
        return (State.SAME if stat.S_ISDIR(found.mode) else State.CHANGED), mode, id_
    if kind != stat.S_IFMT(found.mode):
        return State.CHANGED, mode, id_
    if kind != SYMLINK and config.file_mode and (mode ^ found.mode) & 0o100:
        return State.CHANGED, mode, id_
    if size != found.size & 0xFFFFFFFF:
        # git writes a size of 0 where it could not be sure that it had seen the last change.
        return (State.CHANGED if size else State.UNCLEAR), mode, id_
    same = (
        _same_time(modified_s, modified_ns, found.mtime_ns)
        and _same_time(changed_s, changed_ns, found.ctime_ns)
        and (size > 0 or id_ == _EMPTY)
    )
    racy = modified_s * _BILLION + modified_ns >= (stamp_ns if modified_ns else stamp_ns - stamp_ns % _BILLION)
    return (State.SAME if same and not racy else State.UNCLEAR), mode, id_


def _same_time(seconds: int, nanoseconds: int, found_ns: int) -> bool:
    """Some programs write whole seconds."""
    known = (found_ns // _BILLION) & 0xFFFFFFFF == seconds
    return known and (not nanoseconds or found_ns % _BILLION == nanoseconds)


def content_differs(folder: Folder, one: Unclear, config: Config, check: Callable[[], None]) -> bool:
    """Whether a file is another than the index says; `folder` is the directory that it is in.

    For a submodule that is whether anything but a directory has its name.
    """
    if one.mode & 0o170000 == GITLINK:
        below = folder.folder(one.name)
        if below is not None:
            below.close()
        return below is None
    if one.mode & 0o170000 == SYMLINK:
        target = folder.link(one.name)
        return target is None or _blob(len(target), [target]) != one.id_
    found = folder.file(one.name)
    if found is None:
        return True
    with found:
        if config.file_mode and (found.mode ^ one.mode) & 0o100:
            return True
        digest = hashlib.sha1(b"blob %d\0" % found.size, usedforsecurity=False)
        for offset in range(0, found.size, CHUNK):
            check()
            digest.update(found.read(offset, min(CHUNK, found.size - offset)))
        return digest.digest() != one.id_


def _blob(size: int, parts: Sequence[bytes]) -> bytes:
    return hashlib.sha1(b"blob %d\0%s" % (size, b"".join(parts)), usedforsecurity=False).digest()
