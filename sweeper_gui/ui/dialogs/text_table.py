"""A table of finished texts, for reports, the trash and the history."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget
from typing_extensions import override

from sweeper_gui.ui.plain_text import shown, tool_tip
from sweeper_gui.ui.theme import Look

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class TextRow:
    """One line. `sign` and `colour` name the icon of its first cell and that cell's colour."""

    cells: tuple[str, ...]
    sign: str = ""
    colour: str = "text"


class TextModel(QAbstractTableModel):
    """Shows rows of text."""

    def __init__(
        self,
        titles: Sequence[str],
        rows: Sequence[TextRow],
        look: Look,
        parent: QObject | None = None,
        *,
        right: Collection[int] = (),
    ) -> None:
        super().__init__(parent)
        self._titles = tuple(titles)
        self._look = look
        self._alignments = [_alignment(column in right) for column in range(len(titles))]
        self.rows = list(rows)

    def show_rows(self, rows: Sequence[TextRow]) -> None:
        """Shows other rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    @override
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    @override
    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._titles)

    @override
    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(self._titles):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._titles[section]
        return self._alignments[section] if role == Qt.ItemDataRole.TextAlignmentRole else None

    @override
    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren

    @override
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return shown(row.cells[column])
        if role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip(row.cells[column])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignments[column]
        if column == 0 and row.sign and role == Qt.ItemDataRole.DecorationRole:
            return self._look.icon(row.sign, self._colour_of(row))
        if column == 0 and row.sign and role == Qt.ItemDataRole.ForegroundRole:
            return QColor(self._colour_of(row))
        return None

    def _colour_of(self, row: TextRow) -> str:
        return str(getattr(self._look.colours, row.colour))


def _alignment(right: bool) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


class ElidedOtherwise(QStyledItemDelegate):
    """Cuts what is too long elsewhere than at its end."""

    def __init__(self, mode: Qt.TextElideMode, parent: QWidget) -> None:
        super().__init__(parent)
        self._mode = mode

    @override
    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        option.textElideMode = self._mode


def text_table(
    model: QAbstractTableModel,
    name: str,
    widths: Sequence[int],
    elided: tuple[int, Qt.TextElideMode] = (1, Qt.TextElideMode.ElideMiddle),
) -> QTableView:
    """A framed table over the model; the last column takes what is left. `elided` says how one column is cut."""
    table = QTableView()
    table.setObjectName("Framed")
    table.setAccessibleName(name)
    table.setModel(model)
    table.setShowGrid(False)
    table.setWordWrap(False)
    column, mode = elided
    table.setItemDelegateForColumn(column, ElidedOtherwise(mode, table))
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setTabKeyNavigation(False)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(26)
    table.horizontalHeader().setHighlightSections(False)
    table.horizontalHeader().setStretchLastSection(True)
    for column, width in enumerate(widths):
        table.setColumnWidth(column, width)
    return table
