"""What an error of the volume is worth: another attempt, the end of everything, or a report.

Reading a tree (walk.py) and removing one (remove.py) go by the same rules. A file server that was restarted, a network
that was cut for a moment or a table that was full give errors that are gone a little later; nothing that is tried again
is ever counted twice.
"""

import errno

#: Seconds to wait before each further attempt at what is in use or did not answer.
BACK_OFF = (0.05, 0.2, 0.5, 1.0, 2.0)

#: Somebody is at work there, or has it open: NFS keeps an open file under another name until it is closed.
IN_USE = frozenset({errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST, errno.ETXTBSY})
#: The answer is missing rather than no. ESTALE: a handle must be opened anew from the pinned root.
NO_ANSWER = frozenset(
    {
        errno.EIO, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.ENOMEM,
        errno.EMFILE, errno.ENFILE,
    }
)  # fmt: skip
#: The entry is of another kind than it was when it was listed: list it again.
OTHER_KIND = frozenset({errno.EISDIR, errno.ENOTDIR})
#: A full volume that copies on writing (Btrfs, ZFS) can refuse to unlink; what is removed beside it makes room.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
#: A change is worth another attempt.
MAY_PASS = IN_USE | NO_ANSWER | OTHER_KIND | NO_ROOM
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})

_GONE = "the volume is gone"
#: What makes every further operation fail too, in words.
ENDS = {
    errno.EROFS: "the volume is read-only",
    errno.ENOTCONN: _GONE,  # the process behind a FUSE mount has ended
    errno.ESHUTDOWN: _GONE,  # a file system that stopped itself
    errno.ENODEV: _GONE,
}


def words_for(error: OSError) -> str:
    """What the error means for an entry that stays."""
    if error.errno in ENDS:
        return ENDS[error.errno]
    if error.errno in IN_USE:
        return "in use on this or another host"
    if error.errno in OTHER_KIND:
        return "is something else than before"
    return error.strerror or str(error)
