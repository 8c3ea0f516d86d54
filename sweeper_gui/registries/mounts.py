"""Whether a file lies on a network file system."""

import os
from pathlib import Path

import psutil

#: What lies on a disk or in the memory of this host. Everything else may be changed elsewhere, what runs in user space
#: (FUSE) too: nobody can tell what is behind it.
_LOCAL_TYPES = frozenset(
    "bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs fuseblk hfsplus iso9660 jfs nilfs2 ntfs ntfs3 overlay ramfs "
    "reiserfs rootfs squashfs tmpfs udf ufs vfat xfs zfs".split()
)


def network_file_system(path: Path) -> str | None:
    """The type of the file system that `path` lies on, None for one that is known to be local."""
    real = Path(os.path.realpath(path))
    mounts = [mount for mount in psutil.disk_partitions(all=True) if real.is_relative_to(mount.mountpoint)]
    # The longest mount point is the nearest; of two at one place the later one hides the other, and sorting is stable.
    nearest = sorted(mounts, key=lambda mount: len(mount.mountpoint))[-1:]
    type_ = nearest[0].fstype if nearest else ""
    return None if type_ in _LOCAL_TYPES else type_ or "of an unknown type"
