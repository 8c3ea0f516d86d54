"""Above the table: status chips, search, bounds, and what to select."""

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget
from typing_extensions import override

from sweeper_gui.core.units import count_text
from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.columns import STATUS_ORDER
from sweeper_gui.ui.plain_text import PlainLabel, tool_tip
from sweeper_gui.ui.row_filter import RowFilter
from sweeper_gui.ui.tally import Summary
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.bound_field import AgeField, SizeField
from sweeper_gui.ui.widgets.chip import StatusChip

#: Milliseconds after the last key before the table follows.
_TYPING = 120
_MARGIN = 12
_CHIP_GAP = 6


class FilterBar(QFrame):
    """Tells which rows are wanted."""

    filter_changed = Signal(object)  # RowFilter
    select_orphans = Signal()
    select_none = Signal()

    def __init__(self, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("Panel")
        self._look = look
        self.chips = {status: StatusChip(status, look) for status in STATUS_ORDER}
        self.search = QLineEdit()
        self.older = AgeField("Older than", "any age", "Only what has not changed for longer than this: 7d, 36h, 2w")
        self.larger = SizeField("Larger than", "any size", "Only what is larger than this: 500 MB, 1.5GB, 2 GiB")
        self.clear_button = QPushButton("Clear &filters")
        self.orphans_button = QPushButton("Select shown &orphans")
        self.none_button = QPushButton("Select &none")
        self._shown = PlainLabel(name="Muted")
        self._search_sign = QAction(self)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(_TYPING)
        self._lay_out()
        self._connect()
        self._dress()

    @property
    def wanted(self) -> RowFilter:
        """The filter that is set here."""
        return RowFilter(
            statuses=frozenset(status for status, chip in self.chips.items() if chip.isChecked()),
            search=self.search.text().strip(),
            older_than=self.older.seconds,
            larger_than=self.larger.bytes,
        )

    def show_summary(self, summary: Summary) -> None:
        """Shows other counts."""
        for status, chip in self.chips.items():
            chip.set_count(summary.counts.get(status, 0))
        self._shown.set_text(
            f"{count_text(summary.shown)} of {count_text(summary.rows)} shown" if self.wanted.active else ""
        )
        self._fit_chips()

    def show_only(self, *statuses: Status) -> None:
        """Switches these chips on and the others off."""
        for status, chip in self.chips.items():
            chip.setChecked(status in statuses)
        self._announce()

    def clear(self) -> None:
        """Shows everything again."""
        for chip in self.chips.values():
            chip.setChecked(False)
        for field in (self.search, self.older, self.larger):
            field.clear()
        self._announce()

    def focus_search(self) -> None:
        """Takes the keyboard to the search field."""
        self.search.setFocus()
        self.search.selectAll()

    def _lay_out(self) -> None:
        chips = QHBoxLayout()
        chips.setSpacing(_CHIP_GAP)
        for chip in self.chips.values():
            chips.addWidget(chip)
        chips.addStretch(1)
        chips.addWidget(self._shown)
        fields = QHBoxLayout()
        fields.setSpacing(8)
        fields.addWidget(self.search, 1)
        for label, field in (("Older &than", self.older), ("&Larger than", self.larger)):
            words = PlainLabel(label, name="Muted")
            words.setBuddy(field)
            fields.addWidget(words)
            fields.addWidget(field)
        fields.addWidget(self.clear_button)
        fields.addSpacing(12)
        fields.addWidget(self.orphans_button)
        fields.addWidget(self.none_button)
        lines = QVBoxLayout(self)
        lines.setContentsMargins(_MARGIN, 8, _MARGIN, 8)
        lines.setSpacing(8)
        lines.addLayout(chips)
        lines.addLayout(fields)

    def _connect(self) -> None:
        for chip in self.chips.values():
            chip.clicked.connect(self._announce)
        for field in (self.search, self.older, self.larger):
            field.textChanged.connect(self._typing.start)
        self._typing.timeout.connect(self._announce)
        self.search.returnPressed.connect(self._announce)
        self.clear_button.clicked.connect(self.clear)
        self.orphans_button.clicked.connect(self.select_orphans)
        self.none_button.clicked.connect(self.select_none)
        self._look.changed.connect(self._dress)
        self.search.setPlaceholderText("Search name, title, owner, reason  (Ctrl+F)")
        self.search.setAccessibleName("Search")
        self.search.setClearButtonEnabled(False)
        self.search.addAction(self._search_sign, QLineEdit.ActionPosition.LeadingPosition)
        self.search.setMinimumWidth(160)
        self.orphans_button.setToolTip(tool_tip("Selects every orphan that the table shows now (Ctrl+A)"))
        self.none_button.setToolTip(tool_tip("Empties the selection, what is hidden too (Ctrl+Shift+A)"))
        self.clear_button.setEnabled(False)

    def _fit_chips(self) -> None:
        """Where there is no room for every word, chips that count nothing lose theirs first, then the last ones."""
        room = self.width() - 2 * _MARGIN - (len(self.chips) - 1) * _CHIP_GAP - self._shown.sizeHint().width()
        chips = list(self.chips.values())
        needed = sum(chip.full_width for chip in chips)
        last_first = list(enumerate(chips))
        last_first.sort(key=lambda item: (item[1].count > 0 or item[1].isChecked(), -item[0]))
        for _, chip in last_first:
            compact = needed > room
            chip.set_compact(compact)
            if compact:
                needed -= chip.full_width - chip.compact_width

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_chips()

    def _announce(self) -> None:
        self._typing.stop()
        self.clear_button.setEnabled(self.wanted.active)
        self.filter_changed.emit(self.wanted)

    def _dress(self) -> None:
        self._search_sign.setIcon(self._look.icon("search", self._look.colours.muted))
        for chip in self.chips.values():
            chip.update()
