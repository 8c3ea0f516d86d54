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
    mounts = [mount for mount in psutil.disk_partitions(all=True) if real.is_relative_to(mount.mountpoint)]
    # The longest mount point is the nearest; of two at one place the later one hides the other, and sorting is stable.
    nearest = sorted(mounts, key=lambda mount: len(mount.mountpoint))[-1:]
    type_ = nearest[0].fstype if nearest else ""
    return type_ if type_ in _NETWORK_TYPES or (type_.startswith("fuse") and type_ != "fuseblk") else None
