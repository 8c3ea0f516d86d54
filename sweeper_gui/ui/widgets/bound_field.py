"""Fields for an age and a size as people write them: '7d', '1.5 GB'."""

from collections.abc import Callable

from PySide6.QtWidgets import QLineEdit, QWidget

from sweeper_gui.core.units import parse_duration, parse_size
from sweeper_gui.ui.plain_text import tool_tip


class BoundField(QLineEdit):
    """An empty field is no bound. What can't be read is marked, explained in the tool tip, and counts as no bound."""

    def __init__(
        self,
        parse: Callable[[str], float],
        name: str,
        placeholder: str,
        tip: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._parse = parse
        self._tip = tip
        self.setAccessibleName(name)
        self.setPlaceholderText(placeholder)
        self.setToolTip(tool_tip(tip))
        self.setMaximumWidth(96)
        self.setMaxLength(16)
        self.textChanged.connect(self._judge)

    @property
    def wrong(self) -> str:
        """Why what was typed can't be read; empty where it can."""
        try:
            if self.text().strip():
                self._parse(self.text())
        except ValueError as error:
            return str(error)
        return ""

    @property
    def filled(self) -> bool:
        """Whether there is something in it that can be read."""
        return bool(self.text().strip()) and not self.wrong

    def _judge(self) -> None:
        wrong = self.wrong
        self.setToolTip(tool_tip(wrong or self._tip))
        self.setAccessibleDescription(wrong)
        if self.property("wrong") != bool(wrong):
            self.setProperty("wrong", bool(wrong))
            self.style().unpolish(self)
            self.style().polish(self)


class AgeField(BoundField):
    """A field for an age."""

    def __init__(self, name: str, placeholder: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parse_duration, name, placeholder, tip, parent)

    @property
    def seconds(self) -> float | None:
        """The age that was typed."""
        return parse_duration(self.text()) if self.filled else None


class SizeField(BoundField):
    """A field for a size."""

    def __init__(self, name: str, placeholder: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parse_size, name, placeholder, tip, parent)

    @property
    def bytes(self) -> int | None:
        """The size that was typed."""
        return parse_size(self.text()) if self.filled else None
