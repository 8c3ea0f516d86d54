"""Running code without root's rights: root may do everything, so a missing permission shows only to others."""

import ctypes
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.root import need_root

T = TypeVar("T")

#: The user and the group that own nothing.
NOBODY = 65534

#: For subprocess.run and Popen: `subprocess.run(argv, **POPEN_AS_NOBODY)`.
POPEN_AS_NOBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

#: In front of an argument vector: as nobody, who may here read and search everything, so that programs are found in a
#: checkout that is closed to others.
NOBODY_READING_ALL = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--securebits=+no_setuid_fixup",  # else access(2), which initdb asks, knows nothing of capabilities
)

_PR_SET_DUMPABLE = 4
_PR_SET_SECUREBITS = 28
_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION = 0x20080522
_DAC_READ_SEARCH = 1 << 2
#: setgroups, setresgid, setresuid
_SYSTEM_CALLS = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}[platform.machine()]
_libc = ctypes.CDLL(None, use_errno=True)


def as_nobody(function: Callable[..., T], *arguments: object, **keywords: object) -> T:
    """What the function returns or raises when it runs as nobody; see `as_user`."""
    return as_user(NOBODY, NOBODY, function, *arguments, **keywords)


def as_user(uid: int, gid: int, function: Callable[..., T], *arguments: object, **keywords: object) -> T:
    """What the function returns or raises when it runs as this user, in a thread of this process.

    To the kernel, credentials belong to a thread, and new threads and processes inherit them: so whatever the
    function starts runs as that user too. Only glibc's wrappers change all threads at once, hence the plain system
    calls.
    What he can't read can't be imported in there: import it before.
    """
    need_root()
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _become(uid, gid)
            result.append(function(*arguments, **keywords))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, name=f"as user {uid}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


@contextmanager
def nobodys_directory() -> Iterator[Path]:
    """A directory that belongs to nobody; pytest's own temporary directories are closed to all but root."""
    need_root()
    directory = Path(tempfile.mkdtemp(prefix="sweeper-nobody-"))
    os.chown(directory, NOBODY, NOBODY)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def become_nobody_reading_all() -> None:
    """Makes this process nobody's for good, who may here read and search everything, so that imports go on working."""
    _call_prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP)  # else the change of user takes all capabilities away
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(_DAC_READ_SEARCH, _DAC_READ_SEARCH, 0, 0, 0, 0)  # effective, permitted, inheritable
    if _libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "can't give capabilities up")
    _call_prctl(_PR_SET_DUMPABLE, 1)


def _call_prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def _become(uid: int, gid: int) -> None:
    setgroups, setresgid, setresuid = _SYSTEM_CALLS
    _call(setgroups, 0, None)
    _call(setresgid, gid, gid, gid)
    _call(setresuid, uid, uid, uid)
    # A change of user makes the whole process undumpable, and its own files in /proc root's.
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _call(number: int, *arguments: int | None) -> None:
    if _libc.syscall(number, *arguments) != 0:
        raise OSError(ctypes.get_errno(), "can't become another user")
