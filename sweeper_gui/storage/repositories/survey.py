"""What a walk over one workspace meets of repositories, and what is told of them at its end.

During the walk a work tree's index is read as soon as its `.git` is met, before the entries beside it are: so each file
is compared with the attributes that the walk reads anyway, and nothing is read twice. What takes reading of its own
(refs, commits, contents that leave a doubt) waits until the walk is through, as further jobs of the pool.
"""

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from itertools import groupby

from sweeper_gui.storage.bulk import Found, Listing
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.repositories.access import Access, Budget, Folder, NotRegular, Stopped, Unreadable
from sweeper_gui.storage.repositories.findings import lines
from sweeper_gui.storage.repositories.ignores import Ignores, read_patterns
from sweeper_gui.storage.repositories.places import led_to, opened
from sweeper_gui.storage.repositories.repository import Repository, index_in
from sweeper_gui.storage.repositories.worktree import Part, Unclear, WorkTree, content_differs, join
from sweeper_gui.storage.tree import Node, Tree, TreeChanged

#: Seconds that the repositories of one workspace may take, unless the settings say otherwise.
BUDGET = 10.0
#: More repositories in one workspace are not told apart.
MOST_REPOSITORIES = 10_000
#: So many contents are compared in one job.
_CONTENTS_AT_ONCE = 64
_GIT, _IGNORE = b".git", b".gitignore"
_BARE = frozenset({b"HEAD", b"objects", b"refs"})
_LOOKED_FOR = (_GIT, _IGNORE, *_BARE)
_SMALL = 1 << 20

_log = logging.getLogger(__name__)


class Directory(Node):
    """A directory that is measured. `part` is what it is of a work tree, None where it is of none.

    `entries` counts those that have been read so far.
    """

    __slots__ = ("entries", "part")

    def __init__(self, tree: Tree, parent: "Directory | None", name: bytes, inode: int) -> None:
        super().__init__(tree, parent, name, inode)
        self.part: Part | None = None
        self.entries = 0


