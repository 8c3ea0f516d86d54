"""One sweep per volume: a lock on a regular file in the control directory.

flock on a regular file excludes across the clients of an NFS server too (Linux turns it into a byte-range lock on the
whole file, flock(2)); on a directory it would be local. The file names its holder, who writes it anew all the time: so
a holder that lost the lock learns it, and so does whoever got a lock that does not exclude the other.
"""

import contextlib
import errno
import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import tenacity

from sweeper_gui.core.names import visible
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.opened import Opened
from sweeper_gui.storage.threads import started
from sweeper_gui.storage.volume import Volume, VolumeError

#: The holder writes its name anew after so many seconds, whatever else it does.
BEAT = 1.0
#: Who finds a free lock with a name in it waits for so many beats, for a sign that its holder goes on all the same.
_BEATS_TO_WATCH = 4
#: A holder that has not written for so many seconds hangs, or its host's clock is slow by as much.
SILENT_AFTER = 15.0
_NAME = b"lock"
#: Who only looks whether the lock is held takes it for an instant (`holder_of`).
_ATTEMPTS = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(BlockingIOError),
    stop=tenacity.stop_after_attempt(4),
    wait=tenacity.wait_fixed(0.05),
    reraise=True,
)
#: The file always has the same size: writing over it needs no space on a full volume.
_SIZE = 1_024
_MAX_SIZE = 4_096
_NOBODY = b"".ljust(_SIZE - 1) + b"\n"
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_log = logging.getLogger(__name__)


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock, since when and last seen when (epoch seconds of their host).

    `home` tells apart hosts, their boots and their process name spaces: where it is ours, `pid` is one of ours.
    """

    who: str
    host: str
    pid: int
    what: str
    since: float
    renewed: float
    home: str = ""

    def __str__(self) -> str:
        return f"{self.who} on {self.host} (process {self.pid}), {self.what}, since {_shown(self.since)}"

    @property
    def last_seen(self) -> str:
        """When it was last heard of: nothing for long is a sign that it hangs."""
        return f"last heard of at {_shown(self.renewed)}"


def _shown(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # what stands in the file need not be ours
        return "an impossible time"


class LockHeld(Exception):
    """Another sweep holds the lock; `holder` is None where the file does not tell. `hint` is what to do about it."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        self.hint = _way_out(holder)
        super().__init__(f"another sweep of this volume is running: {_named(holder)}")


class LockLost(VolumeError):
    """The lock may no longer be ours: nothing may be changed any more."""


class Lock(Opened):
    """The volume's lock, held from construction to `close`. Raises `LockHeld`, or `VolumeError`. Thread-safe.

    `found` is the holder whose name was left in it: it ended without a word, and its lock was free. `clock` is the
    volume's clock (epoch seconds) at the last renewal, None before one succeeded.
    """

    def __init__(self, control: Control, volume: Volume, who: str, host: str, what: str) -> None:
        self._control = control
        self._mutex = threading.Lock()
        self._holder = Holder(who, host, os.getpid(), what, time.time(), 0.0, _home())
        #: what may be in the file if nobody but us has written it: one text, more after a write that failed half-way
        self._contents = {b""}
        self.found: Holder | None = None
        self.clock: float | None = None
        _check_reach(volume)
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            super().__init__(os.open(_NAME, flags, control.file_mode, dir_fd=control.descriptor))
        except OSError as error:
            raise VolumeError(
                f"the lock of {visible(control.path)} can't be opened: {error.strerror}", "check the control directory"
            ) from error
        try:
            _refuse_planted(self.descriptor, control)
            with contextlib.suppress(PermissionError):  # another member of the team made it, and shared it
                control.share(self.descriptor)
            self._acquire()
            self._take_over()
            self.renew()
        except BaseException:
            super().close()
            raise

    def _acquire(self) -> None:
        try:
            for attempt in _ATTEMPTS:
                with attempt:
                    fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise LockHeld(_parsed(_content_of(self.descriptor))) from error
            raise VolumeError(
                f"this volume can't be locked: {error.strerror}",
                "without a lock two sweeps could meet: mount it with locks",
            ) from error

    def _take_over(self) -> None:
        """Makes sure that whoever left a name in the lock does not go on: then the lock would exclude nobody."""
        try:
            content = self._content_there()
            left = _parsed(content)
            if left is not None and not _has_ended(left):
                self._watch(left, content)
        except OSError as error:
            raise VolumeError(
                f"the lock of {visible(self._control.path)} can't be read: {error.strerror}", "check the mount"
            ) from error
        self.found, self._contents = left, {content}

    def _watch(self, left: Holder, content: bytes) -> None:
        end = time.monotonic() + _BEATS_TO_WATCH * BEAT
        while time.monotonic() < end:
            time.sleep(BEAT / 4)
            if self._content_there() != content:
                raise VolumeError(
                    f"locks do not exclude on this volume: we were given the one of {_named(left)}, who goes on",
                    "mount it with locks that the server keeps, on every host",
                )

    def announce(self, what: str) -> None:
        """Tells from the next renewal on what the lock is held for."""
        with self._mutex:
            self._holder = msgspec.structs.replace(self._holder, what=what)

    def renew(self) -> None:
        """Writes our name through the locked descriptor; raises `LockLost` on any doubt that the lock is ours.

        An NFS client that lost its lease gets EIO here; a lock file that someone replaced is another one; and one in
        which there is not what we wrote has another holder, or was cut by someone who had no business with it.
        """
        with self._mutex:
            try:
                there = self._content_there()
                if there not in self._contents:
                    raise LockLost(_written_by(_parsed(there)), "look who did, then resume")
                self._sign()
            except OSError as error:
                raise LockLost(f"the lock may be lost: {error.strerror}", "check the mount, then resume") from error

    def _content_there(self) -> bytes:
        """What is in the lock file now, by its name: opened anew, as an NFS client asks the server only then."""
        descriptor = os.open(_NAME, _READ_FLAGS, dir_fd=self._control.descriptor)
        try:
            ours, there = os.fstat(self.descriptor), os.fstat(descriptor)
            if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
                raise LockLost("the lock file has been replaced", "look who did, then resume")
            return _content_of(descriptor)
        finally:
            os.close(descriptor)

    def _sign(self) -> None:
        holder = msgspec.structs.replace(self._holder, renewed=time.time())
        content = msgspec.json.encode(holder).ljust(_SIZE - 1) + b"\n"
        try:
            self._write(content)
            self.clock = os.fstat(self.descriptor).st_ctime
            self._contents = {content}
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # a full disk takes no lock away
                raise
            self.clock = None
            self._contents |= {content, _content_of(self.descriptor)}

    def _write(self, content: bytes) -> None:
        os.pwrite(self.descriptor, content, 0)
        os.ftruncate(self.descriptor, len(content))
        os.fsync(self.descriptor)

    def close(self) -> None:
        """Lets the lock go, and takes our name out of it where it is ours; harmless when done twice."""
        with self._mutex:  # a renewal that hangs must not find another file under its descriptor
            if self.descriptor >= 0:
                with contextlib.suppress(OSError, LockLost):
                    if self._content_there() in self._contents:
                        self._write(_NOBODY)
            super().close()


