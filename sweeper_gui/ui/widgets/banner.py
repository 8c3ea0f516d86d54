"""Messages above the table: what is wrong, where, and what to do about it. They stay until they no longer hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from sweeper_gui.ui.plain_text import PlainLabel
from sweeper_gui.ui.theme import Look

Kind = Literal["error", "warning", "info", "good"]

#: More than this many at once would push the table out of a small window; the gravest are shown.
_MOST = 3
_GRAVITY = {"error": 0, "warning": 1, "info": 2, "good": 3}


@dataclass(frozen=True)
class Remedy:
    """Something that can be done about a message."""

    label: str
    act: Callable[[], object]


@dataclass(frozen=True)
class Notice:
    """A message. `hint` says what to do; a lasting one goes only when what it says is over."""

    kind: Kind
    text: str
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()
    lasting: bool = False


class _Banner(QFrame):
    def __init__(self, notice: Notice, look: Look, dismiss: Callable[[], object]) -> None:
        super().__init__()
        self.notice = notice
        self._look = look
        self.setObjectName(f"Banner{notice.kind.title()}")
        self.setAccessibleName(f"{notice.kind}: {notice.text}")
        line = QHBoxLayout(self)
        line.setContentsMargins(10, 5, 6, 5)
        line.setSpacing(8)
        self._sign = QLabel()
        line.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignVCenter)
        line.addLayout(self._words(), 1)
        for remedy in notice.remedies:
            line.addWidget(_button(remedy), 0, Qt.AlignmentFlag.AlignVCenter)
        self._close: QPushButton | None = None
        if not notice.lasting:
            self._close = _close_button(dismiss)
            line.addWidget(self._close, 0, Qt.AlignmentFlag.AlignVCenter)
        self.dress()

    def _words(self) -> QVBoxLayout:
        words = QVBoxLayout()
        words.setSpacing(1)
        words.addWidget(PlainLabel(self.notice.text, name="Strong", wrap=True))
        if self.notice.hint:
            words.addWidget(PlainLabel(self.notice.hint, wrap=True))
        return words

    def dress(self) -> None:
        """Takes the icons' colours from the look."""
        colours = self._look.colours
        colour = {"error": colours.danger, "warning": colours.warning, "info": colours.info, "good": colours.good}
        self._sign.setPixmap(self._look.icon(self.notice.kind, colour[self.notice.kind]).pixmap(QSize(18, 18)))
        if self._close is not None:
            self._close.setIcon(self._look.icon("close", colours.muted))


class BannerArea(QWidget):
    """The messages, each under a key: a new one under the same key takes the old one's place."""

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self._notices: dict[str, Notice] = {}
        self._banners: list[_Banner] = []
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(12, 8, 12, 0)
        self._lines.setSpacing(6)
        self._more = PlainLabel(name="Muted")
        self.hide()
        look.changed.connect(self._dress)

    @property
    def notices(self) -> dict[str, Notice]:
        """What is said now."""
        return dict(self._notices)

    def say(self, key: str, notice: Notice) -> None:
        """Shows a message."""
        if self._notices.get(key) != notice:
            self._notices[key] = notice
            self._lay_out()

    def unsay(self, *keys: str) -> None:
        """Takes messages away."""
        known = [key for key in keys if key in self._notices]
        for key in known:
            del self._notices[key]
        if known:
            self._lay_out()

    def keys(self, prefix: str) -> Sequence[str]:
        """The keys in use that start so."""
        return [key for key in self._notices if key.startswith(prefix)]

    def _lay_out(self) -> None:
        for banner in self._banners:
            self._lines.removeWidget(banner)
            banner.hide()
            banner.deleteLater()
        self._lines.removeWidget(self._more)
        ordered = sorted(self._notices.items(), key=lambda item: _GRAVITY[item[1].kind])
        self._banners = [self._banner(key, notice) for key, notice in ordered[:_MOST]]
        for banner in self._banners:
            self._lines.addWidget(banner)
        self._lines.addWidget(self._more)
        hidden = len(ordered) - len(self._banners)
        self._more.set_text(f"and {hidden} more, shown when these are done with")
        self._more.setVisible(hidden > 0)
        self.setVisible(bool(ordered))

    def _banner(self, key: str, notice: Notice) -> _Banner:
        return _Banner(notice, self._look, lambda: self.unsay(key))

    def _dress(self) -> None:
        for banner in self._banners:
            banner.dress()


def _button(remedy: Remedy) -> QPushButton:
    button = QPushButton(remedy.label)
    button.setAutoDefault(False)
    button.clicked.connect(lambda _checked: remedy.act())
    return button


def _close_button(dismiss: Callable[[], object]) -> QPushButton:
    button = QPushButton()
    button.setObjectName("Flat")
    button.setAutoDefault(False)
    button.setAccessibleName("Dismiss this message")
    button.clicked.connect(lambda _checked: dismiss())
    return button
