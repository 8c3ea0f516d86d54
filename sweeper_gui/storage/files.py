"""The few system calls that Python's os module lacks, and the rules for opening directories on the volume.

Every directory is opened through its parent's descriptor, one component at a time, and never through a link, a
mount point or '..' (which only tells where an open one is by now): what was swapped meanwhile is refused by the
kernel, not by a check that can be raced.
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
from functools import cache

from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage import _native

_libc = ctypes.CDLL(None, use_errno=True)

_SYS_OPENAT2 = 437  # the same on every architecture: it came after the numbers were unified (asm-generic/unistd.h)
_RENAME_NOREPLACE = 1
#: statx(2): no server is asked, or it is although the attributes are cached; an open file instead of a name
_AT_STATX_DONT_SYNC = 0x4000
_AT_STATX_FORCE_SYNC = 0x2000
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_STATX_INO = 0x100
_STATX_BASIC_STATS = 0x7FF
#: Its answer (linux/stat.h): links, uid, gid, mode, inode, size, blocks, ctime, mtime and device.
_STATX = struct.Struct("=16xIIIH2xQQQ40xqI4xqI12xII112x")
#: What FUSE lists where the file system behind it tells no inodes.
_UNKNOWN_INODE = 0xFFFFFFFF
_MOST = 2**63 - 1
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LOOK_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class CrossesMount(OSError):
    """The directory is a mount point: bind mounts have the same st_dev, so only the kernel can tell."""


class NameTaken(OSError):
    """The target of a rename exists."""


class NotRegular(OSError):
    """The entry is no regular file: a link, a pipe, a device, a directory."""


def open_directory(name: bytes, parent: int) -> int:
    """A descriptor of the directory `name` in the directory open as `parent`.

    `name` is one component. Raises `CrossesMount` where something is mounted on it, NotADirectoryError where it is
    anything but a directory (a link to one included), and other OSErrors as the kernel gives them.
    """
    return _open_beneath(name, parent, _DIRECTORY_FLAGS)


def open_regular(name: bytes, parent: int) -> int:
    """A descriptor, for reading, of the regular file `name` in the directory open as `parent`.

    `name` is one component. Raises `NotRegular` for anything else, `CrossesMount` where something is mounted on it, and
    other OSErrors as the kernel gives them. Never waits for the other end of a pipe and never opens a device: the entry
    is looked at through a descriptor that can't read, and it is this very entry that is then opened.
    """
    looked = _open_beneath(name, parent, _LOOK_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(looked).st_mode):
            raise NotRegular(errno.EINVAL, "not a regular file", name)
        return os.open(f"/proc/thread-self/fd/{looked}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(looked)


def _open_beneath(name: bytes, parent: int, flags: int) -> int:
    _check_component(name)
    if has_openat2():
        return _openat2(name, parent, flags)[0]
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        if mount_id(descriptor) != mount_id(parent):
            raise CrossesMount(errno.EXDEV, "a mount point", name)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_component(name: bytes) -> None:
    """One name and nothing more: ctypes would cut a name at a NUL, and the kernel would take a path for one."""
    if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise ValueError(f"not a single path component: {name!r}")


def reopen(descriptor: int) -> int:
    """A new descriptor of the same directory, with a reading position of its own."""
    return os.open(".", _DIRECTORY_FLAGS, dir_fd=descriptor)


def open_identified(name: bytes, parent: int) -> tuple[int, tuple[int, int]]:
    """As `open_directory`, with the (device, inode) of what was opened."""
    _check_component(name)
    if has_openat2():
        return _openat2(name, parent, _DIRECTORY_FLAGS)
    descriptor = open_directory(name, parent)
    try:
        status = os.fstat(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, (status.st_dev, status.st_ino)


def _openat2(name: bytes, parent: int, flags: int) -> tuple[int, tuple[int, int]]:
    try:
        return _native.open_beneath(name, parent, flags)
    except OSError as error:
        code = error.errno or 0
    if code == errno.EXDEV:
        raise CrossesMount(code, "a mount point", name)
    if code == errno.ELOOP:
        code = errno.ENOTDIR  # as O_DIRECTORY | O_NOFOLLOW say it elsewhere
    raise OSError(code, os.strerror(code), name)


@cache
def has_openat2() -> bool:
    """Whether kernel (5.6 or later) and sandbox let us use openat2."""
    descriptor = os.open("/", _DIRECTORY_FLAGS)
    try:
        how = struct.pack("QQQ", _DIRECTORY_FLAGS, 0, 0)
        result = int(_libc.syscall(_SYS_OPENAT2, descriptor, b".", how, ctypes.c_size_t(len(how))))
        if result >= 0:
            os.close(result)
        return result >= 0
    finally:
        os.close(descriptor)


def mount_id(descriptor: int) -> int:
    """The id of the mount that an open file is on (proc(5), fdinfo)."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
        for line in lines:
            key, _, value = line.partition(":")
            if key == "mnt_id":
                return int(value)
    raise OSError(errno.ENOSYS, "the kernel does not tell mount ids")


def identity_of_open(descriptor: int) -> tuple[int, int]:
    """(device, inode) of an open directory, as the kernel knows it: no server is asked. Raises OSError."""
    return _native.identities_above(descriptor, 0)[0]


