"""What was found in repositories, and its words."""

from collections.abc import Iterable
from dataclasses import dataclass

from sweeper_gui.core.names import visible
from sweeper_gui.core.units import counted
from sweeper_gui.storage.repositories.history import MOST_COMMITS
from sweeper_gui.storage.repositories.worktree import MOST_PATHS

#: So many repositories of one workspace are told; for the others, how many there are.
MOST_LINES = 5
_SHOWN_PATH = 80


@dataclass
class Findings:
    """Of one repository. `problem` is why it can't be told about completely, empty where it can."""

    branch: str = ""
    uncommitted: int = 0
    untracked: int = 0
    unpushed: int = 0
    stashes: int = 0
    in_progress: str = ""
    #: linked work trees that are not in the workspace
    elsewhere: int = 0
    problem: str = ""

    def words(self) -> list[str]:
        """Each thing found, empty where nothing in it would be lost."""
        words = [
            _counted(self.uncommitted, MOST_PATHS, "uncommitted file"),
            _counted(self.untracked, None, "untracked file"),
            _counted(self.unpushed, MOST_COMMITS, "unpushed commit"),
            _counted(self.stashes, None, "stash", "stashes"),
            f"{self.in_progress} in progress" if self.in_progress else "",
            f"{counted(self.elsewhere, 'linked work tree')} elsewhere" if self.elsewhere else "",
            self.problem,
        ]
        return [text for text in words if text]


def _counted(number: int, most: int | None, one: str, many: str = "") -> str:
    if not number:
        return ""
    if most is not None and number >= most:
        return f"{counted(most, one, many)} or more"
    return counted(number, one, many)


def lines(found: Iterable[tuple[bytes, Findings]], *, cut: bool) -> tuple[str, ...]:
    """A line for each repository, by its path below the workspace, that holds unsaved work: 'web main: 1 stash'.

    `cut` says that there were more repositories than could be looked at.
    """
    told = [f"{_label(path, findings)}: {', '.join(words)}" for path, findings in found if (words := findings.words())]
    more = (
        [f"{counted(len(told) - MOST_LINES, 'more repository', 'more repositories')}"] if len(told) > MOST_LINES else []
    )
    return (*told[:MOST_LINES], *more, *(["more repositories than can be looked at"] if cut else []))


def _label(path: bytes, findings: Findings) -> str:
    """'web main'; the branch alone for the workspace's own top."""
    shown = visible(path)
    shown = shown if len(shown) <= _SHOWN_PATH else "…" + shown[-_SHOWN_PATH:]
    branch = findings.branch if len(findings.branch) <= _SHOWN_PATH else findings.branch[:_SHOWN_PATH] + "…"
    return " ".join(part for part in (shown, branch) if part) or "the repository"
