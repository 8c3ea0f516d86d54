"""The table of workspaces: how its cells are painted, and what keys and pointer do in it."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QHoverEvent,
    QIcon,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QStaticText,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)
from typing_extensions import override

from sweeper_gui.core.outcome import Result
from sweeper_gui.ui.columns import COLUMN_OF, COLUMNS, DOUBT_WORDS, STATUS_WORDS, Column, status_words
from sweeper_gui.ui.entry import Entry
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.workspace_model import WorkspaceModel, contiguous

Index = QModelIndex | QPersistentModelIndex
#: A text as it is drawn, with its width and height in pixels.
_LaidOut = tuple[QStaticText, int, int]
#: So many of them are kept by each delegate; a screen shows some dozens.
_MOST_LAID_OUT = 2_000

_ROW_HEIGHT = 28
_ICON = 16
_PAD = 8
#: the header draws its sign of order in here
_RIGHT_PAD = 14
#: The names of so many rows decide how wide their column is, up to so many pixels.
_SAMPLED_NAMES = 200
_WIDEST_NAME = 300

#: Compared as numbers: Python's flags take a microsecond, for each of them in each cell.
_SELECTED = QStyle.StateFlag.State_Selected.value
_ALTERNATE = QStyleOptionViewItem.ViewItemFeature.Alternate.value
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter

#: The icon and the name of the colour of each outcome.
RESULT_SIGNS = {
    Result.REMOVED: ("good", "good"),
    Result.SET_ASIDE: ("set-aside", "info"),
    Result.RESTORED: ("restore", "info"),
    Result.CONFLICT: ("error", "danger"),
    Result.SKIPPED: ("skipped", "muted"),
    Result.FAILED: ("error", "danger"),
    Result.PARTLY_REMOVED: ("warning", "warning"),
}


class CellDelegate(QStyledItemDelegate):
    """Paints a cell's background and text in the look's colours."""

    def __init__(self, look: Look, parent: QWidget, colour: str = "text") -> None:
        super().__init__(parent)
        self._look = look
        self._colour = colour
        #: by text and width: to shape a text takes longer than all else in a cell
        self._laid_out: dict[tuple[str, int], _LaidOut] = {}

    @override
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        painter.save()
        self.paint_back(painter, option)
        model = index.model()
        entry = model.entry_at(index) if isinstance(model, WorkspaceModel) else None
        if entry is not None:
            self.paint_cell(painter, option, index, entry)
        painter.restore()

    def paint_back(self, painter: QPainter, option: QStyleOptionViewItem) -> None:
        """The row's background: selected, under the pointer, or every other one."""
        area: QRect = option.rect
        state: QStyle.StateFlag = option.state
        features: QStyleOptionViewItem.ViewItemFeature = option.features
        if state.value & _SELECTED:
            painter.fillRect(area, self._look.colour("selection"))
        elif features.value & _ALTERNATE:
            painter.fillRect(area, self._look.colour("stripe"))

    def paint_cell(self, painter: QPainter, option: QStyleOptionViewItem, index: Index, _entry: Entry, /) -> None:
        """The cell's text."""
        self.paint_text(painter, inner(option), str(index.data()), COLUMNS[index.column()].alignment, self._colour)

    def paint_text(self, painter: QPainter, area: QRect, text: str, alignment: Qt.AlignmentFlag, colour: str) -> None:
        """One line of plain text, cut with an ellipsis where it does not fit. `colour` is a name in `Colours`."""
        if not text:
            return
        drawn = self._laid_out.get((text, area.width()))
        if drawn is None:
            drawn = self._lay_out(painter, text, area.width())
        words, width, height = drawn
        left = area.right() + 1 - width if alignment & Qt.AlignmentFlag.AlignRight else area.left()
        painter.setPen(self._look.colour(colour))
        painter.drawStaticText(QPointF(left, area.top() + (area.height() - height) // 2), words)

    def _lay_out(self, painter: QPainter, text: str, width: int) -> _LaidOut:
        if len(self._laid_out) >= _MOST_LAID_OUT:
            self._laid_out.clear()
        words = QStaticText(painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, width))
        words.setTextFormat(Qt.TextFormat.PlainText)
        words.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
        words.prepare(painter.transform(), painter.font())
        size = words.size()
        laid_out = self._laid_out[text, width] = (words, round(size.width()), round(size.height()))
        return laid_out

    def forget_layout(self) -> None:
        """The font is another one."""
        self._laid_out.clear()

    @override
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(super().sizeHint(option, index).width(), _ROW_HEIGHT)


class CheckDelegate(CellDelegate):
    """A check box where there is something to select, and nothing elsewhere."""

    @override
    def paint_cell(self, painter: QPainter, option: QStyleOptionViewItem, index: Index, entry: Entry, /) -> None:
        colours = self._look.colours
        area: QRect = option.rect
        self._mark_current(painter, option, index)
        if not entry.checkable and not entry.waiting:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(0, 0, 15, 15)
        box.moveCenter(QRectF(area).center())
        painter.setPen(QPen(QColor(colours.accent if entry.selected else colours.strong_border), 1.4))
        painter.setBrush(QColor(colours.accent if entry.selected else colours.surface))
        painter.drawRoundedRect(box, 3.5, 3.5)
        if entry.selected:
            self._tick(painter, box)
        elif entry.waiting:
            painter.setPen(QPen(QColor(colours.muted), 1.8))
            painter.drawLine(
                int(box.left()) + 4, int(box.center().y()) + 1, int(box.right()) - 3, int(box.center().y()) + 1
            )

    def _tick(self, painter: QPainter, box: QRectF) -> None:
        path = QPainterPath()
        path.moveTo(box.left() + 3.6, box.top() + 7.8)
        path.lineTo(box.left() + 6.4, box.top() + 10.6)
        path.lineTo(box.left() + 11.4, box.top() + 4.8)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(self._look.colours.accent_text), 1.9))
        painter.drawPath(path)

    def _mark_current(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        view = self.parent()
        if isinstance(view, QTableView) and view.hasFocus() and view.currentIndex().row() == index.row():
            area: QRect = option.rect
            painter.fillRect(
                QRect(area.left(), area.top() + 1, 3, area.height() - 2), QColor(self._look.colours.accent)
            )


class StatusDelegate(CellDelegate):
    """Icon, word and doubts; while the workspace is swept how far it is; afterwards how it ended."""

    @override
    def paint_cell(self, painter: QPainter, option: QStyleOptionViewItem, index: Index, entry: Entry, /) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if entry.outcome is not None:
            icon, colour = RESULT_SIGNS[entry.outcome.result]
            self._paint_sign(painter, option, self._look.icon(icon, str(getattr(self._look.colours, colour))))
            self._paint_words(painter, option, status_words(entry), colour)
        elif entry.progress is not None:
            self._paint_progress(painter, option, entry)
        else:
            self._paint_status(painter, option, entry)

    def _paint_status(self, painter: QPainter, option: QStyleOptionViewItem, entry: Entry) -> None:
        status = entry.row.status
        self._paint_sign(painter, option, self._look.status_icon(status))
        word = STATUS_WORDS[status]
        self._paint_words(painter, option, word, status.value.replace("-", "_"))
        doubts = ", ".join(DOUBT_WORDS[doubt] for doubt in entry.row.verdict.doubts)
        if doubts:
            rest = words_area(option)
            rest.setLeft(rest.left() + painter.fontMetrics().horizontalAdvance(word) + 6)
            self.paint_text(painter, rest, f"· {doubts}", _LEFT, "muted")

    def _paint_progress(self, painter: QPainter, option: QStyleOptionViewItem, entry: Entry) -> None:
        colours = self._look.colours
        assert entry.progress is not None
        tree = entry.progress
        share = min(1.0, tree.entries_removed / tree.entries_total) if tree.entries_total else 0.0
        track = QRectF(inner(option)).adjusted(-2, 4, 2, -4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.hover))
        painter.drawRoundedRect(track, 5, 5)
        if share > 0:
            pill = QPainterPath()
            pill.addRoundedRect(track, 5, 5)
            painter.setClipPath(pill)
            painter.fillRect(
                QRectF(track.left(), track.top(), track.width() * share, track.height()), _tint(colours.accent)
            )
            painter.setClipping(False)
        words = status_words(entry)
        if tree.step == "removing" and tree.entries_total:
            words += f" · {int(share * 100)} %"
        self.paint_text(painter, inner(option).adjusted(6, 0, -4, 0), words, _LEFT, "text")

    def _paint_sign(self, painter: QPainter, option: QStyleOptionViewItem, icon: QIcon) -> None:
        area = inner(option)
        icon.paint(painter, QRect(area.left(), area.top() + (area.height() - _ICON) // 2, _ICON, _ICON))

    def _paint_words(self, painter: QPainter, option: QStyleOptionViewItem, words: str, colour: str) -> None:
        self.paint_text(painter, words_area(option), words, _LEFT, colour)


class SizeDelegate(CellDelegate):
    """The size above a thin line as long as its share of the largest."""

    @override
    def paint_cell(self, painter: QPainter, option: QStyleOptionViewItem, index: Index, entry: Entry, /) -> None:
        model = index.model()
        usage = entry.row.usage
        area = inner(option)
        if usage is not None and isinstance(model, WorkspaceModel):
            width = max(2, round(area.width() * min(1.0, usage.allocated / model.max_allocated)))
            colour = QColor(self._look.colour(entry.row.status.value.replace("-", "_")))
            colour.setAlpha(95)
            painter.fillRect(QRect(area.right() - width + 1, area.bottom() - 3, width, 2), colour)
        colour_name = "text" if usage is not None else "muted"
        self.paint_text(
            painter, area.adjusted(0, -1, 0, -2), str(index.data()), COLUMNS[index.column()].alignment, colour_name
        )


def marked_rows(view: QTableView) -> list[int]:
    """The rows that are marked, ascending."""
    # By ranges: asked for its rows one by one, Qt takes half a second for ten thousand.
    ranges = [range(part.top(), part.bottom() + 1) for part in view.selectionModel().selection().toList()]
    return sorted(set(chain.from_iterable(ranges)))


def inner(option: QStyleOptionViewItem) -> QRect:
    """The cell without its margins."""
    area: QRect = option.rect
    return area.adjusted(_PAD, 0, -_RIGHT_PAD, 0)


def words_area(option: QStyleOptionViewItem) -> QRect:
    """The cell right of an icon."""
    return inner(option).adjusted(_ICON + 6, 0, 0, 0)


def _nearest(rows: list[int], to: int) -> int:
    """The one of these ascending rows that is nearest to a row; of two, the later, which moves up into its place."""
    at = bisect_left(rows, to)
    around = rows[max(0, at - 1) : at + 1]
    return min(reversed(around), key=lambda row: abs(row - to))


def _tint(colour: str) -> QColor:
    tint = QColor(colour)
    tint.setAlpha(90)
    return tint


class TableHeader(QHeaderView):
    """Titles that stand over their column's text, and a sign of the order that never covers them."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._look = look
        self._hovered = -1
        self.setSectionsClickable(True)
        self.setSectionsMovable(True)
        self.setHighlightSections(False)
        self.setMinimumSectionSize(30)
        self.setAccessibleName("Columns")

    @override
    def viewportEvent(self, event: QEvent) -> bool:
        # Where the pointer is comes with these; to ask the display for it takes a round trip.
        if isinstance(event, QHoverEvent):
            left = event.type() == QEvent.Type.HoverLeave
            self._hovered = -1 if left else self.logicalIndexAt(event.position().toPoint())
        return super().viewportEvent(event)

    @override
    def paintSection(self, painter: QPainter, rect: QRect, logicalIndex: int) -> None:
        colours = self._look.colours
        sorted_by = self.isSortIndicatorShown() and self.sortIndicatorSection() == logicalIndex
        hovered = self._hovered == logicalIndex
        painter.fillRect(rect, QColor(colours.hover if hovered else colours.surface))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), QColor(colours.border))
        painter.setPen(QColor(colours.text if sorted_by or hovered else colours.muted))
        font = QFont(self.font())
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        column = COLUMNS[logicalIndex]
        area = rect.adjusted(_PAD, 0, -_RIGHT_PAD, 0)
        title = painter.fontMetrics().elidedText(column.title, Qt.TextElideMode.ElideRight, area.width())
        painter.drawText(area, int(column.alignment), title)
        if sorted_by:
            descending = self.sortIndicatorOrder() is Qt.SortOrder.DescendingOrder
            sign = self._look.icon("chevron-down" if descending else "chevron-up")
            sign.paint(painter, QRect(rect.right() - 12, rect.center().y() - 5, 10, 10))


class WorkspaceTable(QTableView):
    """Rows are marked with the pointer or the arrows, and selected for the sweep with the check box or Space."""

    sweep_asked = Signal()

    def __init__(self, model: WorkspaceModel, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._look = look
        self._empty_title = ""
        self._empty_words = ""
        self._anchor: tuple[bytes, int] | None = None
        self._leaving = False
        self._fitting = False
        self._chosen_widths: dict[str, int] = {}
        self._delegates: list[CellDelegate] = []
        self.setModel(model)
        self.setAccessibleName("Workspaces")
        self._set_up()
        self._set_up_header()
        self._delegates = self._dress_cells()
        model.rowsInserted.connect(self._fit_columns)
        model.layoutAboutToBeChanged.connect(self._remember_place)
        model.layoutChanged.connect(self._return_to_place)
        model.leaving.connect(self._prepare_for_leaving)
        model.left.connect(self._rows_have_left)
        look.changed.connect(self._repaint_all)

    def _repaint_all(self) -> None:
        self.viewport().update()
        self.horizontalHeader().viewport().update()

    def show_empty(self, title: str, words: str) -> None:
        """What stands in place of the rows when there are none."""
        if (title, words) != (self._empty_title, self._empty_words):
            self._empty_title, self._empty_words = title, words
            self.viewport().update()

    def marked_entries(self) -> list[Entry]:
        """The entries of the marked rows, in the table's order."""
        shown = self._model.shown_entries
        return [shown[row] for row in marked_rows(self)]

    def toggle_marked(self) -> None:
        """Selects the marked orphans for the sweep, or, where all of them are selected, takes them out."""
        entries = [entry for entry in self.marked_entries() if entry.checkable]
        self._model.select([entry.row.name for entry in entries], not all(entry.selected for entry in entries))

    def _set_up(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self.verticalHeader().setMinimumSectionSize(_ROW_HEIGHT)

    def _set_up_header(self) -> None:
        header = TableHeader(self._look, self)
        self.setHorizontalHeader(header)
        for number, column in enumerate(COLUMNS):
            self._fit(number, max(column.width, self._needed(column)))
        header.sectionResized.connect(self._keep_width)
        header.setSectionResizeMode(COLUMN_OF["check"], QHeaderView.ResizeMode.Fixed)
        self.setSortingEnabled(True)
        self.sortByColumn(COLUMN_OF["size"], Qt.SortOrder.DescendingOrder)

    @property
    def chosen_widths(self) -> dict[str, int]:
        """The widths in pixels that a person has given to columns, by their keys."""
        return dict(self._chosen_widths)

    def choose_widths(self, widths: Mapping[str, int]) -> None:
        """Gives columns these widths again; keys of no column are passed over."""
        for key, width in widths.items():
            if key in COLUMN_OF:
                self.setColumnWidth(COLUMN_OF[key], width)

    def _keep_width(self, number: int, _before: int, width: int) -> None:
        if not self._fitting:
            self._chosen_widths[COLUMNS[number].key] = width

    def _fit(self, number: int, width: int) -> None:
        """Sets a width that nobody has chosen, unless somebody has chosen another."""
        if COLUMNS[number].key in self._chosen_widths:
            return
        self._fitting = True
        try:
            self.setColumnWidth(number, width)
        finally:
            self._fitting = False

    def _needed(self, column: Column) -> int:
        """How wide the column's longest usual text is in this font, in pixels."""
        if not column.widest:
            return 0
        sign = _ICON + 2 * _PAD if column.signed else 0
        return self.fontMetrics().horizontalAdvance(column.widest) + sign + _PAD + _RIGHT_PAD

    def _fit_columns(self) -> None:
        """Gives the names of the first rows their width, once: a name is what tells workspaces apart.

        And the usual texts theirs: by now the style sheet's font is known.
        """
        self._model.rowsInserted.disconnect(self._fit_columns)
        number = COLUMN_OF["workspace"]
        labels = (entry.row.label for entry in self._model.shown_entries[:_SAMPLED_NAMES])
        widest = max((self.fontMetrics().horizontalAdvance(label) for label in labels), default=0)
        self._fit(number, max(self.columnWidth(number), min(_WIDEST_NAME, widest + _PAD + _RIGHT_PAD)))
        for usual, column in enumerate(COLUMNS):
            self._fit(usual, max(self.columnWidth(usual), self._needed(column)))
        self._fill_width()

    def _dress_cells(self) -> list[CellDelegate]:
        delegates: dict[str, CellDelegate] = {
            "check": CheckDelegate(self._look, self),
            "status": StatusDelegate(self._look, self),
            "size": SizeDelegate(self._look, self),
            "reason": CellDelegate(self._look, self, "muted"),
            "entries": CellDelegate(self._look, self, "muted"),
        }
        plain = CellDelegate(self._look, self)
        for number, column in enumerate(COLUMNS):
            self.setItemDelegateForColumn(number, delegates.get(column.key, plain))
        return [plain, *delegates.values()]  # the view does not own them

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fill_width()

    def _fill_width(self) -> None:
        """The reason takes what room is left, and never less than it needs to be read."""
        last = COLUMN_OF["reason"]
        others = sum(self.columnWidth(number) for number in range(len(COLUMNS)) if number != last)
        self._fit(last, max(COLUMNS[last].width, self.viewport().width() - others))

    # --- keys and pointer -------------------------------------------------------------------------------------------

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        self._model.hold()
        if event.key() == Qt.Key.Key_Space and not event.modifiers():
            self.toggle_marked()
        elif event.key() == Qt.Key.Key_Delete and not event.modifiers():
            self.sweep_asked.emit()
        else:
            super().keyPressEvent(event)

    @override
    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._model.hold()
        index = self.indexAt(event.position().toPoint())
        if event.button() is Qt.MouseButton.LeftButton and self._is_check(index):
            self._toggle(index)
            return
        super().mousePressEvent(event)

    @override
    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if event.button() is Qt.MouseButton.LeftButton and self._is_check(index):
            self._toggle(index)  # the second of two quick clicks on a check box
            return
        super().mouseDoubleClickEvent(event)

    @override
    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._model.hold()
        super().mouseMoveEvent(event)

    def _is_check(self, index: QModelIndex) -> bool:
        entry = self._model.entry_at(index)
        return entry is not None and index.column() == COLUMN_OF["check"] and entry.checkable

    def _toggle(self, index: QModelIndex) -> None:
        entry = self._model.entry_at(index)
        assert entry is not None
        wanted = Qt.CheckState.Unchecked if entry.selected else Qt.CheckState.Checked
        self.selectionModel().setCurrentIndex(index, self.selectionModel().SelectionFlag.NoUpdate)
        self._model.setData(index, wanted, Qt.ItemDataRole.CheckStateRole)

    # --- staying in place while rows move ---------------------------------------------------------------------------

    def _prepare_for_leaving(self, names: frozenset[bytes]) -> None:
        """What is seen stays where it is, and the keyboard next to where it was, while rows leave around them."""
        stay = [row for row, entry in enumerate(self._model.shown_entries) if entry.row.name not in names]
        current = self._model.entry_at(self.currentIndex())
        # Not marked: what is marked can be removed, and nobody has marked this one.
        if current is not None and current.row.name in names and stay:
            near = self._model.index(_nearest(stay, self.currentIndex().row()), self.currentIndex().column())
            self.selectionModel().setCurrentIndex(near, self.selectionModel().SelectionFlag.NoUpdate)
        self._anchor = self._first_to_stay(stay)
        self._leaving = True

    def _first_to_stay(self, stay: list[int]) -> tuple[bytes, int] | None:
        top = self.rowAt(0)
        if not stay or top < 0:
            return None
        at = bisect_left(stay, top)
        row = stay[min(at, len(stay) - 1)]
        height = self.viewport().height()
        place = min(max(self.visualRect(self._model.index(row, 1)).top(), -_ROW_HEIGHT), height - _ROW_HEIGHT)
        return self._model.shown_entries[row].row.name, place

    def _rows_have_left(self) -> None:
        self._leaving = False
        self.updateGeometries()
        self._return_to_place()

    def _remember_place(self) -> None:
        if self._leaving:
            return  # the place is known already, and rows that leave only pass the end
        current = self.currentIndex()
        entry = self._model.entry_at(current)
        top = self.visualRect(current).top()
        visible = entry is not None and 0 <= top < self.viewport().height()
        self._anchor = (entry.row.name, top) if entry is not None and visible else None

    def _return_to_place(self) -> None:
        if self._anchor is None or self._leaving:
            return
        name, top = self._anchor
        position = self._model.position(name)
        if position is not None:
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() + self.visualRect(self._model.index(position, 1)).top() - top)

    # --- painting ---------------------------------------------------------------------------------------------------

    @override
    def dataChanged(self, topLeft: Index, bottomRight: Index, roles: Sequence[int] = ()) -> None:
        """Paints only those changed lines that can be seen: of many thousands that change, most can't."""
        left, right = topLeft.column(), bottomRight.column()
        for first, last in contiguous(self._changed_and_seen(topLeft.row(), bottomRight.row())):
            super().dataChanged(self._model.index(first, left), self._model.index(last, right), list(roles))

    def _changed_and_seen(self, first: int, last: int) -> Sequence[int]:
        top, bottom = self.rowAt(0), self.rowAt(self.viewport().height() - 1)
        first, last = max(first, top), last if bottom < 0 else min(last, bottom)
        lines = self._model.changed_lines or range(first, last + 1)
        return lines[bisect_left(lines, first) : bisect_right(lines, last)]

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._model.rowCount() == 0 and self._empty_title:
            self._paint_empty()

    def _paint_empty(self) -> None:
        painter = QPainter(self.viewport())
        area = self.viewport().rect().adjusted(24, 0, -24, 0)
        middle = area.center().y()
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() + 3)
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.setPen(QColor(self._look.colours.text))
        title = QRect(area.left(), middle - 34, area.width(), 28)
        painter.drawText(title, int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter), self._empty_title)
        painter.setFont(self.font())
        painter.setPen(QColor(self._look.colours.muted))
        words = QRect(area.left(), middle, area.width(), 60)
        painter.drawText(words, int(Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap), self._empty_words)

    @override
    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            for delegate in self._delegates:
                delegate.forget_layout()

    @override
    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self.viewport().update()
        return super().viewportEvent(event)
