"""Directories and files of this user's own, reached only by ways that no other user can bend.

The local state lies wherever the environment says, so the way to it is walked one component at a time: every directory
on it must belong to root or to us, and nobody else may change what is in there. A link is followed only where root or
we have put it into such a directory, and what is opened in the end is never reached through one.
"""

import contextlib
import errno
import grp
import os
import pwd
import secrets
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeper_gui.storage import files

_STEP_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 20


class Exposed(PermissionError):
    """Another user could put something of his there; `strerror` says what is wrong and what to do."""

    def __init__(self, words: str, path: str) -> None:
        super().__init__(errno.EPERM, words, path)


@contextmanager
def private_directory(path: Path, *, make: bool = False) -> Iterator[int]:
    """The directory, for use as `dir_fd` in the block. What is missing of it is made with mode 0700 where `make`.

    Raises `Exposed`, FileNotFoundError and other OSErrors.
    """
    descriptor = _walked(os.path.abspath(path), make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_private(path: Path, most: int) -> bytes:
    """The content of a file in a private directory. Raises OSError, for one of more than `most` bytes too."""
    with private_directory(path.parent) as directory:
        descriptor = os.open(path.name, _READ_FLAGS, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            _check_file(status, str(path))
            if status.st_size > most:
                raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
            return _read(descriptor, most)
        finally:
            os.close(descriptor)


def _read(descriptor: int, most: int) -> bytes:
    content = bytearray()
    while len(content) < most and (part := os.read(descriptor, most - len(content))):
        content += part
    return bytes(content)


def replace_private(path: Path, content: bytes) -> None:
    """Puts a file with this content, for its owner's eyes only, in the place of what is there. Raises OSError."""
    with private_directory(path.parent, make=True) as directory:
        os.close(_replaced(path.name, directory, content))


def begin_private(path: Path, content: bytes) -> int:
    """As `replace_private`, and returns the file's descriptor, to which more can be appended."""
    with private_directory(path.parent, make=True) as directory:
        return _replaced(path.name, directory, content)


def _replaced(name: str, directory: int, content: bytes) -> int:
    """The new file appears whole or not at all."""
    new = f".{name}-{secrets.token_hex(8)}"
    descriptor = os.open(new, _NEW_FLAGS, 0o600, dir_fd=directory)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        files.settle_place(directory)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=directory)
        raise
    return descriptor


def append_private(path: Path, flags: int) -> int:
    """A descriptor of the file, opened with `flags` and made where it is missing. Raises OSError."""
    with private_directory(path.parent, make=True) as directory:
        added = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path.name, flags | added, 0o600, dir_fd=directory)
    try:
        _check_file(os.fstat(descriptor), str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


# --- the way ----------------------------------------------------------------------------------------------------------


def _walked(path: str, make: bool) -> int:
    """A descriptor of the directory at the end of the way."""
    left = _parts(path)
    shown, links = "/", 0
    descriptor = os.open("/", _STEP_FLAGS)
    try:
        while left:
            part = left.pop()
            _check_directory(os.fstat(descriptor), shown, last=False)
            target = _link(part, descriptor, os.path.join(shown, part))
            if target is None:
                descriptor = _entered(part, descriptor, make)
                shown = os.path.normpath(os.path.join(shown, part))
                continue
            links += 1
            if not left or links > _MOST_LINKS:
                raise Exposed("it is a link: put a directory there", os.path.join(shown, part))
            left += _parts(target)
            if target.startswith("/"):
                descriptor, shown = _instead(os.open("/", _STEP_FLAGS), descriptor), "/"
        _check_directory(os.fstat(descriptor), shown, last=True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _parts(path: str) -> list[str]:
    """The components of a path, the first one at the end."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _link(part: str, parent: int, shown: str) -> str | None:
    """Where a link of root's or ours leads; None where there is none."""
    try:
        status = os.stat(part, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    if status.st_uid not in _trusted():
        raise Exposed(f"it is a link of {_user(status.st_uid)}: remove it, or choose another place", shown)
    return os.readlink(part, dir_fd=parent)


def _entered(part: str, parent: int, make: bool) -> int:
    """The directory below, in place of its parent's descriptor."""
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=parent)
            files.settle_place(parent)
    return _instead(os.open(part, _STEP_FLAGS, dir_fd=parent), parent)


def _instead(new: int, old: int) -> int:
    os.close(old)
    return new


# --- who may change it ------------------------------------------------------------------------------------------------


def _check_directory(status: os.stat_result, shown: str, *, last: bool) -> None:
    """Refuses what others own or may change. In a sticky one they can't touch what is ours, which is looked at next."""
    if status.st_uid not in _trusted():
        raise Exposed(f"it belongs to {_user(status.st_uid)}: choose a directory of your own", shown)
    if status.st_mode & stat.S_ISVTX and not last:
        return
    _check_writers(status, shown)


def _check_file(status: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Exposed("it is not a regular file: look who put it there", shown)
    if status.st_uid not in _trusted():
        raise Exposed(f"it belongs to {_user(status.st_uid)}: look what it is, and remove it", shown)
    if status.st_nlink != 1:
        raise Exposed("it has another name elsewhere (a hard link): look what it is, and remove it", shown)
    _check_writers(status, shown)


def _check_writers(status: os.stat_result, shown: str) -> None:
    by_group = status.st_mode & stat.S_IWGRP and not _is_ours_alone(status.st_gid)
    if by_group or status.st_mode & stat.S_IWOTH:
        who = "anyone" if status.st_mode & stat.S_IWOTH else "its group"
        raise Exposed(f"{who} may change it: chmod go-w {shlex.quote(shown)}, and look what is in there", shown)


def _trusted() -> tuple[int, ...]:
    """Who owns '/' could change everything anyway; in a user namespace that need not be called root."""
    return 0, os.geteuid(), os.stat("/").st_uid


def _is_ours_alone(group: int) -> bool:
    """Whether it is the group that many systems give each user: called like him, and nobody else's."""
    try:
        ours, there = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return ours.pw_gid == group and there.gr_name == ours.pw_name and set(there.gr_mem) <= {ours.pw_name}


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
