"""One line of the table: a row of the engine's with what the window adds to it."""

from sweeper_gui.core.outcome import Outcome
from sweeper_gui.core.row import Row
from sweeper_gui.core.workspace import Identity
from sweeper_gui.engine.messages import TreeProgress
from sweeper_gui.ui.row_filter import haystack_of

SortKey = int | float | str | None

#: The line of an entry that is not shown.
HIDDEN = -1


class Entry:
    """Mutable, and changed by the model only.

    `checked` is the identity that was shown when a person selected it, or None. `departed` marks a workspace that is
    no longer on the volume and is still shown, because it is being swept or because of how that ended. `stale` marks
    one that an earlier engine listed and the one that is there has not. `line` is where it is shown, `HIDDEN` where it
    is not, and `key` is what it was last sorted by.
    """

    __slots__ = ("checked", "departed", "haystack", "key", "line", "name", "outcome", "progress", "row", "stale")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.name = row.name
        self.line = HIDDEN
        self.key: SortKey = None
        self.haystack = haystack_of(row)
        self.checked: Identity | None = None
        self.progress: TreeProgress | None = None
        self.outcome: Outcome | None = None
        self.departed = False
        self.stale = False

    def take(self, row: Row) -> None:
        """A newer row of the same workspace."""
        self.row = row
        self.haystack = haystack_of(row)
        self.departed = False
        self.stale = False

    @property
    def checkable(self) -> bool:
        """Whether it may be selected: an orphan that is there and has not just been swept."""
        there = not self.departed and not self.stale
        return there and self.row.verdict.orphan and self.row.workspace.identity is not None

    @property
    def selected(self) -> bool:
        """Whether a sweep of what is selected would take it."""
        return self.checked is not None and self.checkable

    @property
    def waiting(self) -> bool:
        """Selected once, and to be selected again as soon as it is measured or looked up again."""
        return self.checked is not None and not self.checkable
