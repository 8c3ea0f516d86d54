"""Cuts of power: an ext4 whose every write to its disk is recorded, and that disk as it might be after a cut.

The disk is a file that a FUSE daemon serves to a loop device, so the kernel's own writes are seen, in their order, with
its flushes in between. After a cut at some write, the disk holds all that came before the last flush, and of the rest
whatever the drive happened to have written: any part of it, in any order. Everything here runs in forks of a nursery.
"""

import ctypes
import os
import random
import stat
import struct
import subprocess
import time
from collections.abc import Callable
from errno import ENOENT
from pathlib import Path
from typing import Any

import mfusepy

from sweeper_gui.storage.queue import WorkPool
from tests.support.killing import CLAIM, ORPHANS, Portrait, Scene, go_on, make_volume
from tests.support.nursery import ended, forked
from tests.support.trees import make_tree
from tests.sweep.rig import Rig

_SIZE = 24 << 20
_HEAD = struct.Struct("<qq")
_FLUSH = -1
_libc = ctypes.CDLL(None, use_errno=True)


class _Disk(mfusepy.Operations):  # type: ignore[misc]
    """One file; what is written to it is appended to a journal of its own."""

    def __init__(self, image: Path, record: Path) -> None:
        self._content = bytearray(image.read_bytes())
        self._record = record.open("ab", buffering=0)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """The directory and the file."""
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/disk":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(self._content)}
        raise mfusepy.FuseOSError(ENOENT)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """What was written."""
        return bytes(self._content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Takes it, and notes it."""
        self._content[offset : offset + len(data)] = data
        self._record.write(_HEAD.pack(offset, len(data)) + data)
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """The kernel wants all of it to be on the disk."""
        self._record.write(_HEAD.pack(_FLUSH, 0))
        return 0


class RecordedDisk:
    """An ext4 on such a disk, mounted at `mount`; `record` grows while it is used."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.mount = directory / "mount"
        self._served = directory / "served"
        self._image = directory / "image"
        self._record = directory / "record"
        for place in (self.mount, self._served):
            place.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_SIZE)
        lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        _run("mkfs.ext4", "-q", "-F", "-b", "1024", "-E", lazy, *options, self._image)
        forked(lambda: mfusepy.FUSE(_Disk(self._image, self._record), str(self._served), foreground=True))
        deadline = time.monotonic() + 30
        while not (self._served / "disk").exists():
            assert time.monotonic() < deadline, "the disk is not served"
            time.sleep(0.005)
        _run("mount", "-o", "loop", self._served / "disk", self.mount)

    def settle(self) -> int:
        """Has everything on the disk; where the record ends then."""
        synchronise(self.mount)
        return self._record.stat().st_size

    def close(self) -> None:
        """Ends the recording."""
        _run("umount", self.mount)
        _run("umount", self._served)

    def writes(self, start: int) -> list[tuple[int, bytes]]:
        """All writes and flushes (at offset -1) from this place of the record on."""
        data, at, found = self._record.read_bytes(), start, []
        while at < len(data):
            offset, length = _HEAD.unpack_from(data, at)
            found.append((offset, data[at + _HEAD.size : at + _HEAD.size + length]))
            at += _HEAD.size + length
        return found

    def disk_at(self, start: int) -> bytearray:
        """The disk as it was when the record ended there."""
        content = bytearray(self._image.read_bytes())
        end = self._record.stat().st_size
        known = self.writes(0)
        at = 0
        for offset, data in known:
            if at >= start or at >= end:
                break
            if offset != _FLUSH:
                content[offset : offset + len(data)] = data
            at += _HEAD.size + len(data)
        return content


