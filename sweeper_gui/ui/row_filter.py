"""Which rows the table shows."""

from collections.abc import Callable
from dataclasses import dataclass

from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status


@dataclass(frozen=True)
class RowFilter:
    """What a row must be to be shown. `older_than` is seconds, `larger_than` allocated bytes; no statuses means all.

    What is not known yet never passes a bound: an unmeasured workspace is neither old nor large.
    """

    statuses: frozenset[Status] = frozenset()
    search: str = ""
    older_than: float | None = None
    larger_than: int | None = None

    @property
    def active(self) -> bool:
        """Whether anything may be hidden."""
        return self != RowFilter()

    def acceptor(self, now: float) -> Callable[[Row, str], bool]:
        """Tells of a row and its `haystack_of` whether the row is shown, at this moment in epoch seconds."""
        statuses = tuple(self.statuses)  # compared by identity: an enum's hash is computed in Python
        search = self.search.casefold()
        before = None if self.older_than is None else (now - self.older_than) * 1e9
        larger_than = self.larger_than

        def accepts(row: Row, haystack: str) -> bool:
            if statuses and row.verdict.status not in statuses:
                return False
            if search and search not in haystack:
                return False
            if before is not None:
                change = row.last_change_ns
                if change is None or change >= before:
                    return False
            if larger_than is not None:
                return row.usage is not None and row.usage.allocated > larger_than
            return True

        return accepts


def haystack_of(row: Row) -> str:
    """What a search looks in: name, title, owner and reason, in lower case."""
    session = row.session
    parts = [row.label, row.verdict.reason]
    if session is not None:
        parts += [session.title or "", session.owner or ""]
    return "\n".join(parts).casefold()
