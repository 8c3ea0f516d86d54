"""A button in the shape of a pill: an icon, a word and a count. It switches one status of the filter on and off."""

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QIcon, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget
from typing_extensions import override

from sweeper_gui.core.units import count_text
from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.columns import STATUS_MEANINGS, STATUS_WORDS
from sweeper_gui.ui.plain_text import tool_tip
from sweeper_gui.ui.theme import Look

_ICON = 16
_GAP = 4
_SIDE = 9
_HEIGHT = 28


class StatusChip(QAbstractButton):
    """One status with the number of its workspaces."""

    def __init__(self, status: Status, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.status = status
        self._look = look
        self._count = -1
        self._compact = False
        self.setCheckable(True)
        self.setText(STATUS_WORDS[status])
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(tool_tip(f"{STATUS_MEANINGS[status]}\nClick to show only this status; more can be added."))
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.set_count(0)

    @property
    def count(self) -> int:
        """How many workspaces have the status."""
        return self._count

    def set_count(self, count: int) -> None:
        """Shows another count; the same one causes no new layout."""
        if count == self._count:
            return
        self._count = count
        self.setAccessibleName(f"Show {self.text().lower()}: {count}")
        self.updateGeometry()
        self.update()

    def set_compact(self, compact: bool) -> None:
        """Leaves the word out, where there is no room for it; tool tip and accessible name keep it."""
        if compact != self._compact:
            self._compact = compact
            self.updateGeometry()
            self.update()

    @property
    def full_width(self) -> int:
        """How wide it is with its word."""
        return self._wide(self._word_width(compact=False))

    @property
    def compact_width(self) -> int:
        """How wide it is without."""
        return self._wide(0)

    def _word_width(self, *, compact: bool) -> int:
        return 0 if compact else self.fontMetrics().horizontalAdvance(self.text()) + _GAP

    def _wide(self, word: int) -> int:
        count = QFontMetrics(self._bold()).horizontalAdvance(count_text(self._count))
        return _SIDE + _ICON + _GAP + word + count + _SIDE

    @override
    def sizeHint(self) -> QSize:
        return QSize(self._wide(self._word_width(compact=self._compact)), _HEIGHT)

    @override
    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    @override
    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_pill(painter)
        self._paint_content(painter)

    def _paint_pill(self, painter: QPainter) -> None:
        colours = self._look.colours
        own = QColor(colours.status(self.status))
        fill = QColor(own) if self.isChecked() else QColor(colours.hover if self.underMouse() else colours.surface)
        if self.isChecked():
            fill.setAlpha(46)
        pen = QPen(own if self.isChecked() else QColor(colours.border), 1.4 if self.isChecked() else 1)
        if self.hasFocus():
            pen = QPen(QColor(colours.accent), 2)
        painter.setPen(pen)
        painter.setBrush(fill)
        area = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        painter.drawRoundedRect(area, area.height() / 2, area.height() / 2)

    def _paint_content(self, painter: QPainter) -> None:
        colours = self._look.colours
        quiet = self._count == 0 and not self.isChecked()
        icon = self._look.status_icon(self.status)
        place = QRect(_SIDE, (self.height() - _ICON) // 2, _ICON, _ICON)
        icon.paint(painter, place, mode=QIcon.Mode.Disabled if quiet else QIcon.Mode.Normal)
        painter.setPen(QColor(colours.muted if quiet else colours.text))
        left = place.right() + 1 + _GAP
        if not self._compact:
            painter.drawText(QRect(left, 0, self.width(), self.height()), Qt.AlignmentFlag.AlignVCenter, self.text())
        left += self._word_width(compact=self._compact)
        painter.setFont(self._bold())
        count = QRect(left, 0, self.width(), self.height())
        painter.drawText(count, Qt.AlignmentFlag.AlignVCenter, count_text(self._count))

    def _bold(self) -> QFont:
        font = QFont(self.font())
        font.setWeight(QFont.Weight.DemiBold)
        return font
