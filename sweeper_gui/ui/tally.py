"""Counts and sums over the entries, kept up with every change: going through all of them each time would be late."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.entry import Entry


@dataclass
class Summary:
    """Counts and measured bytes (allocated) of all rows, by status."""

    counts: dict[Status, int] = field(default_factory=dict)
    allocated: dict[Status, int] = field(default_factory=dict)
    rows: int = 0
    shown: int = 0
    incomplete: bool = False


class _Worth(NamedTuple):
    """What one entry adds to the counts and sums; `allocated` is None where it is not measured."""

    status: Status
    allocated: int | None
    incomplete: bool
    possible: bool


class Tally:
    """Told of each entry after each change, by `note`, and of each that leaves, by `forget`.

    `orphans` are the entries that a sweep could take, `checked` those that a person has selected, in no order.
    `possible` counts workspaces whose size is still unknown and that may turn out to be orphans.
    """

    def __init__(self) -> None:
        self._worth: dict[bytes, _Worth] = {}
        self._counts: dict[Status, int] = {}
        self._allocated: dict[Status, int] = {}
        self._incomplete = 0
        self._largest: int | None = 1
        self.orphans: dict[bytes, Entry] = {}
        self.checked: dict[bytes, Entry] = {}
        self.possible = 0

    def note(self, entry: Entry) -> None:
        """The entry is new, or has changed in whatever way."""
        _keep(self.checked, entry, entry.checked is not None)
        worth = _worth_of(entry)
        before = self._worth.get(entry.name)
        if worth != before:
            self._replace(entry.name, before, worth)
        _keep(self.orphans, entry, entry.row.verdict.orphan and not entry.departed and not entry.stale)

    def forget(self, entry: Entry) -> None:
        """The entry is gone."""
        self._replace(entry.name, self._worth.get(entry.name), None)
        self.orphans.pop(entry.name, None)
        self.checked.pop(entry.name, None)

    def summary(self, shown: int) -> Summary:
        """All of it, with how many rows are shown."""
        counts = {status: count for status, count in self._counts.items() if count}
        return Summary(counts, dict(self._allocated), len(self._worth), shown, self._incomplete > 0)

    @property
    def largest(self) -> int:
        """The largest measured size, in allocated bytes; at least 1."""
        if self._largest is None:
            self._largest = max((worth.allocated or 0 for worth in self._worth.values()), default=0)
        return max(1, self._largest)

    def _replace(self, name: bytes, before: _Worth | None, worth: _Worth | None) -> None:
        if before is not None:
            self._add(before, -1)
            del self._worth[name]
        if worth is not None:
            self._add(worth, 1)
            self._worth[name] = worth
        self._follow_largest(before, worth)

    def _add(self, worth: _Worth, sign: int) -> None:
        status = worth.status
        self._counts[status] = self._counts.get(status, 0) + sign
        if worth.allocated is not None:
            self._allocated[status] = self._allocated.get(status, 0) + sign * worth.allocated
        self._incomplete += sign * worth.incomplete
        self.possible += sign * worth.possible

    def _follow_largest(self, before: _Worth | None, worth: _Worth | None) -> None:
        size = worth.allocated if worth is not None and worth.allocated is not None else 0
        if self._largest is not None and size >= self._largest:
            self._largest = size
        elif before is not None and before.allocated == self._largest:
            self._largest = None  # which one is the largest now is looked up when somebody asks


def _worth_of(entry: Entry) -> _Worth | None:
    if entry.departed:
        return None
    row = entry.row
    status, usage = row.verdict.status, row.usage
    if usage is None:
        return _Worth(status, None, False, status is Status.UNMEASURED and not entry.stale)
    return _Worth(status, usage.allocated, not usage.complete, False)


def _keep(entries: dict[bytes, Entry], entry: Entry, kept: bool) -> None:
    if kept:
        entries[entry.name] = entry
    else:
        entries.pop(entry.name, None)
