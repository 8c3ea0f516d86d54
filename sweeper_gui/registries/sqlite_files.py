"""The files of an SQLite database, looked at before SQLite opens them: whether what it finds there can be trusted.

In WAL mode the newest changes are in a second file (-wal), and an index of it is shared memory (-shm). Who can't see
both as the writer does reads an older state, and SQLite does not notice.
"""

import errno
import fcntl
import os
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeper_gui.registries.base import Attempt, RegistryError
from sweeper_gui.settings.opening import open_named

NetworkCheck = Callable[[Path], str | None]

_HEADER = b"SQLite format 3\0"
_WAL_VERSION = 2
#: Which bytes SQLite's readers lock: in the database (510 of them), and in the -shm file as long as they have it open.
_SHARED = (0x40000002, 510)
_DEAD_MAN_SWITCH = (128, 1)
#: For so many seconds a program that opens or closes a database may have locked one file and not yet the other.
_IN_BETWEEN = 1.0
_GLANCE = 0.05
#: struct flock: type, whence, start, length, pid
_FLOCK = "hhqqi4x"

_turns: dict[tuple[int, int], threading.Lock] = {}


@contextmanager
def trusted_files(path: Path, attempt: Attempt, network_file_system: NetworkCheck) -> Iterator[None]:
    """For one thread of this process at a time. Raises `RegistryError` for what can't be a trusted database.

    One at a time, because a process that closes any descriptor of a file loses all its locks on it, those that SQLite
    took for another thread too (fcntl(2)): a writer could then change the pages under that thread's read.
    """
    with _turn(path, attempt):
        try:
            with open_named(path) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise RegistryError("is not a regular file", "check the path of this registry")
                if _is_wal(file.read(100)):
                    _refuse_network(path, network_file_system)
                    _refuse_lost_log(path, file.fileno(), attempt)
        except OSError as error:
            raise _unreadable(error) from None
        yield


@contextmanager
def _turn(path: Path, attempt: Attempt) -> Iterator[None]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(error) from None
    turn = _turns.setdefault((status.st_dev, status.st_ino), threading.Lock())
    while not turn.acquire(timeout=_GLANCE):
        attempt.check()
    try:
        yield
    finally:
        turn.release()


def _is_wal(header: bytes) -> bool:
    if not header.startswith(_HEADER):
        raise RegistryError(
            "is no SQLite database, or an encrypted one" if header else "is empty", "check the path of this registry"
        )
    return _WAL_VERSION in header[18:20]


def _refuse_network(path: Path, network_file_system: NetworkCheck) -> None:
    kind = network_file_system(path)
    if kind is not None:
        # The index is shared memory, which other hosts don't share: commits would be missed.
        raise RegistryError(
            f"is in WAL mode on a network file system ({kind}): what other hosts wrote last can't be seen from here",
            "read it on the host that writes it: exec:ssh HOST sqlite3 -readonly -json FILE 'SELECT …', or over HTTP",
        )


def _refuse_lost_log(path: Path, database: int, attempt: Attempt) -> None:
    """Raises `RegistryError` where a program has the database open, and its -wal and -shm files are not those here.

    Somebody removed them: the program goes on writing into files without a name, and SQLite would make new ones.
    """
    end = time.monotonic() + _IN_BETWEEN
    while _is_locked(database, _SHARED) and not _is_index_in_use(path):
        if time.monotonic() > end:
            raise RegistryError(
                "is open in a program whose -wal or -shm file was removed: what that wrote last can't be seen",
                "restart the program that writes it, and find out who removes these files",
            )
        attempt.check()
        time.sleep(_GLANCE)


def _is_index_in_use(path: Path) -> bool:
    resolved = os.path.realpath(path)
    if not os.path.exists(f"{resolved}-wal"):
        return False
    try:
        with open_named(Path(f"{resolved}-shm")) as index:
            return _is_locked(index.fileno(), _DEAD_MAN_SWITCH)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # SQLite will say so in its own words


def _is_locked(descriptor: int, place: tuple[int, int]) -> bool:
    """Whether anybody has these bytes locked. It is asked for an exclusive lock, which is not taken."""
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *place, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, question)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _unreadable(error: OSError) -> RegistryError:
    if error.errno == errno.ENOENT:
        return RegistryError("does not exist", "check the path of this registry: a missing database is never created")
    if error.errno == errno.EACCES:
        return RegistryError("may not be read by this user", f"give uid {os.geteuid()} the right to read it")
    return RegistryError(f"can't be read: {error.strerror}")
