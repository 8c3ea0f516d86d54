"""What all dialogs share."""

import asyncio
from collections.abc import Iterator

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from sweeper_gui.ui.plain_text import PlainLabel, shown
from sweeper_gui.ui.theme import Look

#: Smaller than this a list can't be read.
_SMALLEST = QSize(680, 420)


class BaseDialog(QDialog):
    """A title in large letters, a text, the content, and a row of buttons; Esc always means no."""

    def __init__(
        self, title: str, look: Look, parent: QWidget | None, *, sign: str = "", colour: str = "muted"
    ) -> None:
        super().__init__(parent)
        self.look = look
        self.setWindowTitle(f"Sweeper: {shown(title.lower())}")
        self.setModal(True)
        self.title = PlainLabel(title, name="DialogTitle")
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(8)
        lines = QVBoxLayout(self)
        lines.setContentsMargins(18, 16, 18, 14)
        lines.setSpacing(12)
        lines.addLayout(self._head(sign, colour))
        lines.addLayout(self.body, 1)
        lines.addLayout(self.buttons)

    def _head(self, sign: str, colour: str) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(10)
        if sign:
            picture = QLabel()
            icon = self.look.icon(sign, str(getattr(self.look.colours, colour)))
            picture.setPixmap(icon.pixmap(QSize(24, 24)))
            head.addWidget(picture, 0, Qt.AlignmentFlag.AlignVCenter)
        head.addWidget(self.title, 1)
        return head

    def add_button(self, text: str, *, icon: QIcon | None = None, kind: str = "Large") -> QPushButton:
        """A button at the end of the row; `kind` is its name in the style sheet. Enter presses the focused one."""
        button = QPushButton(text)
        button.setObjectName(kind)
        button.setAutoDefault(True)
        if icon is not None:
            button.setIcon(icon)
        self.buttons.addWidget(button)
        return button

    def fit(self, width: int, height: int) -> None:
        """The wanted size, or less where the window below or the screen is smaller."""
        screen = self.screen().availableGeometry()
        room = QSize(screen.width() - 40, screen.height() - 60)
        parent = self.parentWidget()
        if parent is not None and parent.isVisible():
            below = parent.window().size() - QSize(32, 24)
            room = room.boundedTo(below.expandedTo(_SMALLEST))
        self.resize(QSize(width, height).boundedTo(room))


async def answer_of(dialog: QDialog) -> int:
    """Opens the dialog and waits for its end, without a nested event loop. The dialog is deleted afterwards."""
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def settle(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    dialog.finished.connect(settle)
    dialog.open()
    try:
        return await ended
    finally:
        dialog.hide()
        dialog.deleteLater()


def open_dialogs(window: QWidget) -> Iterator[QDialog]:
    """The dialogs of a window that are open."""
    return (dialog for dialog in window.findChildren(QDialog) if dialog.isVisible())
