"""What a listing knows about one entry of the volume's root."""

from enum import StrEnum

import msgspec

from sweeper_gui.core.names import visible


class Kind(StrEnum):
    """What the directory entry is, without following links."""

    DIRECTORY = "directory"
    FILE = "file"
    SYMLINK = "symlink"
    OTHER = "other"


class Identity(msgspec.Struct, frozen=True):
    """What tells this directory from another one of the same name.

    An inode number alone does not: ext4 gives it out again at once after rmdir. `device` holds for one mount of one
    host only and is never persisted.
    """

    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int

    def same_as(self, other: "Identity") -> bool:
        """Whether both are the same directory in the same state."""
        return self == other

    def same_inode(self, other: "Identity") -> bool:
        """Whether both are the same directory, its times aside (a rename sets ctime)."""
        return (self.device, self.inode) == (other.device, other.inode)


class Workspace(msgspec.Struct, frozen=True, gc=False):
    """One entry below the root, with the facts about it that need no look inside.

    `name` is its path below the root. `id` is None where the name does not match the configured pattern.
    `identity` is None until the entry has been stat'ed.
    """

    name: bytes
    kind: Kind
    id: str | None = None
    identity: Identity | None = None
    uid: int | None = None
    #: mount points at or below this directory, as paths below the root
    mounts: tuple[bytes, ...] = ()
    #: the directory above this one that is the root of another volume, as its path below our root
    other_root: bytes | None = None
    #: why the tool itself needs something in here: 'holds the configuration file'
    needed_because: str | None = None
    #: who is seen to use it: 'vim (pid 4711) has its working directory inside'
    used_by: str | None = None

    @property
    def label(self) -> str:
        """The name as it may be shown anywhere."""
        return visible(self.name)

    @property
    def basename(self) -> bytes:
        """The last component of the name."""
        return self.name.rpartition(b"/")[2]

    @property
    def hidden(self) -> bool:
        """Whether any component starts with a dot."""
        return any(part.startswith(b".") for part in self.name.split(b"/"))
