"""Text as it may be shown in a widget: never markup, never with characters that can't be seen.

Qt guesses in labels, tool tips and message boxes whether a text is HTML. Names on the volume and titles in the
registry are written by strangers, so nothing in this package leaves that guess to Qt.
"""

from html import escape

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget
from typing_extensions import override

from sweeper_gui.core.names import visible


def shown(text: str) -> str:
    """The text on one line, with hidden and bidirectional characters made visible."""
    return text if text.isprintable() else visible(text)


def shown_lines(text: str) -> str:
    """Like `shown`, but line breaks of our own sentences stay."""
    return "\n".join(shown(line) for line in text.split("\n"))


def tool_tip(text: str) -> str:
    """A tool tip that Qt can only take for what it is: the text, escaped, in a wrapping paragraph."""
    if not text:
        return ""
    return f'<qt><p style="white-space: pre-wrap">{escape(shown_lines(text))}</p></qt>'


class PlainLabel(QLabel):
    """A label that never reads its text as markup."""

    def __init__(self, text: str = "", parent: QWidget | None = None, *, name: str = "", wrap: bool = False) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(wrap)
        if name:
            self.setObjectName(name)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Shows the text; an unchanged one causes no repaint."""
        clean = shown_lines(text)
        if clean != self.text():
            self.setText(clean)


class ElidedLabel(PlainLabel):
    """One line that gives way: what does not fit is cut with an ellipsis, and whole in the tool tip."""

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        name: str = "",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
    ) -> None:
        self._mode = mode
        super().__init__(text, parent, name=name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def set_text(self, text: str) -> None:
        """Shows the text, cut where needed."""
        super().set_text(text)
        self._explain_cut()

    @override
    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().averageCharWidth() * 6, super().minimumSizeHint().height())

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._explain_cut()

    @override
    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.contentsRect(), int(self.alignment() | Qt.TextFlag.TextSingleLine), self._cut())

    def _cut(self) -> str:
        return self.fontMetrics().elidedText(self.text(), self._mode, self.contentsRect().width())

    def _explain_cut(self) -> None:
        self.setToolTip(tool_tip(self.text()) if self._cut() != self.text() else "")
