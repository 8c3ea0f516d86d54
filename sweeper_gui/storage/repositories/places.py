"""Where a repository's files lie: what its own files say of that, followed within the workspace and nowhere else.

A work tree may name its git directory by an absolute path, as the workspace's owner saw it. Here the volume may be
mounted elsewhere, so the end of such a path is looked up below the workspace's top; that the place names the work tree
in turn is proof that the right one was found.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from sweeper_gui.storage.repositories.access import Folder, OutOfTime, Unreadable
from sweeper_gui.storage.repositories.gitdir import Config, read_config

#: Opens the workspace's top.
Top = Callable[[], AbstractContextManager[Folder]]

_SMALL = 1 << 16
_MAX_BORROWING = 5


def split(path: bytes) -> list[bytes]:
    """Its components."""
    return [part for part in path.split(b"/") if part and part != b"."]


@dataclass
class Place:
    """An open git directory. `own` is that of a work tree, `common` what linked ones share with the main one."""

    path: bytes
    own: Folder
    common_path: bytes
    common: Folder
    config: Config

    @property
    def linked(self) -> bool:
        """Whether this is a linked work tree's."""
        return self.path != self.common_path


@contextmanager
def opened(top: Top, path: bytes) -> Iterator[Place]:
    """The git directory of this path below the workspace. Raises `Unreadable`."""
    with ExitStack() as stack:
        start = stack.enter_context(top())
        own = start.folder(*split(path))
        if own is None:
            raise Unreadable("its git directory is missing")
        stack.enter_context(own)
        common, common_path = own, path
        said = own.read(b"commondir", _SMALL)
        if said is not None:
            found = _followed(start, path, said.rstrip(b"\r\n"))
            if found is None:
                raise Unreadable("it belongs to a repository outside of this workspace")
            common_path, common = found
            stack.enter_context(common)
        yield Place(path, own, common_path, common, read_config(common, own))


def led_to(top: Top, work_tree: bytes, content: bytes) -> bytes:
    """The path of the git directory that a file `.git` leads to. Raises `Unreadable` where that is not its own."""
    if not content.startswith(b"gitdir:"):
        raise Unreadable("its .git is damaged")
    with top() as start:
        found = _followed(start, work_tree, content[7:].strip(), holding=b"HEAD")
    if found is None:
        raise Unreadable("its git directory lies outside of this workspace")
    path, folder = found
    folder.close()
    with opened(top, path) as place:
        back = place.own.read(b"gitdir", _SMALL) if place.linked else place.config.worktree
        if back and not _leads_back(path, back.rstrip(b"\r\n"), work_tree + b"/.git" if place.linked else work_tree):
            raise Unreadable("its git directory belongs to another work tree")
        if place.linked and not back:
            raise Unreadable("its git directory is damaged")
    return path


def _leads_back(path: bytes, back: bytes, expected: bytes) -> bool:
    """Whether what a git directory says of its work tree is the place from which it was found."""
    if back.startswith(b"/"):
        return back.endswith(b"/" + expected.strip(b"/"))
    return _joined(path, back) == expected.strip(b"/")


def borrowed(top: Top, objects: bytes, folders: list[Folder], stack: ExitStack) -> bool:
    """Opens the directories that a directory `objects` borrows from, and those that they borrow from in turn.

    They are added to `folders`, which begins with its own, and closed by the stack. Returns whether there are some that
    lie outside of the workspace, or are missing.
    """
    outside = False
    waiting, seen = [(objects, folders[0], 0)], {objects}
    while waiting:
        path, folder, depth = waiting.pop()
        for line in _alternates(folder):
            with top() as start:
                found = _followed(start, path, line)
            if found is None:
                outside = True
                continue
            below, borrowing = found
            stack.enter_context(borrowing)
            if below in seen:
                continue
            if depth == _MAX_BORROWING or len(seen) > 50:
                raise Unreadable("it borrows objects in too many steps")
            seen.add(below)
            folders.append(borrowing)
            waiting.append((below, borrowing, depth + 1))
    return outside


def _alternates(objects: Folder) -> list[bytes]:
    info = objects.folder(b"info")
    if info is None:
        return []
    with info:
        content = info.read(b"alternates", _SMALL) or b""
    return [line for line in content.split(b"\n") if line and not line.startswith(b"#")]


def _followed(start: Folder, base: bytes, target: bytes, *, holding: bytes = b"") -> tuple[bytes, Folder] | None:
    """The directory below the workspace that `target`, said in `base`, means; None where it lies outside.

    Where more than one could be meant it is the first that holds a file of the given name.
    """
    for path in _candidates(base, target):
        try:
            found = start.folder(*split(path))
        except OutOfTime:
            raise
        except Unreadable:
            continue  # a link or a file on the way: not the place
        if found is not None and (not holding or _holds(found, holding)):
            return path, found
    return None


def _holds(folder: Folder, name: bytes) -> bool:
    """Closes the folder where it does not, or where that can't be told."""
    try:
        file = folder.file(name)
    except BaseException:
        folder.close()
        raise
    if file is None:
        folder.close()
        return False
    file.close()
    return True


def _candidates(base: bytes, target: bytes) -> Iterator[bytes]:
    if b"\0" in target or len(target) > 4096:
        return
    if not target.startswith(b"/"):
        joined = _joined(base, target)
        if joined is not None:
            yield joined
        return
    parts = split(target)
    if b".." in parts:
        return
    for first in range(len(parts)):
        yield b"/".join(parts[first:])


def _joined(base: bytes, target: bytes) -> bytes | None:
    """A relative path from `base`, None where it leads out. No link is ever followed, so '..' is what it seems."""
    parts = split(base)
    for part in split(target):
        if part != b"..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return b"/".join(parts)
