"""One sweep per volume: a lock on a regular file in the control directory.

flock on a regular file excludes across the clients of an NFS server too (Linux turns it into a byte-range lock on the
whole file, flock(2)); on a directory it would be local. The file names its holder.
"""

import contextlib
import errno
import fcntl
import os
import time
from types import TracebackType

import msgspec
import tenacity

from sweeper_gui.core.names import visible
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.volume import VolumeError

_NAME = b"lock"
#: Who only looks whether the lock is held takes it for an instant (`holder_of`).
_ATTEMPTS = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(BlockingIOError),
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_fixed(0.05),
    reraise=True,
)
_MAX_HOLDER = 4_096


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock, since when and last seen when (epoch seconds of their host)."""

    who: str
    host: str
    pid: int
    what: str
    since: float
    renewed: float

    def __str__(self) -> str:
        return f"{self.who} on {self.host} (process {self.pid}), {self.what}"


class LockHeld(Exception):
    """Another sweep holds the lock; `holder` is None where the file does not tell."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        who = visible(str(holder)) if holder else "someone who left no name"
        super().__init__(f"another sweep of this volume is running: {who}")


class LockLost(VolumeError):
    """The lock may no longer be ours: nothing may be changed any more."""


class Lock:
    """The volume's lock, held from construction to `release`. Raises `LockHeld`, or `VolumeError`."""

    def __init__(self, control: Control, who: str, host: str, what: str) -> None:
        self._control = control
        self._since = time.time()
        self._who, self._host, self._what = who, host, what
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._descriptor = os.open(_NAME, flags, control.file_mode, dir_fd=control.descriptor)
        except OSError as error:
            raise VolumeError(
                f"the lock of {visible(control.path)} can't be opened: {error.strerror}", "check the control directory"
            ) from error
        try:
            with contextlib.suppress(PermissionError):  # another member of the team made it, and shared it
                control.share(self._descriptor)
            self._acquire()
            self.renew()
        except BaseException:
            self.release()
            raise

    def _acquire(self) -> None:
        try:
            for attempt in _ATTEMPTS:
                with attempt:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise LockHeld(_read(self._descriptor)) from error
            raise VolumeError(
                f"this volume can't be locked: {error.strerror}",
                "without a lock two sweeps could meet: mount it with locks",
            ) from error

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def renew(self) -> None:
        """Writes our name through the locked descriptor; raises `LockLost` on any doubt that the lock is ours.

        An NFS client that lost its lease gets EIO here, and a lock file that someone replaced is another inode.
        """
        try:
            self._sign()
            ours = os.fstat(self._descriptor)
            there = os.stat(_NAME, dir_fd=self._control.descriptor, follow_symlinks=False)
        except OSError as error:
            raise LockLost(f"the lock may be lost: {error.strerror}", "check the mount, then resume") from error
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise LockLost("the lock file has been replaced", "look who did, then resume")

    def _sign(self) -> None:
        holder = Holder(self._who, self._host, os.getpid(), self._what, self._since, time.time())
        content = msgspec.json.encode(holder) + b"\n"
        try:
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))
            os.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # a full disk takes no lock away
                raise

    def release(self) -> None:
        """Lets the lock go; harmless when done twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _read(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, _MAX_HOLDER, 0), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def holder_of(control: Control) -> str | None:
    """Who holds the lock now, in words, None if nobody does. Takes it for a moment to find out, writes nothing."""
    try:
        descriptor = os.open(_NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=control.descriptor)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return str(_read(descriptor) or "someone who left no name")
    finally:
        os.close(descriptor)
    return None
