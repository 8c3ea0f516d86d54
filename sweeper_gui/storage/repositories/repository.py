"""One repository: what is read of it once the walk over its workspace is through."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from sweeper_gui.storage.repositories.access import Access
from sweeper_gui.storage.repositories.findings import Findings
from sweeper_gui.storage.repositories.gitdir import GitDirectory, Head
from sweeper_gui.storage.repositories.history import staged, unpushed
from sweeper_gui.storage.repositories.index import Index, read_index
from sweeper_gui.storage.repositories.objects import Objects
from sweeper_gui.storage.repositories.places import Place, Top, borrowed, opened, split
from sweeper_gui.storage.repositories.worktree import MOST_PATHS, WorkTree

#: An index is not read beyond so many bytes: some 600,000 files.
MAX_INDEX = 64 << 20
#: What an index holds while nothing was ever added.
_NOTHING = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")


@dataclass
class Repository:
    """A git directory, by its path below the workspace, and its work tree where the walk has met that."""

    path: bytes
    work_tree: WorkTree | None = None
    findings: Findings = field(default_factory=Findings)
    #: paths of files that are not what is committed
    changed: set[bytes] = field(default_factory=set)
    #: the commit that is checked out
    commit: bytes | None = None
    #: the names of the linked work trees that it knows of
    linked: tuple[bytes, ...] = ()

    def has(self, work_tree: WorkTree) -> None:
        """Its work tree has been met."""
        self.work_tree = work_tree
        self.changed = work_tree.changed

    @property
    def shown(self) -> bytes:
        """The path that it is called by."""
        if self.work_tree is not None:
            return self.work_tree.path
        return self.path.removesuffix(b".git").rstrip(b"/") if self.path.endswith(b"/.git") else self.path

    def fail(self, problem: str) -> None:
        """It can't be told about completely; the first reason counts."""
        self.findings.problem = self.findings.problem or problem

    def examine(self, access: Access, top: Top) -> None:
        """Reads refs and commits, and compares index and commit. What is cheapest to tell comes first.

        Raises `Unreadable` where it can't go on; what was found by then stays.
        """
        with opened(top, self.path) as place:
            git = GitDirectory(access, place.own, place.common, linked=place.linked)
            head = git.head()
            self.commit = head.commit
            self.findings.branch = head.branch
            self.findings.in_progress = git.in_progress()
            if not place.linked:
                self.findings.stashes = git.stashes()
                self.linked = tuple(name for name, _ in git.work_trees())
            index = self._index(place, git, access)
            with ExitStack() as stack:
                objects = _objects(access, top, place, stack)
                if not place.linked:
                    self.findings.unpushed = unpushed(objects, git.branches(), git.remote(), git.shallow())
                if index is not None:
                    self._compare(objects, index, head, access)

    def _index(self, place: Place, git: GitDirectory, access: Access) -> Index | None:
        """The index; without a work tree it is read only now."""
        if self.work_tree is not None:
            self.work_tree.finish()
            return self.work_tree.index
        if b"index" not in git.names:
            return None
        if b"modules" not in split(self.path):
            # Those are submodules, which git checks out and takes away as it is told.
            self.fail("its work tree is not to be found")
        return index_in(place, access)

    def _compare(self, objects: Objects, index: Index, head: Head, access: Access) -> None:
        for path in (*index.unmerged, *index.intended, *staged(objects, index, head.commit, access.budget.check)):
            self.changed.add(path)
            if len(self.changed) >= MOST_PATHS:
                return


def index_in(place: Place, access: Access) -> Index:
    """The index in a git directory. Raises `Unreadable`."""
    found = place.own.file(b"index")
    if found is None:
        return Index(root=_NOTHING)
    with found:
        return read_index(found.whole(MAX_INDEX), found.mtime_ns, access.budget.check)


def _objects(access: Access, top: Top, place: Place, stack: ExitStack) -> Objects:
    own = place.common.folder(b"objects")
    folders = [] if own is None else [stack.enter_context(own)]
    path = b"/".join([*split(place.common_path), b"objects"])
    outside = borrowed(top, path, folders, stack) if folders else False
    return stack.enter_context(Objects(access, folders, borrows_outside=outside))