class Keeper:
    """Renews a lock in a thread of its own until it is closed; `on_lost` is called once, from there, with the reason.

    A removal may take hours between two renames: so its unlinks end soon after the lock does, too.
    """

    def __init__(self, lock: Lock, on_lost: Callable[[LockLost], None]) -> None:
        self._lock = lock
        self._on_lost = on_lost
        self._closed = threading.Event()
        self._thread = started(self._run, "lock keeper")

    def _run(self) -> None:
        while not self._closed.wait(BEAT):
            try:
                self._lock.renew()
            except LockLost as error:
                self._on_lost(error)
                return
            except Exception as error:  # noqa: BLE001 - a keeper that died in silence would keep nothing
                _log.error("renewing the lock failed", exc_info=error)
                self._on_lost(LockLost(f"the lock may be lost: {error!r}", "look at the engine's log"))
                return

    def close(self) -> None:
        """Ends the renewals. Returns when none is under way."""
        self._closed.set()
        self._thread.join()


def _check_reach(volume: Volume) -> None:
    """Refuses a mount whose locks do not leave this host (nfs(5): nolock, local_lock)."""
    local = volume.mount.network and volume.mount.options & {"nolock", "local_lock=all", "local_lock=flock"}
    if local:
        raise VolumeError(
            f"locks on {volume.shown} hold on this host only ({', '.join(sorted(local))})",
            "two hosts could sweep at once: mount it without that option",
        )


def _home() -> str:
    """This boot of this host, and this process name space."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _has_ended(holder: Holder) -> bool:
    """Whether a process that did not take its name out of the lock is surely no more, or is this one."""
    if not holder.home or holder.home != _home():
        return False
    return holder.pid == os.getpid() or not os.path.exists(f"/proc/{holder.pid:d}")


def _content_of(descriptor: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.pread(descriptor, _MAX_SIZE, 0)


def _refuse_planted(descriptor: int, control: Control) -> None:
    """What is written through must be the lock and nothing else: a hard link would be a way to any file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise VolumeError(
            f"the lock of {visible(control.path)} is no file of its own", "look who put it there, and remove it"
        )


def _parsed(content: bytes) -> Holder | None:
    try:
        return msgspec.json.decode(content, type=Holder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _named(holder: Holder | None) -> str:
    return visible(f"{holder}, {holder.last_seen}") if holder else "someone who left no name"


def _way_out(holder: Holder | None) -> str:
    if holder is None:
        return "look on every host that mounts the volume for a running sweep, and wait until it has ended"
    where = visible(f"process {holder.pid} on {holder.host}")
    if _was_killed(holder):
        return f"{where} has been killed and is stuck in the volume: the lock is free as soon as that answers"
    if time.time() - holder.renewed < SILENT_AFTER:
        return f"wait until it has ended, or stop it: a SIGTERM to {where} cancels it at its next entry"
    return (
        f"it has been silent since then, as one is whose volume hangs or whose host has gone; look at {where}: even "
        "SIGKILL ends it only once its volume answers, and then the lock is free by itself"
    )


def _was_killed(holder: Holder) -> bool:
    """Whether it is a process of this host that has ended but for a thread that the volume keeps."""
    if not holder.home or holder.home != _home():
        return False
    try:
        state = Path(f"/proc/{holder.pid:d}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[:1] == ["Z"]


def _written_by(holder: Holder | None) -> str:
    return f"the lock file has been written by {_named(holder)}" if holder else "the lock file has been changed"


def holder_of(control: Control) -> str | None:
    """Who holds the lock now, in words, None if nobody does. Takes it for a moment to find out, writes nothing."""
    try:
        descriptor = os.open(_NAME, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=control.descriptor)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(_parsed(_content_of(descriptor)))
    finally:
        os.close(descriptor)
    return None
