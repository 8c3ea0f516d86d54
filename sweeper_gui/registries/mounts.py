"""Whether a file lies on a network file system."""

import os
from pathlib import Path

import psutil

_NETWORK_TYPES = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p ceph glusterfs afs lustre gpfs beegfs ocfs2 gfs2 orangefs pvfs2 virtiofs".split()
)


def network_file_system(path: Path) -> str | None:
    """The type of the network file system that `path` lies on, None for a local one.

    What runs in user space (FUSE) counts as one: nobody can tell what is behind it.
    """
    real = Path(os.path.realpath(path))
    best = max(
        (mount for mount in psutil.disk_partitions(all=True) if real.is_relative_to(mount.mountpoint)),
        # the longest mount point is the nearest; of two at one place the later one hides the other, and max keeps
        # the first of equals
        key=lambda mount: len(mount.mountpoint),
        default=None,
    )
    type_ = best.fstype if best is not None else ""
    return type_ if type_ in _NETWORK_TYPES or (type_.startswith("fuse") and type_ != "fuseblk") else None
