"""A registry in a file: one id a line, or JSON."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

from sweeper_gui.registries.base import Attempt, RegistryError
from sweeper_gui.registries.document import MAX_BYTES, sessions_in
from sweeper_gui.registries.rows import Sessions
from sweeper_gui.settings.model import RegistrySettings, file_path
from sweeper_gui.settings.opening import open_named

_CHUNK = 1 << 20
#: A file that changed less than so many seconds ago may still be being written.
_SETTLED = 0.5


def read_file(settings: RegistrySettings, attempt: Attempt) -> Sessions:
    """All sessions in the file. Raises `RegistryError`."""
    path = file_path(settings.source.get_secret_value())
    try:
        data = _stable_content(path, attempt)
    except OSError as error:
        raise _unreadable(error) from None
    return sessions_in(data, settings.items)


def _stable_content(path: Path, attempt: Attempt) -> bytes:
    """The content, unless somebody wrote to it or replaced it meanwhile: then half of it may be the old one."""
    with open_named(path) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise RegistryError("is not a regular file")
        data = _content(file, attempt)
        _settle(before, attempt)
        after = (os.fstat(file.fileno()), os.stat(path))
    if any(_state(status) != _state(before) for status in after) or len(data) != before.st_size:
        raise RegistryError("was written while it was read", "try again; write a new file and rename it into place")
    return data


def _content(file: BinaryIO, attempt: Attempt) -> bytes:
    data = bytearray()
    while chunk := file.read(_CHUNK):
        attempt.check()
        data += chunk
        if len(data) > MAX_BYTES:
            raise RegistryError(f"is larger than {MAX_BYTES >> 20} MiB")
    return bytes(data)


def _settle(status: os.stat_result, attempt: Attempt) -> None:
    """Waits where the file has just changed, so that a writer who is pausing shows himself."""
    if time.time() - status.st_mtime > _SETTLED:
        return
    end = time.monotonic() + _SETTLED
    while (left := end - time.monotonic()) > 0:
        attempt.check()
        time.sleep(min(left, 0.05))


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unreadable(error: OSError) -> RegistryError:
    if error.errno == errno.ENOENT:
        return RegistryError("does not exist", "check the path of this registry")
    if error.errno == errno.EACCES:
        return RegistryError("may not be read by this user", f"give uid {os.geteuid()} the right to read it")
    return RegistryError(f"can't be read: {error.strerror}")
