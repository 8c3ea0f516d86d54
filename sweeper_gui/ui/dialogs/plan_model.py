"""The list of a confirmation: every candidate, in the order in which they are swept, then reserves, then refusals."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QFont, QIcon
from typing_extensions import override

from sweeper_gui.core.names import visible
from sweeper_gui.core.plan import Candidate, Plan, Refused
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.ui.columns import DOUBT_WORDS
from sweeper_gui.ui.plain_text import shown, tool_tip
from sweeper_gui.ui.prompts import SweepQuestion
from sweeper_gui.ui.theme import Look

Index = QModelIndex | QPersistentModelIndex

TREATMENT_WORDS = {Treatment.REMOVE: "remove", Treatment.SET_ASIDE: "set aside"}


@dataclass(frozen=True)
class Section:
    """A heading between lines."""

    text: str


@dataclass(frozen=True)
class Line:
    """One name in the list. A refused one has nothing but its reason."""

    path: str
    size: str = ""
    entries: str = ""
    age: str = ""
    treatment: str = ""
    doubts: str = ""
    reason: str = ""


TITLES = ("Path", "Size", "Entries", "Last change", "At most", "Doubts", "Reason")
_FIELDS: tuple[Callable[[Line], str], ...] = (
    lambda line: line.path,
    lambda line: line.size,
    lambda line: line.entries,
    lambda line: line.age,
    lambda line: line.treatment,
    lambda line: line.doubts,
    lambda line: line.reason,
)
_RIGHT = frozenset({1, 2, 3})
TREATMENT_COLUMN = 4
DOUBTS_COLUMN = 5


def entries_of(plan: Plan) -> list[Section | Candidate | Refused]:
    """Everything the list shows, in order."""
    chosen = plan.chosen
    taken = {candidate.name for candidate in chosen}
    spare = [candidate for candidate in plan.candidates if candidate.name not in taken]
    entries: list[Section | Candidate | Refused] = [
        Section(f"To be swept, in this order: {count_text(len(chosen))}"),
        *chosen,
    ]
    if spare:
        entries += [Section(f"In reserve, only where one above is skipped: {count_text(len(spare))}"), *spare]
    if plan.refused:
        entries += [Section(f"Refused, never touched: {count_text(len(plan.refused))}"), *plan.refused]
    return entries


def line_of(entry: Candidate | Refused, question: SweepQuestion) -> Line:
    """One name in words. Made when it is painted: a list may have ten thousand of them."""
    path = _path(question.root, entry.name)
    if isinstance(entry, Refused):
        return Line(path, reason=shown(entry.reason))
    usage = entry.usage
    reason = shown(entry.verdict.reason)
    return Line(
        path=path,
        size=size_text(usage.allocated),
        entries=count_text(usage.entries),
        age=f"{age_text(question.now - usage.newest_change_ns / 1e9)} ago",
        treatment=TREATMENT_WORDS[entry.treatment],
        doubts=", ".join(DOUBT_WORDS[doubt] for doubt in entry.verdict.doubts),
        reason=f"{reason} (hidden by the filter)" if entry.name in question.hidden else reason,
    )


def _path(root: str, name: bytes) -> str:
    return f"{shown(root.rstrip('/'))}/{visible(name)}"


class PlanModel(QAbstractTableModel):
    """Shows a plan; it is given another one when a choice in the dialog changes it."""

    def __init__(self, plan: Plan, question: SweepQuestion, look: Look, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._question = question
        self._look = look
        self._entries = entries_of(plan)
        self._lines: dict[int, Line] = {}

    def show_plan(self, plan: Plan) -> None:
        """Shows another plan."""
        self.beginResetModel()
        self._entries = entries_of(plan)
        self._lines.clear()
        self.endResetModel()

    def line(self, row: int) -> Section | Line:
        """What stands in a row."""
        entry = self._entries[row]
        if isinstance(entry, Section):
            return entry
        line = self._lines.get(row)  # made when it is first looked at: a view asks for each of its cells many times
        if line is None:
            line = self._lines[row] = line_of(entry, self._question)
        return line

    @property
    def sections(self) -> list[int]:
        """The rows that are headings."""
        return [row for row, entry in enumerate(self._entries) if isinstance(entry, Section)]

    @override
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._entries)

    @override
    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(TITLES)

    @override
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return TITLES[section]
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        if section == TREATMENT_COLUMN and role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip("The most that would be done with it")
        return None

    @override
    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren
        return flags if isinstance(self._entries[index.row()], Section) else flags | Qt.ItemFlag.ItemIsSelectable

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        line = self.line(index.row())
        if isinstance(line, Section):
            return self._section(line, index.column(), role)
        if role == Qt.ItemDataRole.DisplayRole:
            return _FIELDS[index.column()](line)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip(_FIELDS[index.column()](line))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._colour(line, index.column())
        if role == Qt.ItemDataRole.DecorationRole:
            return self._sign(line, index.column())
        return None

    def _section(self, section: Section, column: int, role: int) -> object:
        if column == 0 and role == Qt.ItemDataRole.DisplayRole:
            return section.text
        if role == Qt.ItemDataRole.FontRole:
            font = QFont()
            font.setWeight(QFont.Weight.DemiBold)
            return font
        if role == Qt.ItemDataRole.BackgroundRole:
            return QColor(self._look.colours.hover)
        return None

    def _colour(self, line: Line, column: int) -> QColor | None:
        colours = self._look.colours
        if column == TREATMENT_COLUMN:
            return QColor(colours.danger if line.treatment == TREATMENT_WORDS[Treatment.REMOVE] else colours.info)
        if column == DOUBTS_COLUMN:
            return QColor(colours.warning)
        return QColor(colours.muted) if column == len(TITLES) - 1 else None

    def _sign(self, line: Line, column: int) -> QIcon | None:
        colours = self._look.colours
        if column == TREATMENT_COLUMN and line.treatment:
            removed = line.treatment == TREATMENT_WORDS[Treatment.REMOVE]
            return self._look.icon("trash" if removed else "set-aside", colours.danger if removed else colours.info)
        if column == DOUBTS_COLUMN and line.doubts:
            return self._look.icon("doubt", colours.warning)
        return None


@cache
def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