class Survey:
    """The repositories of one workspace. Thread-safe; its methods raise nothing, for the walk must go on."""

    def __init__(self, pool: WorkPool, seconds: float, stopping: Callable[[], bool]) -> None:
        """Reading them takes at most so many `seconds`; what is not read by then can't be told about."""
        self._pool = pool
        self._budget = Budget(seconds, stopping)
        self._access = Access(pool, self._budget)
        self._lock = threading.Lock()
        self._repositories: dict[bytes, Repository] = {}
        self._cut = False
        self._top: Directory | None = None
        self._steps = iter((self._examinations, self._comparisons))

    # --- during the walk ----------------------------------------------------------------------------------------------

    def enter(self, node: Directory, descriptor: int, listing: Listing) -> None:
        """A directory's names are known, all of them unless there are more; the attributes of none have been read."""
        if node.parent is None:
            self._top = node
        names = set(listing.names)
        if listing.more:
            names.update(name for name in _LOOKED_FOR if _exists(name, descriptor))
        if _GIT in names:
            self._guarded(node, partial(self._begin, node, descriptor))
        elif node.part is not None and _IGNORE in names:
            part = node.part
            self._guarded(node, partial(self._take_patterns, part, descriptor))
        if names >= _BARE:
            self._meet(node.path())

    def below(self, node: Directory, part: Part, child: Directory) -> None:
        """A directory was found in a part of a work tree."""
        self._guarded(node, lambda: setattr(child, "part", part.below(child.name)))

    def seen(self, node: Directory, part: Part, found: Sequence[Found], directories: Set[bytes]) -> None:
        """The attributes of some entries in a part of a work tree have been read; see `Walk.seen`."""
        self._guarded(node, partial(part.compare, node, found, directories))

    def listed(self, node: Directory) -> None:
        """A directory has been read to its end."""
        if node.part is not None:
            node.part.end()

    def _guarded(self, node: Directory, step: Callable[[], None]) -> None:
        """Whatever goes wrong is the problem of the repository whose work tree the directory is of."""
        problem = self._tried(step)
        if not problem:
            return
        if node.part is not None:
            node.part.tree.fail(problem)
        else:
            self._meet(join(node.path(), _GIT)).fail(problem)

    def _tried(self, step: Callable[[], None]) -> str:
        """What went wrong, in words, while doing it."""
        try:
            with self._budget.spending():
                step()
        except Stopped:
            pass
        except Unreadable as error:
            return str(error)
        except (TreeChanged, OSError) as error:
            return f"changed while it was read ({error})"
        except Exception as error:  # noqa: BLE001 - a library's, at what somebody wrote to make it fail
            _log.debug("reading a repository failed", exc_info=error)
            return "can't be read: it is damaged"
        return ""

    def _meet(self, path: bytes) -> Repository:
        """The repository whose git directory has this path."""
        with self._lock:
            known = self._repositories.get(path)
            if known is None:
                known = Repository(path)
                if len(self._repositories) < MOST_REPOSITORIES:
                    self._repositories[path] = known
                else:
                    self._cut = True
            return known

    def _begin(self, node: Directory, descriptor: int) -> None:
        """A directory is the top of a work tree."""
        outer, node.part = node.part, None
        if outer is not None and outer.holds_tracked:
            outer.tree.fail("files of it lie in another repository's work tree")
        path = node.path()
        with Folder.lent(self._access, descriptor, node.shown()) as folder:
            git_path = self._git_path(path, descriptor, folder)
            repository = self._meet(git_path)
            tree, ignores = self._work_tree(path, git_path)
            if repository.work_tree is not None:
                raise Unreadable("two work trees have the same git directory")
            repository.has(tree)
            node.part = Part(tree, b"", ignores)
            self._take_patterns(node.part, descriptor)

    def _git_path(self, path: bytes, descriptor: int, folder: Folder) -> bytes:
        """The path below the workspace of a work tree's git directory."""
        with self._access.operation(".git"):
            mode = os.stat(_GIT, dir_fd=descriptor, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            return join(path, _GIT)
        content = folder.read(_GIT, _SMALL)
        return led_to(self._open_top, path, content or b"")

    def _work_tree(self, path: bytes, git_path: bytes) -> tuple[WorkTree, Ignores]:
        with opened(self._open_top, git_path) as place:
            if place.config.worktree and git_path == join(path, _GIT):
                raise Unreadable("its configuration names another work tree")
            excluded = None
            info = place.common.folder(b"info")
            if info is not None:
                with info:
                    excluded = info.read(b"exclude", _SMALL)
            tree = WorkTree(path, place.config, index_in(place, self._access), self._budget.check)
            return tree, Ignores(b"", read_patterns(excluded or b""))

    def _take_patterns(self, part: Part, descriptor: int) -> None:
        if part.excluded:
            return
        with Folder.lent(self._access, descriptor, part.shown) as folder:
            try:
                content = folder.read(_IGNORE, _SMALL)
            except NotRegular:
                return  # git does not follow links here either
        if content is not None:
            part.ignores = Ignores(part.path, read_patterns(content), part.ignores)

    @contextmanager
    def _open_top(self) -> Iterator[Folder]:
        assert self._top is not None
        with self._lent(self._top, "the workspace") as folder:
            yield folder

    @contextmanager
    def _lent(self, node: Node, shown: str) -> Iterator[Folder]:
        with self._pool.descriptors.pinned(node) as descriptor, Folder.lent(self._access, descriptor, shown) as folder:
            yield folder

    # --- after the walk -----------------------------------------------------------------------------------------------

    def jobs(self) -> list[Callable[[], None]]:
        """What is still to be done: asked for again when these have ended, until there are none."""
        for step in self._steps:
            jobs = step()
            if jobs:
                return jobs
        return []

    def _examinations(self) -> list[Callable[[], None]]:
        return [partial(self._examine, repository) for repository in self._repositories.values()]

    def _examine(self, repository: Repository) -> None:
        problem = self._tried(lambda: repository.examine(self._access, self._open_top))
        if problem:
            repository.fail(problem)

    def _comparisons(self) -> list[Callable[[], None]]:
        """Contents are compared where that decides something: not of files that are told already."""
        jobs: list[Callable[[], None]] = []
        for repository in self._repositories.values():
            if repository.work_tree is not None:
                unclear = [one for one in repository.work_tree.unclear if one.path not in repository.changed]
                parts = [unclear[at : at + _CONTENTS_AT_ONCE] for at in range(0, len(unclear), _CONTENTS_AT_ONCE)]
                jobs += [partial(self._compare, repository.work_tree, part) for part in parts]
        return jobs

    def _compare(self, tree: WorkTree, unclear: Sequence[Unclear]) -> None:
        problem = self._tried(lambda: self._compare_contents(tree, unclear))
        if problem:
            tree.fail(problem)

    def _compare_contents(self, tree: WorkTree, unclear: Sequence[Unclear]) -> None:
        for node, group in groupby(unclear, key=lambda one: one.node):
            with self._lent(node, node.shown()) as folder:
                for one in group:
                    if content_differs(folder, one, tree.config, self._budget.check):
                        tree.change(one.path)

    def unsaved_work(self) -> tuple[str, ...]:
        """A line for each repository that holds unsaved work or can't be told about, once there are no more jobs."""
        repositories = sorted(self._repositories.values(), key=lambda repository: repository.shown)
        by_path = {one.work_tree.path: one for one in repositories if one.work_tree is not None}
        for repository in repositories:
            tree = repository.work_tree
            if tree is not None:
                repository.fail(tree.problem)
                repository.findings.untracked = tree.untracked
                for path, id_ in tree.index.gitlinks.items():
                    below = by_path.get(join(tree.path, path))
                    if below is not None and below.commit not in (None, id_.hex().encode()):
                        tree.change(path)
            repository.findings.uncommitted = len(repository.changed)
            linked = (
                self._repositories.get(b"/".join((repository.path, b"worktrees", name))) for name in repository.linked
            )
            repository.findings.elsewhere = sum(one is None or one.work_tree is None for one in linked)
        return lines(((repository.shown, repository.findings) for repository in repositories), cut=self._cut)


def _exists(name: bytes, descriptor: int) -> bool:
    try:
        os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:
        pass  # there or not, whoever opens it will say what is wrong
    return True
