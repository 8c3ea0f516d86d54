"""A bar of measured bytes by status."""

from PySide6.QtCore import QEvent, QRectF, QSize
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget
from typing_extensions import override

from sweeper_gui.core.units import size_text
from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.columns import STATUS_ORDER, STATUS_WORDS
from sweeper_gui.ui.plain_text import tool_tip
from sweeper_gui.ui.tally import Summary
from sweeper_gui.ui.theme import Look

_HEIGHT = 12
_THINNEST = 3.0


class UsageBar(QWidget):
    """Shows which status takes how much of what is measured, in allocated bytes."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._parts: list[tuple[Status, int]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Measured size by status")
        self._describe()

    def show_summary(self, summary: Summary) -> None:
        """Shows other sizes."""
        allocated = summary.allocated
        parts = [(status, allocated[status]) for status in STATUS_ORDER if allocated.get(status)]
        if parts == self._parts:
            return
        self._parts = parts
        self._describe()
        self.update()

    def _describe(self) -> None:
        self.setAccessibleDescription(self.words or "nothing measured yet")

    @property
    def words(self) -> str:
        """What the bar says, in words."""
        return ", ".join(f"{STATUS_WORDS[status].lower()} {size_text(size)}" for status, size in self._parts)

    @override
    def sizeHint(self) -> QSize:
        return QSize(200, _HEIGHT)

    @override
    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pill = QPainterPath()
        pill.addRoundedRect(QRectF(self.rect()), _HEIGHT / 2, _HEIGHT / 2)
        painter.setClipPath(pill)
        painter.fillRect(self.rect(), QColor(self._look.colours.hover))
        for status, area in self._areas():
            painter.fillRect(area, QColor(self._look.colours.status(status)))

    def _areas(self) -> list[tuple[Status, QRectF]]:
        """Side by side with a gap of a pixel; even the smallest part can be seen."""
        total = sum(size for _, size in self._parts)
        if not total:
            return []
        widths = [max(_THINNEST, self.width() * size / total) for _, size in self._parts]
        scale = self.width() / sum(widths)
        areas = []
        left = 0.0
        for (status, _), width in zip(self._parts, widths, strict=True):
            areas.append((status, QRectF(left, 0, max(1.0, width * scale - 1), _HEIGHT)))
            left += width * scale
        return areas

    @override
    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), tool_tip(self._tip_at(event.pos().x())), self)
            return True
        return super().event(event)

    def _tip_at(self, x: int) -> str:
        here = next((status for status, area in self._areas() if area.left() <= x < area.right() + 1), None)
        sizes = dict(self._parts)
        lines = [
            f"{'▸ ' if status is here else ''}{STATUS_WORDS[status]}: {size_text(size)}"
            for status, size in sizes.items()
        ]
        return "\n".join(lines) or "Nothing measured yet"
