"""One workspace on its way through the protocol, and the way back."""

import errno
import os
import stat
import time
from threading import Lock as ThreadLock

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Outcome, Result
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage import files
from sweeper_gui.storage.control import SweepDirectory
from sweeper_gui.storage.measure import Counters
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.log import Name, Restoring
from sweeper_gui.sweep.site import Site


class Tree:
    """A set-aside workspace: where it lies, on which evidence, and how far it is.

    `newest_change_ns` is the newest change that the evidence knows, None where everything is allowed because the
    removal has begun before. `mode` is the top's mode before it was changed. `outcome` is set once, at the end.
    """

    def __init__(
        self,
        directory: SweepDirectory,
        number: int,
        name: bytes,
        id_: str,
        identity: Identity | None,
        newest_change_ns: int | None,
        entries: int,
        treatment: Treatment = Treatment.REMOVE,
        mode: int | None = None,
    ) -> None:
        self.directory = directory
        self.number = number
        self.name = name
        self.id = id_
        self.identity = identity
        self.newest_change_ns = newest_change_ns
        self.entries = entries
        self.treatment = treatment
        self.mode = mode
        self.counters = Counters()
        self.step = "set-aside"
        self.outcome: Outcome | None = None
        #: whether the sweep has given the place of a failed tree to another one
        self.settled = False
        self._ending = ThreadLock()

    @property
    def entry(self) -> bytes:
        """Its name in `whole/` or `removing/`."""
        return str(self.number).encode()

    def end(self, outcome: Outcome) -> bool:
        """Sets the outcome; False where it had one already."""
        with self._ending:
            if self.outcome is not None:
                return False
            self.outcome = outcome
            self.step = "done"
            return True


def put_back(site: Site, tree: Tree, reason: str) -> Outcome:
    """Renames a whole tree back to its place, and never over anything. The outcome is not written down yet."""
    if site.lock_lost:
        return Outcome(tree.name, Result.FAILED, f"{reason}; it stays set aside, because the lock is lost", 0, 0, 1)
    source = "" if tree.directory.id == site.sweep.id else tree.directory.id
    try:
        site.write(Restoring(time.time(), tree.number, Name.of(tree.name), reason, source))
        with site.ground.pool.operation(), site.ground.volume.parent_of(tree.name) as parent:
            basename = tree.name.rpartition(b"/")[2]
            files.rename_exclusively(tree.entry, tree.directory.whole, basename, parent)
            if tree.mode is not None and tree.identity is not None:
                set_mode(basename, parent, tree.mode, tree.identity.inode)
    except files.NameTaken:
        return Outcome(
            tree.name, Result.CONFLICT, f"{reason}; it stays set aside, because its name is taken by another entry"
        )
    except (OSError, VolumeError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        return Outcome(
            tree.name, Result.FAILED, f"{reason}; it stays set aside, because it can't be put back: {words}", 0, 0, 1,
            (words or "",),
        )  # fmt: skip
    return Outcome(tree.name, Result.RESTORED, reason)


def immovable_mode(name: bytes, parent: int, uid: int) -> int | None:
    """The mode of a directory of `uid` (whom the volume makes us) that lacks write permission on itself, else None.

    Renaming a directory to another parent changes its '..', which needs that permission.
    """
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    return mode if status.st_uid == uid and not mode & stat.S_IWUSR else None


def set_mode(name: bytes, parent: int, mode: int, inode: int) -> None:
    """Changes the mode of this very directory, never of what a link leads to or of what has taken its name."""
    descriptor = files.open_directory(name, parent)
    try:
        if os.fstat(descriptor).st_ino != inode:
            raise OSError(errno.ESTALE, "another directory has taken the name", name)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def words_of(error: Exception) -> str:
    """An error as a sentence for an outcome."""
    if isinstance(error, OSError):
        if error.errno == errno.ENOENT:
            return "it is gone"
        where = f" ({visible(error.filename)})" if isinstance(error.filename, bytes | str) else ""
        return f"{error.strerror or error}{where}"
    return str(error)
