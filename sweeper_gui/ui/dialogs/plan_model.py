"""The list of a confirmation: every candidate, in the order in which they are swept, then reserves, then refusals."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QFont, QIcon
from typing_extensions import override

from sweeper_gui.core.names import visible
from sweeper_gui.core.plan import Candidate, Plan
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.ui.columns import DOUBT_WORDS
from sweeper_gui.ui.plain_text import shown, tool_tip
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


def lines_of(plan: Plan, root: str, now: float, hidden: frozenset[bytes]) -> list[Section | Line]:
    """Everything the list shows, in order."""
    chosen = plan.chosen
    taken = {candidate.name for candidate in chosen}
    spare = [candidate for candidate in plan.candidates if candidate.name not in taken]
    lines: list[Section | Line] = [Section(f"To be swept, in this order: {count_text(len(chosen))}")]
    lines += [_line(candidate, root, now, hidden) for candidate in chosen]
    if spare:
        lines.append(Section(f"In reserve, only where one above is skipped: {count_text(len(spare))}"))
        lines += [_line(candidate, root, now, hidden) for candidate in spare]
    if plan.refused:
        lines.append(Section(f"Refused, never touched: {count_text(len(plan.refused))}"))
        lines += [Line(path=_path(root, refused.name), reason=shown(refused.reason)) for refused in plan.refused]
    return lines


def _line(candidate: Candidate, root: str, now: float, hidden: frozenset[bytes]) -> Line:
    usage = candidate.usage
    reason = shown(candidate.verdict.reason)
    if candidate.name in hidden:
        reason = f"(hidden by the filter) {reason}"
    return Line(
        path=_path(root, candidate.name),
        size=size_text(usage.allocated),
        entries=count_text(usage.entries),
        age=f"{age_text(now - usage.newest_change_ns / 1e9)} ago",
        treatment=TREATMENT_WORDS[candidate.treatment],
        doubts=", ".join(DOUBT_WORDS[doubt] for doubt in candidate.verdict.doubts),
        reason=reason,
    )


def _path(root: str, name: bytes) -> str:
    return f"{shown(root.rstrip('/'))}/{visible(name)}"


class PlanModel(QAbstractTableModel):
    """Shows lines; it is given other ones when a choice in the dialog changes the plan."""

    def __init__(self, lines: list[Section | Line], look: Look, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.lines = lines
        self._look = look

    def show_lines(self, lines: list[Section | Line]) -> None:
        """Shows other lines."""
        self.beginResetModel()
        self.lines = lines
        self.endResetModel()

    @override
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.lines)

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
        return flags if isinstance(self.lines[index.row()], Section) else flags | Qt.ItemFlag.ItemIsSelectable

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        line = self.lines[index.row()]
        if isinstance(line, Section):
            return self._section(line, index.column(), role)
        text = _FIELDS[index.column()](line)
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip(text)
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


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
