"""Which rows the table shows."""

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

    def accepts(self, row: Row, haystack: str, now: float) -> bool:
        """Whether the row is shown. `haystack` is `haystack_of(row)`, `now` epoch seconds."""
        if self.statuses and row.verdict.status not in self.statuses:
            return False
        if self.search and self.search.casefold() not in haystack:
            return False
        if self.older_than is not None:
            change = row.last_change_ns
            if change is None or now - change / 1e9 <= self.older_than:
                return False
        if self.larger_than is not None:
            return row.usage is not None and row.usage.allocated > self.larger_than
        return True


def haystack_of(row: Row) -> str:
    """What a search looks in: name, title, owner and reason, in lower case."""
    session = row.session
    parts = [row.label, row.verdict.reason]
    if session is not None:
        parts += [session.title or "", session.owner or ""]
    return "\n".join(parts).casefold()
