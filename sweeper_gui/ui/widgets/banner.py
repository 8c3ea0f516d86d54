"""Messages above the table: what is wrong, where, and what to do about it. They stay until they no longer hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from sweeper_gui.ui.plain_text import PlainLabel, shown_lines
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
        line = QHBoxLayout(self)
        line.setContentsMargins(10, 5, 6, 5)
        line.setSpacing(8)
        self._sign = QLabel()
        line.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignVCenter)
        self._text = PlainLabel(name="Strong", wrap=True)
        self._hint = PlainLabel(wrap=True)
        line.addLayout(self._words(), 1)
        self.buttons = [self._remedy_button(number) for number in range(len(notice.remedies))]
        self._close = None if notice.lasting else _close_button(dismiss)
        if self._close is not None:
            self.buttons.append(self._close)
        for button in self.buttons:
            line.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.take(notice)
        self.dress()

    def fits(self, notice: Notice) -> bool:
        """Whether only the words differ: then the widget stays, and with it the focus and a click under way."""
        return _shape(notice) == _shape(self.notice)

    def take(self, notice: Notice) -> None:
        """Says something else, in other words only."""
        self.notice = notice
        self.setAccessibleName(f"{notice.kind}: {shown_lines(notice.text)}")
        self._text.set_text(notice.text)
        self._hint.set_text(notice.hint)
        self._hint.setVisible(bool(notice.hint))

    def _words(self) -> QVBoxLayout:
        words = QVBoxLayout()
        words.setSpacing(1)
        words.addWidget(self._text)
        words.addWidget(self._hint)
        return words

    def _remedy_button(self, number: int) -> QPushButton:
        button = QPushButton(self.notice.remedies[number].label)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _checked: self.notice.remedies[number].act())
        return button

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
        self._banners: dict[str, _Banner] = {}
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(12, 8, 12, 0)
        self._lines.setSpacing(6)
        self._more = PlainLabel(name="Muted")
        self._lines.addWidget(self._more)
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
        ordered = sorted(self._notices.items(), key=lambda item: _GRAVITY[item[1].kind])
        wanted = dict(ordered[:_MOST])
        for key in [key for key, banner in self._banners.items() if key not in wanted or not banner.fits(wanted[key])]:
            self._drop(self._banners.pop(key))
        for place, (key, notice) in enumerate(wanted.items()):
            self._place(place, self._banner(key, notice))
        self._order_tabs([self._banners[key] for key in wanted])
        hidden = len(ordered) - len(wanted)
        self._more.set_text(f"and {hidden} more, shown when these are done with")
        self._more.setVisible(hidden > 0)
        self.setVisible(bool(ordered))

    def _banner(self, key: str, notice: Notice) -> _Banner:
        banner = self._banners.get(key)
        if banner is None:
            banner = self._banners[key] = _Banner(notice, self._look, lambda: self.unsay(key))
        else:
            banner.take(notice)
        return banner

    def _place(self, place: int, banner: _Banner) -> None:
        item = self._lines.itemAt(place)
        if item is None or item.widget() is not banner:
            self._lines.removeWidget(banner)
            self._lines.insertWidget(place, banner)

    def _drop(self, banner: _Banner) -> None:
        self._lines.removeWidget(banner)
        banner.hide()
        banner.deleteLater()

    def _order_tabs(self, banners: Sequence[_Banner]) -> None:
        """From top to bottom, after what stands before this area in the window: new widgets come last by themselves."""
        before = self._reached_before()
        for button in (button for banner in banners for button in banner.buttons):
            if before is not None:
                QWidget.setTabOrder(before, button)
            before = button

    def _reached_before(self) -> QWidget | None:
        # Qt takes no place from a widget that the keyboard does not reach, such as this one.
        widget = self.previousInFocusChain()
        while widget is not None and widget is not self:
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not self.isAncestorOf(widget):
                return widget
            widget = widget.previousInFocusChain()
        return None

    def _dress(self) -> None:
        for banner in self._banners.values():
            banner.dress()


def _shape(notice: Notice) -> tuple[Kind, bool, tuple[str, ...]]:
    return notice.kind, notice.lasting, tuple(remedy.label for remedy in notice.remedies)


def _close_button(dismiss: Callable[[], object]) -> QPushButton:
    button = QPushButton()
    button.setObjectName("Flat")
    button.setAutoDefault(False)
    button.setAccessibleName("Dismiss this message")
    button.clicked.connect(lambda _checked: dismiss())
    return button
