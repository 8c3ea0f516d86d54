"""What a scan of a workspace measured."""

import msgspec

#: More direct children than this are not remembered: such a directory is no workspace that we know the shape of.
MAX_CHILD_NAMES = 10_000


class Usage(msgspec.Struct, frozen=True):
    """A workspace's measured size.

    `allocated` is ``st_blocks × 512``, `apparent` the sum of ``st_size``, both in bytes, hard-linked files counted
    once. `entries` counts everything below the top, `fullest` what the directory with the most holds itself.
    `newest_change_ns` is the latest change (see `change_of`) of any entry, the top included. `measured_at` is the
    host's clock when the scan of this workspace began, in epoch seconds.
    """

    allocated: int
    apparent: int
    entries: int
    directories: int
    newest_change_ns: int
    newest_ctime_ns: int
    measured_at: float
    complete: bool = True
    #: how many entries could not be read, and the first reasons
    error_count: int = 0
    errors: tuple[str, ...] = ()
    #: names of the directories directly below the top
    child_directories: tuple[str, ...] = ()
    #: whether there were more of them than `MAX_CHILD_NAMES`
    children_cut: bool = False
    #: mount points met inside, as paths below the workspace
    mounts: tuple[bytes, ...] = ()
    #: directories inside, or the top itself as an empty path, that are roots of other volumes
    other_roots: tuple[bytes, ...] = ()
    #: what is known of unsaved work in repositories inside: 'main: 3 uncommitted files'
    unsaved_work: tuple[str, ...] = ()
    #: 0 where it is not known
    fullest: int = 0


def change_of(mtime_ns: int, ctime_ns: int, now_ns: int) -> int:
    """When an entry last changed: the later of its mtime and its ctime.

    The kernel sets ctime at every change and nobody can set it back, while archives carry mtimes at will: 1985, or
    the future. An mtime that lies in the future (later than `now_ns`) therefore says nothing; its ctime does.
    """
    return ctime_ns if mtime_ns > now_ns else max(mtime_ns, ctime_ns)


def unmeasurable(reason: str, at: float) -> Usage:
    """The usage of a workspace that could not even be opened at that time: nothing is known, it is not complete."""
    return Usage(0, 0, 0, 0, 0, 0, at, complete=False, error_count=1, errors=(reason,))
