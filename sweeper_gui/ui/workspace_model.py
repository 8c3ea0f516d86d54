"""The one model of the table: it owns the rows, their order, the filter and what is selected.

Sorting and filtering run in Python on native values: a proxy model with Python roles takes over a second for 10,000
rows. Rows are keyed by name, and every change is told to the views with as few signals as possible, so that selection,
current row and scroll position stay where they are while sizes stream in.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)
from typing_extensions import override

from sweeper_gui.core.outcome import Outcome
from sweeper_gui.core.plan import Order, Request, in_order, make_plan
from sweeper_gui.core.policy import Policy
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import SweepProgress
from sweeper_gui.ui.columns import COLUMN_OF, COLUMNS, STATUS_WORDS, Cell
from sweeper_gui.ui.entry import HIDDEN, Entry
from sweeper_gui.ui.plain_text import shown, tool_tip
from sweeper_gui.ui.row_filter import RowFilter
from sweeper_gui.ui.tally import Summary, Tally

Index = QModelIndex | QPersistentModelIndex

_NAME, _LINE, _KEY = attrgetter("name"), attrgetter("line"), attrgetter("key")

#: At most this often rows are put in order again while values stream in, in milliseconds.
SETTLE_EVERY = 400
#: For so long after the pointer or the keyboard was used in the table no row moves away under it, in seconds.
HOLD = 1.0
#: More separate ranges than this are told to the views as one change; `changed_lines` tells which lines it is about.
_MAX_RANGES = 24

#: The form of the layout signals that tells that whole rows move: views then keep track of rows, not of every cell.
_WITH_HINT = "QList<QPersistentModelIndex>,QAbstractItemModel::LayoutChangeHint"

#: While one of these lasts, a selection waits; any other status than ORPHAN ends it.
_PASSING = frozenset({Status.UNMEASURED, Status.UNKNOWN})


@dataclass(frozen=True)
class Lost:
    """A workspace that is no longer selected, and why."""

    name: bytes
    reason: str


@dataclass(frozen=True)
class Chosen:
    """What is selected: how many, their allocated bytes, and how many of them the filter hides.

    `waiting` counts those that were selected and may not be swept now, `unknown` the ones of them that wait for the
    registry.
    """

    names: tuple[bytes, ...] = ()
    allocated: int = 0
    doubtful: int = 0
    hidden: int = 0
    waiting: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Next:
    """What the next capped sweep would take, as far as is known now.

    `possible` counts workspaces whose size is still unknown and that may turn out to be orphans.
    """

    count: int = 0
    allocated: int = 0
    orphans: int = 0
    possible: int = 0


class WorkspaceModel(QAbstractTableModel):
    """The workspaces of a volume."""

    #: rows, their statuses or sizes have changed: counts and sums are to be read again
    changed = Signal()
    #: what is selected has changed
    selection_changed = Signal()
    #: a tuple of `Lost`: the volume or the registry took these out of the selection
    selection_lost = Signal(object)
    #: these names, a frozenset, are about to leave the lines; and now they have
    leaving = Signal(object)
    left = Signal()

    def __init__(self, parent: QObject | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(parent)
        self._clock = clock
        self._entries: dict[bytes, Entry] = {}
        self._shown: list[Entry] = []
        self._by_name: list[Entry] = []
        self._unordered: list[Entry] = []
        self._tally = Tally()
        self._in_progress: dict[bytes, Entry] = {}
        self._filter = RowFilter()
        self._sort_column = COLUMN_OF["size"]
        self._descending = True
        self._held_until = 0.0
        self._measuring = False
        #: while `dataChanged` is emitted: which lines have changed, ascending
        self.changed_lines: Sequence[int] = ()
        self._swept: frozenset[bytes] = frozenset()
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLE_EVERY)
        self._settling.timeout.connect(self._settle_unless_held)

    # --- what Qt asks -----------------------------------------------------------------------------------------------

    @override
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    @override
    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    @override
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        column = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip(column.tip)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return column.alignment
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return column.title or "Selected"
        return None

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        entry = self.entry_at(index)
        if entry is None:
            return None
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(self._cell(entry))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return column.alignment
        if role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip(column.tool_tip(self._cell(entry)))
        if role == Qt.ItemDataRole.CheckStateRole and column.key == "check":
            return _check_state(entry)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._accessible_text(entry, column.key)
        return None

    def _cell(self, entry: Entry) -> Cell:
        return Cell(entry, self._clock(), self._measuring)

    def _accessible_text(self, entry: Entry, key: str) -> str | None:
        if key != "check":
            return None
        if not entry.checkable:
            return f"{entry.row.label}: {STATUS_WORDS[entry.row.status]}, can't be selected"
        return f"{entry.row.label}: {'selected' if entry.selected else 'not selected'}"

    @override
    def flags(self, index: Index) -> Qt.ItemFlag:
        entry = self.entry_at(index)
        if entry is None:
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
        if COLUMNS[index.column()].key == "check" and entry.checkable:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    @override
    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        entry = self.entry_at(index)
        if entry is None or role != Qt.ItemDataRole.CheckStateRole or COLUMNS[index.column()].key != "check":
            return False
        if not entry.checkable:
            return False
        self.select([entry.row.name], Qt.CheckState(value) is Qt.CheckState.Checked)
        return True

    @override
    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if not 0 <= column < len(COLUMNS):
            return
        self._sort_column = column
        self._descending = order is Qt.SortOrder.DescendingOrder
        self.settle()

    # --- reading ----------------------------------------------------------------------------------------------------

    def entry_at(self, index: Index) -> Entry | None:
        """The entry behind an index of this model."""
        row = index.row()
        return self._shown[row] if index.isValid() and 0 <= row < len(self._shown) else None

    def entry(self, name: bytes) -> Entry | None:
        """The entry of a workspace, shown or hidden."""
        return self._entries.get(name)

    def position(self, name: bytes) -> int | None:
        """In which line a workspace is shown, or None."""
        entry = self._entries.get(name)
        return entry.line if entry is not None and entry.line != HIDDEN else None

    @property
    def shown_entries(self) -> Sequence[Entry]:
        """What the table shows, in its order."""
        return self._shown

    @property
    def rows(self) -> list[Row]:
        """All rows that are on the volume, whatever the filter."""
        return [entry.row for entry in self._entries.values() if not entry.departed]

    @property
    def filter(self) -> RowFilter:
        """The filter in force."""
        return self._filter

    @property
    def max_allocated(self) -> int:
        """The largest measured size, at least 1: what a size is drawn in proportion to."""
        return self._tally.largest

    @property
    def summary(self) -> Summary:
        """Counts and sums over all rows that are on the volume."""
        return self._tally.summary(len(self._shown))

    def chosen(self) -> Chosen:
        """What is selected, in the table's order, what the filter hides after what is shown."""
        checked = self._tally.checked.values()
        selected = [entry for entry in checked if entry.checkable]
        waiting = [entry for entry in checked if not entry.checkable]
        lines = sorted((entry for entry in selected if entry.line != HIDDEN), key=_LINE)
        hidden = sorted((entry for entry in selected if entry.line == HIDDEN), key=_NAME)
        return Chosen(
            names=tuple(entry.name for entry in lines + hidden),
            allocated=sum(entry.row.usage.allocated for entry in selected if entry.row.usage),
            doubtful=sum(bool(entry.row.verdict.doubts) for entry in selected),
            hidden=len(hidden),
            waiting=len(waiting),
            unknown=sum(entry.row.status is Status.UNKNOWN for entry in waiting),
        )

    @property
    def any_chosen(self) -> bool:
        """Whether `chosen` names anything."""
        return any(entry.checkable for entry in self._tally.checked.values())

    def next_orphans(self, cap: int, max_bytes: int | None, order: Order) -> Next:
        """What a sweep of the next orphans would take, by the very rule that makes the plan."""
        found = in_order((entry.row for entry in self._tally.orphans.values()), order)
        # Without a bound in bytes nothing beyond the cap can matter.
        plan = make_plan(found[:cap] if max_bytes is None else found, Request((), cap, max_bytes, order), Policy())
        chosen = plan.chosen
        allocated = sum(candidate.usage.allocated for candidate in chosen)
        return Next(len(chosen), allocated, len(found), self._tally.possible)

    # --- changing what is there -------------------------------------------------------------------------------------

    def apply(self, rows: Iterable[Row], gone: Iterable[bytes] = ()) -> None:
        """Takes over what the engine says: rows that are new or changed, and names that are no longer there."""
        was_empty = not self._entries
        entering: list[Entry] = []
        changed: list[Entry] = []
        lost: list[Lost] = []
        for row in {row.name: row for row in rows}.values():  # should one come twice, the later word holds
            entry = self._entries.get(row.name)
            if entry is None:
                entry = self._entries[row.name] = Entry(row)
                self._unordered.append(entry)
                entering.append(entry)
            else:
                entry.take(row)
                changed.append(entry)
                lost += _still_selected(entry)
            self._tally.note(entry)
        leaving, lost_with_them = self._depart(gone)
        left = {entry.name for entry in leaving}
        entering = [entry for entry in entering if entry.name not in left]
        changed = [entry for entry in changed if entry.name not in left]
        self._reconcile(entering, changed, leaving)
        if was_empty and entering:
            self.settle()
        elif entering or changed:
            self._settle_soon()
        self._tell(bool(entering or changed or leaving), lost + lost_with_them)

    def mark_stale(self) -> None:
        """Another engine is there, which knows nothing of these rows: none is an orphan until it lists it."""
        for entry in self._entries.values():
            entry.stale = True
            self._tally.note(entry)
        self._repaint(self._shown)
        self._tell(bool(self._entries), [])

    def drop_stale(self) -> None:
        """The listing is complete: what the engine has not listed is no longer on the volume."""
        stale = [name for name, entry in self._entries.items() if entry.stale]
        if stale:
            self.apply((), stale)

    def set_measuring(self, measuring: bool) -> None:
        """Whether a scan is under way: then an unknown size is one that is still to come."""
        if measuring != self._measuring:
            self._measuring = measuring
            self._repaint(self._shown)

    def clear(self) -> None:
        """Forgets everything: another volume."""
        self.beginResetModel()
        self._entries.clear()
        self._in_progress.clear()
        self._shown, self._by_name, self._unordered = [], [], []
        self._tally = Tally()
        self.endResetModel()
        self._tell(True, [])

    def _depart(self, gone: Iterable[bytes]) -> tuple[list[Entry], list[Lost]]:
        leaving = []
        lost = []
        for name in gone:
            entry = self._entries.get(name)
            if entry is None:
                continue
            entry.stale = False
            if entry.progress is not None or (entry.outcome is not None and not entry.outcome.done):
                entry.departed = True  # it is being swept, or its failure is still to be read
                self._tally.note(entry)
                continue
            if entry.checked is not None and name not in self._swept:
                lost.append(Lost(name, "is no longer on the volume"))
            self._forget(entry)
            leaving.append(entry)
        return leaving, lost

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.name]
        self._tally.forget(entry)

    def _reconcile(self, entering: list[Entry], changed: list[Entry], leaving: list[Entry]) -> None:
        """Shows, repaints and hides lines, as few signals as possible."""
        accepts = self._filter.acceptor(self._clock())
        hidden = [entry for entry in leaving if entry.line != HIDDEN]
        repaint: list[Entry] = []
        for entry in changed:
            is_shown = entry.line != HIDDEN
            if accepts(entry.row, entry.haystack):
                (repaint if is_shown else entering).append(entry)
            elif is_shown:
                hidden.append(entry)
        self._hide(hidden)
        self._show([entry for entry in entering if accepts(entry.row, entry.haystack)])
        self._repaint(repaint)

    def _tell(self, rows_changed: bool, lost: list[Lost]) -> None:
        if rows_changed:
            self.changed.emit()
            self.selection_changed.emit()
        if lost:
            self.selection_lost.emit(tuple(lost))

    # --- a sweep in the rows ----------------------------------------------------------------------------------------

    def begin_sweep(self, names: Iterable[bytes]) -> None:
        """These are swept from now on: that they leave the volume is no news."""
        self.forget_outcomes()
        self._swept = frozenset(names)

    def show_progress(self, progress: SweepProgress | None) -> None:
        """Shows in the rows how far a sweep is; None when none is running."""
        trees = {tree.name: tree for tree in progress.trees} if progress is not None else {}
        swept = self._in_progress | {name: self._entries[name] for name in trees if name in self._entries}
        changed = []
        for name, entry in swept.items():
            tree = trees.get(name)
            if entry.progress != tree:
                entry.progress = tree
                changed.append(entry)
        self._in_progress = {name: entry for name, entry in swept.items() if entry.progress is not None}
        self._repaint(changed)
        if progress is None:
            self._drop_departed()

    def show_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Shows in the rows how their sweep ended."""
        changed = []
        for outcome in outcomes:
            entry = self._entries.get(outcome.name)
            if entry is not None:
                entry.outcome = outcome
                entry.checked = None
                self._tally.note(entry)
                changed.append(entry)
        self._repaint(changed)
        self.selection_changed.emit()

    def forget_outcomes(self) -> None:
        """Shows the statuses again: before the next sweep, and with a new listing."""
        changed = [entry for entry in self._entries.values() if entry.outcome is not None]
        for entry in changed:
            entry.outcome = None
        self._repaint(changed)
        self._drop_departed()

    def _drop_departed(self) -> None:
        leaving = [
            entry
            for entry in self._entries.values()
            if entry.departed and entry.progress is None and (entry.outcome is None or entry.outcome.done)
        ]
        for entry in leaving:
            self._forget(entry)
        self._hide([entry for entry in leaving if entry.line != HIDDEN])
        if leaving:
            self._tell(True, [])

    # --- selecting --------------------------------------------------------------------------------------------------

    def select(self, names: Iterable[bytes], selected: bool = True) -> None:
        """Selects orphans for the sweep, or takes them out. Names that may not be selected are passed over."""
        changed = []
        for name in names:
            entry = self._entries.get(name)
            if entry is None or (selected and not entry.checkable):
                continue
            entry.checked = entry.row.workspace.identity if selected else None
            self._tally.note(entry)
            changed.append(entry)
        if changed:
            self._repaint(changed)
            self.selection_changed.emit()

    def select_shown_orphans(self) -> None:
        """Selects every orphan that the table shows; what is hidden stays as it is."""
        self.select([entry.name for entry in self._shown if entry.checkable])

    def select_none(self) -> None:
        """Empties the selection, the hidden part of it too."""
        self.select(list(self._tally.checked), False)

    def end_waiting(self) -> None:
        """A scan has ended: what still waits to be an orphan again is taken out of the selection, and told."""
        waiting = [entry for entry in self._tally.checked.values() if entry.waiting and entry.progress is None]
        for entry in waiting:
            entry.checked = None
            self._tally.note(entry)
        self._repaint(waiting)
        if waiting:
            self.selection_changed.emit()
            self.selection_lost.emit(tuple(Lost(e.row.name, shown(e.row.verdict.reason)) for e in waiting))

    # --- order and filter -------------------------------------------------------------------------------------------

    def set_filter(self, wanted: RowFilter) -> None:
        """Shows other rows; the selection stays as it is."""
        if wanted == self._filter:
            return
        self._filter = wanted
        accepts = self._filter.acceptor(self._clock())
        accepted = [entry for entry in self._entries.values() if accepts(entry.row, entry.haystack)]
        entering = [entry for entry in accepted if entry.line == HIDDEN]
        if len(accepted) - len(entering) < len(self._shown):
            staying = {entry.name for entry in accepted}
            self._hide([entry for entry in self._shown if entry.name not in staying])
        self._show(entering)
        if entering:
            self.settle()
        self.changed.emit()
        self.selection_changed.emit()

    def hold(self) -> None:
        """The table is being used: no row moves for a moment."""
        self._held_until = time.monotonic() + HOLD

    def settle(self) -> None:
        """Puts the rows in order now."""
        self._settling.stop()
        self._arrange(self._in_order())

    def _settle_soon(self) -> None:
        if not self._settling.isActive():
            self._settling.start()

    def _settle_unless_held(self) -> None:
        if time.monotonic() < self._held_until:
            self._settling.start()
        else:
            self.settle()

    def _in_order(self) -> list[Entry]:
        """By the column's value, equal ones by name; what has no value comes last in both directions."""
        key_of = COLUMNS[self._sort_column].sort_key
        known: list[Entry] = []
        unknown: list[Entry] = []
        for entry in self._ordered_by_name():
            if entry.line != HIDDEN:
                entry.key = key_of(entry)
                (unknown if entry.key is None else known).append(entry)
        known.sort(key=_KEY, reverse=self._descending)  # stable: equal ones keep the order of their names
        return known + unknown

    def _ordered_by_name(self) -> list[Entry]:
        """All entries, hidden ones too. Nearly in order is soon in order, so the last result is the beginning."""
        if self._unordered or len(self._by_name) != len(self._entries):
            entries = self._entries
            both = self._by_name + self._unordered
            self._by_name = [entry for entry in both if entries.get(entry.name) is entry]
            self._by_name.sort(key=_NAME)
            self._unordered = []
        return self._by_name

    # --- telling the views ------------------------------------------------------------------------------------------

    def _arrange(self, arranged: list[Entry]) -> None:
        if arranged == self._shown:
            return
        hint = QAbstractItemModel.LayoutChangeHint.VerticalSortHint
        self.layoutAboutToBeChanged[_WITH_HINT].emit([], hint)  # type: ignore[index]
        before = self._shown
        self._shown = arranged
        self._number()
        kept = self.persistentIndexList()
        moved = [self.index(before[index.row()].line, index.column()) for index in kept]
        self.changePersistentIndexList(kept, moved)
        self.layoutChanged[_WITH_HINT].emit([], hint)  # type: ignore[index]

    def _number(self, first: int = 0) -> None:
        for line, entry in enumerate(self._shown[first:] if first else self._shown, first):
            entry.line = line

    def _show(self, entries: list[Entry]) -> None:
        if not entries:
            return
        first = len(self._shown)
        self.beginInsertRows(QModelIndex(), first, first + len(entries) - 1)
        self._shown = self._shown + entries
        self._number(first)
        self.endInsertRows()

    def _hide(self, entries: list[Entry]) -> None:
        if not entries:
            return
        self.leaving.emit(frozenset(entry.name for entry in entries))
        self._take_out(sorted(entry.line for entry in entries))
        self.left.emit()

    def _take_out(self, positions: list[int]) -> None:
        ranges = contiguous(positions)
        if len(ranges) > _MAX_RANGES:
            # One move of all of them to the end and one removal, in place of a removal for every gap.
            leaving = set(positions)
            stay = [entry for number, entry in enumerate(self._shown) if number not in leaving]
            self._arrange(stay + [self._shown[number] for number in positions])
            ranges = [(len(stay), len(self._shown) - 1)]
        for first, last in reversed(ranges):
            self.beginRemoveRows(QModelIndex(), first, last)
            for entry in self._shown[first : last + 1]:
                entry.line = HIDDEN
            self._shown = self._shown[:first] + self._shown[last + 1 :]
            self._number(first)
            self.endRemoveRows()

    def _repaint(self, entries: Iterable[Entry]) -> None:
        lines = sorted(entry.line for entry in entries if entry.line != HIDDEN)
        if not lines:
            return
        ranges = contiguous(lines)
        if len(ranges) > _MAX_RANGES:
            ranges = [(lines[0], lines[-1])]
        self.changed_lines = lines
        for first, last in ranges:
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(COLUMNS) - 1))
        self.changed_lines = ()


def _check_state(entry: Entry) -> Qt.CheckState:
    if entry.selected:
        return Qt.CheckState.Checked
    return Qt.CheckState.PartiallyChecked if entry.waiting else Qt.CheckState.Unchecked


def _still_selected(entry: Entry) -> list[Lost]:
    """Takes the entry out of the selection where it is no longer what was selected."""
    if entry.checked is None or entry.progress is not None:
        return []
    identity = entry.row.workspace.identity
    status = entry.row.status
    if identity is not None and identity != entry.checked:
        reason = "has changed on the volume since it was selected"
    elif status is Status.ORPHAN or status in _PASSING:
        return []
    else:
        reason = f"is no longer an orphan: {STATUS_WORDS[status].lower()}, {shown(entry.row.verdict.reason)}"
    entry.checked = None
    return [Lost(entry.row.name, reason)]


def contiguous(positions: Sequence[int]) -> list[tuple[int, int]]:
    """The contiguous ranges in ascending positions."""
    ranges: list[tuple[int, int]] = []
    for position in positions:
        if ranges and ranges[-1][1] == position - 1:
            ranges[-1] = (ranges[-1][0], position)
        else:
            ranges.append((position, position))
    return ranges
