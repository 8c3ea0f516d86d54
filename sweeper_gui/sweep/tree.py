"""One workspace on its way through the protocol, and the way back."""

import os
import stat
import time
from threading import Lock as ThreadLock

from sweeper_gui.core.outcome import Outcome, Result
from sweeper_gui.core.plan import Candidate
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.verdict import Doubt, Status, Verdict
from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage import files
from sweeper_gui.storage.control import REMOVING, WHOLE, SweepDirectory
from sweeper_gui.storage.measure import Counters
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.log import Intent, Name, Restoring
from sweeper_gui.sweep.site import Site
from sweeper_gui.sweep.words import words_of


class Tree:
    """A set-aside workspace: where it lies, on which evidence, and how far it is.

    `intent` is what the log says of it. `begun` says that its removal had begun before this run: it lies in
    `removing/`, has been changed by that, and is never put back. `outcome` is set once, at the end. `fullest` is as it
    was measured, 0 where that was not in this run.
    """

    def __init__(
        self, directory: SweepDirectory, intent: Intent, identity: Identity, *, begun: bool = False, fullest: int = 0
    ) -> None:
        self.directory = directory
        self.intent = intent
        self.identity = identity
        self.begun = begun
        self.fullest = fullest
        #: the top's mode before it was made movable
        self.mode = intent.mode
        self.entries = intent.entries
        self.counters = Counters()
        self.step = "set-aside"
        #: whether its session has been found live: then it goes back, whatever becomes of the doubtful ones
        self.revived = False
        self.outcome: Outcome | None = None
        #: whether the sweep has given the place of a failed tree to another one
        self.settled = False
        self._ending = ThreadLock()

    @property
    def name(self) -> bytes:
        """The workspace's path below the root."""
        return bytes(self.intent.name)

    @property
    def basename(self) -> bytes:
        """The last component of the name."""
        return self.name.rpartition(b"/")[2]

    @property
    def number(self) -> int:
        """Its number in the sweep that set it aside."""
        return self.intent.number

    @property
    def entry(self) -> bytes:
        """Its name in `whole/` or `removing/`."""
        return str(self.number).encode()

    @property
    def treatment(self) -> Treatment:
        """The most that may be done with it."""
        return self.intent.treatment

    @property
    def shown(self) -> Verdict:
        """The verdict that it was set aside on."""
        return Verdict(Status.ORPHAN, self.intent.reason, tuple(Doubt(doubt) for doubt in self.intent.doubts))

    @property
    def place(self) -> bytes:
        """Where it lies below `sweeps/`, to be compared with what processes use; never to open it."""
        inner = REMOVING if self.begun or self.step == "removing" else WHOLE
        return b"/".join((os.fsencode(self.directory.id), inner, self.entry))

    def source(self, site: Site) -> str:
        """The sweep that set it aside, where that is not the one of this run."""
        return "" if self.directory.id == site.sweep.id else self.directory.id

    def end(self, outcome: Outcome) -> bool:
        """Sets the outcome; False where it had one already."""
        with self._ending:
            if self.outcome is not None:
                return False
            self.outcome = outcome
            self.step = "done"
            return True


def intended_identity(candidate: Candidate) -> Identity:
    """The identity that a planned workspace was shown with."""
    assert candidate.workspace.identity is not None
    return candidate.workspace.identity


def put_back(site: Site, tree: Tree, reason: str) -> Outcome:
    """Renames a whole tree back to its place, and never over anything. The outcome is not written down yet.

    It does so even where the log takes no more records: in its place it is safe, and its place is what tells.
    """
    try:
        site.check_lock()
    except VolumeError as error:
        if site.lock_lost:
            return _stays(tree, reason, words_of(error))
        reason += f" ({words_of(error)})"
    try:
        site.write(Restoring(time.time(), tree.number, Name.of(tree.name), reason, tree.source(site)))
    except VolumeError:
        reason += " (the log could not be written)"
    try:
        with site.ground.operation(), site.ground.volume.parent_of(tree.name) as parent:
            files.move(tree.entry, tree.directory.whole, tree.basename, parent, tree.identity.inode)
            note = _old_mode(tree, parent)
    except files.NameTaken:
        taken = f"{reason}; it stays set aside, because its name is taken by another entry"
        return Outcome(tree.name, Result.CONFLICT, taken)
    except FileNotFoundError:
        if files.inode_of(tree.entry, tree.directory.whole) != tree.identity.inode:
            why = "it is no longer where it was set aside to"
            return Outcome(tree.name, Result.FAILED, f"{reason}; {why}: look into the trash", 0, 0, 1, (why,))
        return _stays(tree, reason, "the directory that it lay in is gone: make it, then restore")
    except (OSError, VolumeError) as error:
        return _stays(tree, reason, words_of(error))
    return Outcome(tree.name, Result.RESTORED, reason + note)


def _stays(tree: Tree, reason: str, why: str) -> Outcome:
    words = f"{reason}; it stays set aside and could not be put back: {why}"
    return Outcome(tree.name, Result.FAILED, words, error_count=1, errors=(why,))


def _old_mode(tree: Tree, parent: int) -> str:
    """Gives the top the mode that it had; what to say where that fails.

    Only a mode without the owner's write permission is ever changed: a log that tells of another one lies.
    """
    if tree.mode is None or tree.mode & stat.S_IWUSR:
        return ""
    try:
        files.set_mode(tree.basename, parent, tree.mode, tree.identity.inode)
    except OSError as error:
        return f"; its mode was {tree.mode:04o} and could not be set again: {words_of(error)}"
    return ""


def immovable_mode(name: bytes, parent: int, uid: int) -> int | None:
    """The mode of a directory of `uid` (whom the volume makes us) that lacks write permission on itself, else None.

    Renaming a directory to another parent changes its '..', which needs that permission.
    """
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    mode = stat.S_IMODE(status.st_mode)
    return mode if status.st_uid == uid and not mode & stat.S_IWUSR else None
