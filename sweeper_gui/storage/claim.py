"""Which control directory a root belongs to, written where every host looks: in the root itself.

Hosts may see a root differently: one mounts its parent and finds the control directory beside it, another mounts the
root alone and would make one inside; or they are configured differently. Each would have a lock and a trash of its own.
So the first sweep puts a file into the root, a second name of the one in its control directory or a copy where there
can be none, and whoever has another control directory is refused.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.storage import files

#: The file in the root; listings pass it over. Nested roots may each have one: what is below belongs to the nearest.
CLAIM = b".sweeper-claim"
_IDENTITY = b"identity"
_MAX_SIZE = 16_384
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
#: It holds no secret, and must be readable for every user who sees the root.
_MODE = 0o644
#: What a file system without hard links says, and a kernel that lets nobody link to another user's file.
_NO_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP})


class Identity(msgspec.Struct, frozen=True):
    """A control directory: an id of its own, and where it lay for whom when its first sweep began (epoch seconds)."""

    id: str
    path: str
    by: str
    at: float


def objection(root: int, control: int | None) -> str:
    """Why the control directory open as `control`, or a new one with None, is not that of the root open as `root`.

    Empty where it is, or where the root belongs to none yet. Raises OSError where that can't be told.
    """
    claim = _read(CLAIM, root)
    if claim is None or (control is not None and claim == _read(_IDENTITY, control)):
        return ""
    try:
        theirs = msgspec.json.decode(claim, type=Identity)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # anyone who may write there may have made it
        return "another control directory, and can't be read"
    return f"the control directory that {visible(theirs.by)} sees as {visible(theirs.path)}"


def is_in(directory: int) -> bool:
    """Whether the directory is the root of a volume: something has the claim's name in it. Raises OSError."""
    files.fresh_stat(b"", directory)  # another host may have made it a moment ago
    try:
        files.fresh_stat(CLAIM, directory)
    except FileNotFoundError:
        return False
    return True


def _read(name: bytes, directory: int) -> bytes | None:
    files.fresh_stat(b"", directory)  # another host may have made it after this one had looked in vain
    try:
        descriptor = os.open(name, _READ_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, _MAX_SIZE) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"no file"
    finally:
        os.close(descriptor)


def stake(root: int, control: int, path: str, by: str, at: float) -> None:
    """Gives the control directory an identity where it has none, and the root to it where it belongs to none.

    Call with the lock held, and look for an objection afterwards: another host may have been faster. Raises OSError.
    """
    if _read(_IDENTITY, control) is None:
        new = _written(control, msgspec.json.encode(Identity(secrets.token_hex(16), path, by, at)) + b"\n")
        with _removed_on_error(new, control):
            os.rename(new, _IDENTITY, src_dir_fd=control, dst_dir_fd=control)
        os.fsync(control)
    try:
        os.link(_IDENTITY, CLAIM, src_dir_fd=control, dst_dir_fd=root, follow_symlinks=False)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(root, control)


def _copy(root: int, control: int) -> None:
    """Where the file can have no second name: the file system knows none, or it is a team member's."""
    new = _written(control, _read(_IDENTITY, control) or b"")
    with _removed_on_error(new, control), contextlib.suppress(files.NameTaken):
        files.rename_exclusively(new, control, CLAIM, root)
        return
    os.unlink(new, dir_fd=control)


def _written(control: int, content: bytes) -> bytes:
    """The name of a new file in the control directory, which is there whole or not at all."""
    new = b"identity-" + secrets.token_hex(8).encode()
    descriptor = os.open(new, _WRITE_FLAGS, _MODE, dir_fd=control)
    with _removed_on_error(new, control):
        try:
            os.fchmod(descriptor, _MODE)
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return new


@contextlib.contextmanager
def _removed_on_error(new: bytes, control: int) -> Iterator[None]:
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=control)
        raise
