"""The mount table: what is mounted where, and which directories of the volume are involved.

Read from mountinfo (proc_pid_mountinfo(5)), the only place that tells bind mounts: st_dev does not show them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sweeper_gui.storage import files

_OCTAL = re.compile(rb"\\([0-7]{3})")

#: File systems whose server is another machine: caches may lag, locks and WAL files do not work as on a disk.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs",
     "fuse.s3fs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "virtiofs", "vboxsf", "prl_fs"}
)  # fmt: skip


class Mount(msgspec.Struct, frozen=True):
    """One line of the mount table. `root` is the directory of the file system that is mounted at `point`.

    `options` are those of the mount and those of its file system together.
    """

    id: int
    device: bytes
    root: bytes
    point: bytes
    fs_type: str
    source: str
    options: frozenset[str]

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written through it."""
        return "ro" in self.options

    @property
    def network(self) -> bool:
        """Whether another machine serves it."""
        return self.fs_type in NETWORK_FILE_SYSTEMS


def read_mounts(table: Path = Path("/proc/self/mountinfo")) -> tuple[Mount, ...]:
    """The mounts that this process sees, in the order in which they were made."""
    return tuple(_parsed(line) for line in table.read_bytes().splitlines() if line)


def _parsed(line: bytes) -> Mount:
    fields = line.split(b" ")
    dash = fields.index(b"-", 6)
    options = fields[5].split(b",") + fields[dash + 3].split(b",")
    return Mount(
        id=int(fields[0]),
        device=fields[2],
        root=_unescaped(fields[3]),
        point=_unescaped(fields[4]),
        fs_type=fields[dash + 1].decode("ascii", "replace"),
        source=_unescaped(fields[dash + 2]).decode("utf-8", "backslashreplace"),
        options=frozenset(option.decode("utf-8", "backslashreplace") for option in options),
    )


def _unescaped(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)


def below(path: bytes, top: bytes) -> bytes | None:
    """`path` as seen from `top`: b'' for `top` itself, None where it is not in there."""
    if path == top:
        return b""
    prefix = top if top.endswith(b"/") else top + b"/"
    return path[len(prefix) :] if path.startswith(prefix) else None


def with_id(mounts: Sequence[Mount], id_: int) -> Mount | None:
    """The mount of this id, if it is (still) there."""
    return next((mount for mount in mounts if mount.id == id_), None)


def is_network(descriptor: int) -> bool:
    """Whether an open file lies on a file system that another machine serves; so it is taken to be if nobody knows."""
    mount = with_id(read_mounts(), files.mount_id(descriptor))
    return mount is None or mount.network


def points_below(mounts: Sequence[Mount], root: bytes) -> tuple[bytes, ...]:
    """Mount points inside `root`, as paths below it."""
    inside = (below(mount.point, root) for mount in mounts)
    return tuple(sorted({path for path in inside if path}))


def shared_from(mounts: Sequence[Mount], root: bytes, own: Mount) -> dict[bytes, bytes]:
    """Directories inside `root` that are bind-mounted somewhere else: path below the root → mount point."""
    inner = below(root, own.point)
    if inner is None:
        return {}
    in_file_system = own.root.rstrip(b"/") + (b"/" + inner if inner else b"") or b"/"
    found = {}
    for mount in mounts:
        if mount.device != own.device or mount.id == own.id:
            continue
        path = below(mount.root, in_file_system)
        if path:
            found[path] = mount.point
    return found
