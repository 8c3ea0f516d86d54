"""The process behind `slowfs.slow_volume`: serves a directory through FUSE and takes orders on standard input."""

import ctypes
import errno
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import mfusepy

from tests.support.mounts import unmount

_AT_FDCWD = -100
_TIMES = ("st_atime", "st_mtime", "st_ctime")
_STAT = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_blksize", "st_rdev")
_STATFS = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag", "f_frsize")
_libc = ctypes.CDLL(None, use_errno=True)


class Plan:
    """Decides what happens to each call, and keeps count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[dict[str, Any]] = []
        self._latency: dict[str, float] = {}
        self._go_on = threading.Event()
        self.calls: list[tuple[str, str]] = []
        self.hanging = 0

    def replace(self, faults: list[dict[str, Any]], latency: dict[str, float] | None) -> None:
        """The plan from now on; what hangs is let go."""
        with self._lock:
            self._faults = [fault | {"seen": 0, "done": 0} for fault in faults]
            if latency is not None:
                self._latency = latency
            self._go_on.set()
            self._go_on = threading.Event()

    def enter(self, operation: str, paths: tuple[str, ...]) -> dict[str, Any] | None:
        """Notes the call, waits as long as it takes, and returns the fault that is to happen, if any."""
        with self._lock:
            self.calls.append((operation, paths[0]))
            fault = next((fault for fault in self._faults if self._applies(fault, operation, paths)), None)
            latency = self._latency.get(operation, self._latency.get("*", 0.0))
        if latency:
            time.sleep(latency)
        return fault

    @staticmethod
    def _applies(fault: dict[str, Any], operation: str, paths: tuple[str, ...]) -> bool:
        if not fnmatchcase(operation, fault["operation"]):
            return False
        if not any(fnmatchcase(path, fault["path"]) for path in paths):
            return False
        fault["seen"] += 1
        if fault["seen"] < fault["nth"] or (fault["times"] is not None and fault["done"] >= fault["times"]):
            return False
        fault["done"] += 1
        return True

    def strikes(self) -> int:
        """How often the faults of this plan have happened."""
        with self._lock:
            return sum(fault["done"] for fault in self._faults)

    def strike(self, fault: dict[str, Any]) -> None:
        """Makes the fault happen in the calling thread."""
        if fault["delay"]:
            time.sleep(fault["delay"])
        if fault["hang"]:
            with self._lock:
                self.hanging += 1
                go_on = self._go_on
            go_on.wait()
            with self._lock:
                self.hanging -= 1
        if fault["error"]:
            raise OSError(getattr(errno, fault["error"]), "planned")


class PassThrough:
    """The operations, as mfusepy wants them; paths begin with a slash."""

    use_ns = True

    def __init__(self, options: dict[str, Any], plan: Plan) -> None:
        self._backing = options["backing"]
        self._rename_flags = options["rename_flags"]
        self._owner = options["owner"]
        self._plan = plan
        for name in _OPERATIONS:
            setattr(self, name, self._planned(name, getattr(self, f"_{name}")))

    def init(self, _path: str) -> None:
        """Mounted."""
        print("ready", flush=True)

    def _planned(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        two_paths = name in ("rename", "link")

        @functools.wraps(function)  # mfusepy reads the signature
        def call(path: str | None, *arguments: Any) -> Any:
            shown = (path or "/")[1:]  # an open directory that has been removed has no path any more
            paths = (shown, arguments[0][1:]) if two_paths else (shown,)
            fault = self._plan.enter(name, paths)
            if fault is None:
                return function(path, *arguments)
            if not fault["after"]:
                self._plan.strike(fault)
                return function(path, *arguments)
            result = function(path, *arguments)
            self._plan.strike(fault)
            return result

        return call

    def _real(self, path: str) -> str:
        return f"{self._backing}{path}"

    def _give(self, path: str) -> None:
        """A new entry belongs to who asked for it, not to this process."""
        uid, gid = self._owner or mfusepy.fuse_get_context()[:2]
        os.chown(self._real(path), uid, gid, follow_symlinks=False)

    def _getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        status = os.fstat(handle) if handle else os.lstat(self._real(path))
        times = {name: getattr(status, f"{name}_ns") for name in _TIMES}
        return {name: getattr(status, name) for name in _STAT} | times

    def _opendir(self, path: str) -> int:
        return os.open(self._real(path), os.O_RDONLY | os.O_DIRECTORY)

    def _readdir(self, path: str, handle: int) -> Iterator[tuple[str, dict[str, int], int]]:
        # Listed whole before the first entry is handed on, so that a fault strikes the whole reading.
        with os.scandir(self._real(path)) as entries:
            listed = [(entry.name, entry.inode(), entry.stat(follow_symlinks=False).st_mode) for entry in entries]
        special = [(".", os.fstat(handle).st_ino, 0o40755), ("..", 1, 0o40755)]
        return iter([(name, {"st_mode": mode, "st_ino": inode}, 0) for name, inode, mode in special + listed])

    def _releasedir(self, _path: str, handle: int) -> None:
        os.close(handle)

    def _fsyncdir(self, _path: str, _data_only: int, handle: int) -> None:
        os.fsync(handle)

    def _open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags & ~os.O_NOFOLLOW)

    def _create(self, path: str, mode: int, flags: int = os.O_RDWR) -> int:
        descriptor = os.open(self._real(path), flags | os.O_CREAT, mode)
        self._give(path)
        return descriptor

    def _read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        return os.pread(handle, size, offset)

    def _write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        return os.pwrite(handle, data, offset)

    def _truncate(self, path: str, length: int, handle: int | None = None) -> None:
        os.truncate(handle or self._real(path), length)

    def _flush(self, _path: str, handle: int) -> None:
        os.close(os.dup(handle))

    def _release(self, _path: str, handle: int) -> None:
        os.close(handle)

    def _fsync(self, _path: str, _data_only: int, handle: int) -> None:
        os.fsync(handle)

    def _unlink(self, path: str) -> None:
        os.unlink(self._real(path))

    def _rmdir(self, path: str) -> None:
        os.rmdir(self._real(path))

    def _mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._real(path), mode)
        self._give(path)

    def _symlink(self, path: str, target: str) -> None:
        os.symlink(target, self._real(path))
        self._give(path)

    def _link(self, path: str, existing: str) -> None:
        os.link(self._real(existing), self._real(path), follow_symlinks=False)

    def _readlink(self, path: str) -> str:
        return os.readlink(self._real(path))

    def _rename(self, old: str, new: str, flags: int) -> None:
        if flags and not self._rename_flags:
            raise OSError(errno.EINVAL, "no flags, as on NFS")
        source, target = os.fsencode(self._real(old)), os.fsencode(self._real(new))
        if _libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, ctypes.c_uint(flags)) != 0:
            raise OSError(ctypes.get_errno(), "rename")

    def _chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path), mode)

    def _chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._real(path), uid, gid, follow_symlinks=False)

    def _utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        if times is None:
            os.utime(self._real(path), follow_symlinks=False)
        else:
            os.utime(self._real(path), ns=times, follow_symlinks=False)

    def _statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self._real(path))
        return {name: getattr(status, name) for name in (*_STATFS, "f_namemax")}

    def _access(self, _path: str, _mode: int) -> None:
        """Everyone may: with `check_permissions` the kernel decides and does not ask."""


_OPERATIONS = tuple(
    "getattr opendir readdir releasedir fsyncdir open create read write truncate flush release fsync unlink rmdir "
    "mkdir symlink link readlink rename chmod chown utimens statfs access".split()
)


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy, which drops the flags of a rename, with them."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> Any:
        """Renames, with flags."""
        return self.operations.rename(os.fsdecode(old), os.fsdecode(new), flags)


def _obey(plan: Plan, mount_point: str) -> None:
    """Carries out the orders that come in, one answer each; ends with the test that gives them, and its mount too."""
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = None
        if order["do"] == "plan":
            plan.replace(order["faults"], order["latency"])
        elif order["do"] == "calls":
            answer = list(plan.calls)
        elif order["do"] == "forget":
            plan.calls.clear()
        elif order["do"] == "hanging":
            answer = plan.hanging
        elif order["do"] == "strikes":
            answer = plan.strikes()
        print(json.dumps(answer), flush=True)
    unmount(Path(mount_point))
    os._exit(0)


def main() -> None:
    """Serves until standard input ends or the process is killed."""
    options = json.loads(sys.argv[1])
    plan = Plan()
    threading.Thread(target=_obey, args=(plan, options["mount_point"]), daemon=True).start()
    os.umask(0)
    settings: dict[str, Any] = {"default_permissions": True} if options["check_permissions"] else {}
    if (mfusepy.fuse_version_major, mfusepy.fuse_version_minor) >= (3, 12):
        settings["max_threads"] = 128  # 10 from this version on, no limit and no such option before
    _Fuse(
        PassThrough(options, plan),
        options["mount_point"],
        foreground=True,
        allow_other=True,
        fsname="slowfs",
        use_ino=True,
        hard_remove=not options["silly_rename"],
        entry_timeout=options["cache"],
        attr_timeout=options["cache"],
        negative_timeout=0,
        **settings,
    )


if __name__ == "__main__":
    main()