def _statx(directory: int, path: bytes, flags: int, mask: int) -> tuple[int, ...]:
    answer = ctypes.create_string_buffer(_STATX.size)
    if _libc.statx(directory, path, flags, mask, answer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return _STATX.unpack_from(answer)


def fresh_stat(name: str | bytes, parent: int) -> os.stat_result:
    """What the server says of an entry now, links not followed; with an empty name of the directory `parent` itself.

    An NFS client believes what it knows for up to a minute, and stat(2) with it. Asking for a directory makes it notice
    that names in there have changed, too. On a local file system it is an ordinary stat. Raises OSError.
    """
    flags = _AT_STATX_FORCE_SYNC | _AT_SYMLINK_NOFOLLOW | (0 if name else _AT_EMPTY_PATH)
    answer = _statx(parent, os.fsencode(name), flags, _STATX_BASIC_STATS)
    links, uid, gid, mode, inode, size, blocks, changed, changed_ns, modified, modified_ns, major, minor = answer
    return os.stat_result(
        (mode, inode, os.makedev(major, minor), links, uid, gid, size, 0, modified, changed),
        {
            "st_mtime_ns": modified * 10**9 + modified_ns,
            "st_ctime_ns": changed * 10**9 + changed_ns,
            "st_mtime": modified + modified_ns * 1e-9,
            "st_ctime": changed + changed_ns * 1e-9,
            "st_blocks": blocks,
        },
    )


def is_listed_as(inode: int, name: bytes, directory: int) -> bool:
    """Whether the listing of a directory has this inode under the name, or no inode.

    A rename is by name, on the server: an NFS client takes what it knew under that name for what has been renamed, and
    goes on with that. The listing after a rename comes from the server. Raises OSError.
    """
    descriptor = reopen(directory)
    try:
        with os.scandir(descriptor) as entries:
            listed = {entry.inode() for entry in entries if os.fsencode(entry.name) == name}
    finally:
        os.close(descriptor)
    return listed <= {inode, _UNKNOWN_INODE}


def identity_of(status: os.stat_result) -> Identity:
    """The identity in a stat result, its times bounded."""
    return Identity(status.st_dev, status.st_ino, bounded(status.st_mtime_ns), bounded(status.st_ctime_ns))


def bounded(number: int) -> int:
    """A time in nanoseconds or a sum of sizes within 64 bits.

    Anyone may set an mtime of the year 9999 or make some holes of 7 EiB, and no message could carry those.
    """
    return max(-_MOST, min(number, _MOST))


def rename_exclusively(source: bytes, source_parent: int, target: bytes, target_parent: int) -> None:
    """Renames without ever replacing anything; raises `NameTaken` where the target exists.

    NFS and some other file systems do not know RENAME_NOREPLACE (EINVAL): there the server is asked for the target
    first, and an empty directory made in between would be replaced. Anything else would make the rename fail.
    """
    _check_component(source)
    _check_component(target)
    result = int(_libc.renameat2(source_parent, source, target_parent, target, ctypes.c_uint(_RENAME_NOREPLACE)))
    if result == 0:
        return
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        raise NameTaken(code, "the name is taken", target)
    if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), source)
    try:
        fresh_stat(b"", target_parent)  # or a name made on another host a moment ago would not be seen
        fresh_stat(target, target_parent)
    except FileNotFoundError:
        os.rename(source, target, src_dir_fd=source_parent, dst_dir_fd=target_parent)
    else:
        raise NameTaken(errno.EEXIST, "the name is taken", target)


def move(source: bytes, source_parent: int, target: bytes, target_parent: int, inode: int) -> None:
    """As `rename_exclusively`, for the directory `inode`; an error for what has been done all the same is none.

    A file server's answer can get lost, and the repeated call then fails: what counts is where the directory is.
    """
    try:
        rename_exclusively(source, source_parent, target, target_parent)
    except OSError:
        if inode_of(target, target_parent) != inode or inode_of(source, source_parent) == inode:
            raise


def set_mode(name: bytes, parent: int, mode: int, inode: int) -> None:
    """Changes the mode of this very directory, never of what a link leads to or of what has taken its name."""
    descriptor = open_directory(name, parent)
    try:
        if os.fstat(descriptor).st_ino != inode:
            raise FileNotFoundError(errno.ENOENT, "another directory has taken the name", name)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def settle(descriptor: int) -> None:
    """Has what was renamed into or out of an open directory on the disk when it returns.

    A file server does that before it answers (NFS), and a file system without the call (EINVAL, as on CIFS) promises
    nothing that could be waited for. Raises OSError where it failed: then nobody knows what a power cut would leave.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def settle_place(directory: int) -> None:
    """As `settle`, for a directory that is open as a place only (O_PATH); not for one that we may not read."""
    with contextlib.suppress(PermissionError):
        descriptor = reopen(directory)
        try:
            settle(descriptor)
        finally:
            os.close(descriptor)


def inode_of(name: bytes, parent: int) -> int | None:
    """The inode of an entry, links not followed; None where it can't be told."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_ino
    except OSError:
        return None
