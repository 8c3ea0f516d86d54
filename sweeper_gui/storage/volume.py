"""The pinned root of a volume: opened once, checked again whenever something is about to change.

`Volume` resolves and opens the configured root. Everything below it is reached through its descriptor, so a root that
is unmounted, remounted or swapped meanwhile can't lead anywhere else; `check_unchanged` tells that it happened.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.settings import VolumeSettings, dangerous_root, known_homes
from sweeper_gui.storage import files
from sweeper_gui.storage.mounts import Mount, read_mounts, with_id
from sweeper_gui.storage.opened import Opened

#: A file system that claims more than this many bytes (1 EiB) does not tell a real size; EFS says 8 EiB.
_UNREAL_SIZE = 1 << 60


class VolumeError(Exception):
    """The volume can't be used or trusted: what is wrong, and in `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Space(msgspec.Struct, frozen=True):
    """What the file system says of its size, in bytes; None where that is not a real figure."""

    total: int | None
    free: int | None


class Volume(Opened):
    """An open root.

    `root` is the resolved path, `descriptor` the open directory, `mount` the mount it lies on.
    """

    def __init__(self, settings: VolumeSettings) -> None:
        if settings.root is None:
            raise VolumeError("no root is configured", "set 'root' in [volume], or give --root")
        self.configured = settings.root
        self.pattern = re.compile(settings.id_pattern)
        self.depth = settings.depth
        self.root = _resolved(settings.root)
        super().__init__(_opened(self.root))
        try:
            status = os.fstat(self.descriptor)
            self.device, self.inode = status.st_dev, status.st_ino
            self._mount_id = files.mount_id(self.descriptor)
            self.mount = self._own_mount()
            if settings.require_mount and self.mount.point == b"/":
                raise VolumeError(
                    f"{visible(self.root)} is not on a mounted volume, and 'require_mount' is set",
                    "mount the volume, or correct 'root'",
                )
        except OSError as error:
            self.close()
            raise VolumeError(*_words(settings.root, error)) from error
        except BaseException:
            self.close()
            raise

    def _own_mount(self) -> Mount:
        mount = with_id(read_mounts(), self._mount_id)
        if mount is None:
            raise VolumeError(
                f"the mount of {visible(self.root)} is not in the mount table: unmounted, or out of a chroot's sight",
                "mount the volume again; in a chroot, make its top a mount point (mount --bind)",
            )
        return mount

    @property
    def shown(self) -> str:
        """The resolved root, as it may be shown."""
        return visible(self.root)

    def check_unchanged(self) -> None:
        """Raises `VolumeError` where the configured root no longer leads to the directory that was opened."""
        try:
            self._check_unchanged()
        except OSError as error:
            raise VolumeError(*_words(self.configured, error)) from error

    def _check_unchanged(self) -> None:
        root = _resolved(self.configured)
        if root != self.root:
            raise VolumeError(f"{visible(os.fsencode(self.configured))} now leads to {visible(root)}", "list again")
        descriptor = _opened(root)
        try:
            status = os.fstat(descriptor)
            same = (status.st_dev, status.st_ino) == (self.device, self.inode)
            if not same or files.mount_id(descriptor) != self._mount_id:
                raise VolumeError(
                    f"another directory or volume is now at {self.shown}: it was unmounted, remounted or replaced",
                    "check the mount, then list again",
                )
        finally:
            os.close(descriptor)
        self.mount = self._own_mount()

    def space(self) -> Space:
        """Size and free bytes for an ordinary user."""
        status = os.fstatvfs(self.descriptor)
        total = status.f_blocks * status.f_frsize
        if not 0 < total < _UNREAL_SIZE:
            return Space(None, None)
        return Space(total, status.f_bavail * status.f_frsize)

    def id_of(self, name: bytes) -> str | None:
        """The workspace id in a directory's name (its last component), or None where the pattern does not match."""
        try:
            match = self.pattern.fullmatch(name.rpartition(b"/")[2].decode("utf-8"))
        except UnicodeDecodeError:
            return None
        return match["id"] or None if match else None

    @contextmanager
    def parent_of(self, name: bytes) -> Iterator[int]:
        """The open directory that holds the workspace `name`, for the time of the block."""
        *shards, _ = parts = name.split(b"/")
        if len(parts) != self.depth or any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
            raise VolumeError(f"{visible(name)} does not name a workspace {self.depth} level(s) below the root")
        descriptor = files.reopen(self.descriptor)
        try:
            for shard in shards:
                inner = files.open_directory(shard, descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _resolved(path: Path) -> bytes:
    try:
        resolved = os.path.realpath(path, strict=True)
    except OSError as error:
        raise VolumeError(*_words(path, error)) from error
    danger = dangerous_root(Path(resolved), known_homes(os.environ))
    if danger:
        raise VolumeError(f"the root {visible(os.fsencode(path))} is refused: {danger}", "correct 'root' in [volume]")
    return os.fsencode(resolved)


def _opened(root: bytes) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise VolumeError(*_words(Path(os.fsdecode(root)), error)) from error


def _words(path: Path, error: OSError) -> tuple[str, str]:
    hints = {
        errno.ENOENT: "is the volume mounted? mount it, or correct 'root' in [volume]",
        errno.ENOTDIR: "'root' must be a directory",
        errno.EACCES: "run as a user who may read it",
        errno.ESTALE: "the server no longer knows this mount: mount it again",
        errno.ENOTCONN: "the file system's server process has died: mount it again",
    }
    shown = visible(os.fsencode(path))
    return f"the root {shown} can't be opened: {error.strerror}", hints.get(error.errno or 0, "check the mount")