def synchronise(directory: Path) -> None:
    """Has the kernel write down what it holds back of this file system."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        _libc.syncfs(descriptor)
    finally:
        os.close(descriptor)


def after_cut(disk: bytearray, writes: list[tuple[int, bytes]], at: int, dice: random.Random) -> bytearray:
    """The disk after a cut right before write number `at`."""
    flushed = max([index for index, (offset, _) in enumerate(writes[:at]) if offset == _FLUSH], default=-1)
    kept = [write for write in writes[: flushed + 1] if write[0] != _FLUSH]
    open_ = writes[flushed + 1 : at]
    kept += dice.sample(open_, dice.randint(0, len(open_)))
    content = bytearray(disk)
    for offset, data in kept:
        content[offset : offset + len(data)] = data
    return content


def _run(*command: str | Path, allowed: tuple[int, ...] = (0,)) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode in allowed, f"{command}: {result.stdout}{result.stderr}"


# --- the case ---------------------------------------------------------------------------------------------------------


def cuts(place: str, count: int, seed: int, what: str, journal: bool) -> dict[str, int]:
    """Records one run on a volume, cuts the power at `count` of its writes, and checks what is there each time.

    Without a journal, changes get to the disk in any order but for what is waited for, and a rename may be lost half:
    then only that is checked which must hold on any file system.
    """
    directory = Path(place)
    directory.mkdir()
    os.environ |= {"SWEEPER_STATE_DIR": str(directory / "state"), "HOME": str(directory)}
    disk = RecordedDisk(directory, *(() if journal else ("-O", "^has_journal")))
    volume = make_volume(disk.mount)
    make_tree(volume.root / "gone-1" / "more", 60)
    before = {path.name: Portrait.of(path) for path in volume.root.iterdir()}
    _in_fork(lambda: Rig(disk.mount, WorkPool(2)).settings)
    if what != "sweep":
        _in_fork(lambda: _work(disk.mount, "set-aside"))
    start = disk.settle()
    _in_fork(lambda: _while_written_back(disk.mount, lambda: _work(disk.mount, what)))
    disk.settle()
    disk.close()
    writes, content = disk.writes(start), disk.disk_at(start)
    dice = random.Random(seed)
    for number in range(count):
        at = dice.randrange(1, len(writes) + 1)
        image = directory / "cut"
        image.write_bytes(after_cut(content, writes, at, dice))
        try:
            if journal:
                _check(image, disk.mount, before, named=what == "purge", resume_first=number % 2 == 0)
            else:
                _check_without_journal(image, disk.mount, before)
        except AssertionError as error:
            raise AssertionError(f"power cut at write {at} of {len(writes)}, number {number}: {error}") from error
    return {"cuts": count, "writes": len(writes), "flushes": sum(offset == _FLUSH for offset, _ in writes)}


def _work(directory: Path, what: str) -> None:
    rig = Rig(directory, WorkPool(4))
    rig.write_settings = False
    names = [item.name.decode() for item in rig.trash()]
    if what == "restore":
        rig.restore(*names)
    elif what == "purge":
        rig.purge(*names)
    else:
        rig.sweep(rig.plan(cap=100) if what == "sweep" else rig.plan("gone-0", "gone-1", "lost-0", set_aside=True))


def _while_written_back(directory: Path, work: Callable[[], object]) -> None:
    """Works while the kernel writes what it holds back as often as it can, and not every few seconds."""
    reading, writing = os.pipe()

    def write_back() -> None:
        os.close(writing)
        os.set_blocking(reading, False)
        while True:
            try:
                if not os.read(reading, 1):
                    return
            except BlockingIOError:
                synchronise(directory)
                time.sleep(0.02)  # so that changes pile up, to be written in one go

    helper = forked(write_back)
    work()
    os.close(writing)
    ended(helper)


def _check(image: Path, mount: Path, before: dict[str, Portrait], *, named: bool, resume_first: bool) -> None:
    _run("mount", "-o", "loop", image, mount)
    try:
        scene = Scene(mount, before)
        scene.check(named=named)
        _in_fork(lambda: go_on(mount, scene, named=named, resume_first=resume_first))
    finally:
        _run("umount", "--lazy", mount)


def _check_without_journal(image: Path, mount: Path, before: dict[str, Portrait]) -> None:
    """What is no orphan is what it was, and whatever is in its place or can be restored is whole."""
    _run("e2fsck", "-f", "-y", image, allowed=(0, 1))
    _run("mount", "-o", "loop", image, mount)
    try:
        scene = Scene(mount, before)
        orphans = {before[name].inner: name for name in ORPHANS}
        for path in (path for path in scene.root.iterdir() if path.name != CLAIM):
            found = Portrait.of(path).inner
            assert found == before[path.name].inner, f"{path.name} in its place is not what it was"
        assert scene.before.keys() - set(ORPHANS) <= {path.name for path in scene.root.iterdir()}
        for path in scene.control.glob("sweeps/*/whole/[0-9]*"):
            assert Portrait.of(path).inner in orphans, f"{path} is not whole"
    finally:
        _run("umount", "--lazy", mount)


def _in_fork(work: Callable[[], object]) -> None:
    assert ended(forked(work)) == 0, "see its trace above"
