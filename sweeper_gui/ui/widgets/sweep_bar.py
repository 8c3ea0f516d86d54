"""The bottom of the window: what to sweep and how; while a sweep runs, how far it is and the way to stop it."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from typing_extensions import override

from sweeper_gui.core.plan import Order
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.engine.messages import SweepProgress
from sweeper_gui.ui.options import SweepOptions
from sweeper_gui.ui.plain_text import ElidedLabel, PlainLabel, tool_tip
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.bound_field import SizeField
from sweeper_gui.ui.workspace_model import Chosen, Next

IMPACTS = {"gentle": "Gentle", "balanced": "Balanced", "fast": "Fast"}
ORDERS = {Order.OLDEST: "Oldest first", Order.LARGEST: "Largest first"}
_IMPACT_TIP = (
    "How hard the storage is driven: gentle yields to the live sessions on the same volume. "
    "How many operations are in flight at once follows from how long they take."
)


class SweepBar(QStackedWidget):
    """One page for setting a sweep up, one for watching it."""

    sweep_asked = Signal()
    cancel_asked = Signal()
    impact_asked = Signal(object)  # str
    options_changed = Signal(object)  # SweepOptions

    def __init__(self, options: SweepOptions, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._look = look
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.cap = QSpinBox()
        self.max_bytes = SizeField("At most this much", "any size", "Stop taking more once this size is reached: 20GB")
        self.order = QComboBox()
        self.impact = _impact_box()
        self.dry_run = QCheckBox("Dr&y run")
        self.set_aside = QCheckBox("Set asi&de only")
        self.note = ElidedLabel(name="Muted")
        self.sweep_button = QPushButton("Sweep")
        self.title = ElidedLabel(name="Strong")
        self.progress = QProgressBar()
        self.figures = ElidedLabel(name="Muted")
        self.load = PlainLabel(name="Muted")
        self.running_impact = _impact_box()
        self.cancel_button = QPushButton("&Cancel")
        self.addWidget(self._idle_page())
        self.addWidget(self._running_page())
        self._set(options)
        self._connect()
        self._dress()

    @property
    def options(self) -> SweepOptions:
        """What is set here."""
        return SweepOptions(
            cap=self.cap.value(),
            max_bytes=self.max_bytes.bytes,
            order=self.order.currentData(),
            impact=self.impact.currentData(),
            dry_run=self.dry_run.isChecked(),
            set_aside=self.set_aside.isChecked(),
        )

    def show_target(self, chosen: Chosen, following: Next, obstacle: str, *, measuring: bool, filtered: bool) -> None:
        """Says on the button what would be swept. `obstacle` is why nothing can be, now."""
        words = button_words(chosen, following, self.options)
        self.sweep_button.setText(words)
        self.sweep_button.setAccessibleName(words)
        something = bool(chosen.names or following.count or following.possible)
        self.sweep_button.setEnabled(something and not obstacle)
        self.note.set_text(obstacle or note_words(chosen, following, measuring=measuring, filtered=filtered))
        for part in (self.cap, self.max_bytes, self.order):
            part.setEnabled(not chosen.names)

    def show_progress(self, progress: SweepProgress | None, doing: str, *, removing: bool = True) -> None:
        """Shows how far the sweep is; None goes back to setting one up. `doing` is a word such as 'Sweep'.

        Where nothing is to be removed (not `removing`), workspaces are counted, else entries.
        """
        self.setCurrentIndex(0 if progress is None else 1)
        if progress is None:
            self.cancel_button.setEnabled(True)
            self.cancel_button.setText("&Cancel")
            self.progress.setRange(0, 1000)
            return
        if progress.cancelling:
            self.show_cancelling()
        self.title.set_text(title_words(progress, doing, removing=removing))
        part, total = how_far(progress, removing=removing)
        self.progress.setRange(0, 1000 if total else 0)
        if total:
            self.progress.setValue(min(1000, part * 1000 // total))
        self.progress.setAccessibleName("Entries removed" if removing else "Workspaces done")
        self.figures.set_text(figure_words(progress, removing=removing))
        self.load.set_text(load_words(progress.limit, progress.latency) if removing else "")

    def show_preparing(self) -> None:
        """The list for the confirmation is being made, which measures what is not measured yet."""
        self.setCurrentIndex(1)
        self.title.set_text("Looking at the candidates once more…")
        self.figures.set_text("measuring what is not measured yet")
        self.load.set_text("")
        self.progress.setRange(0, 0)
        self.progress.setAccessibleName("Preparing the list")

    def show_cancelling(self) -> None:
        """Cancel was asked for and is on its way."""
        self.cancel_button.setEnabled(False)
        self.cancel_button.setText("Stopping…")

    def _set(self, options: SweepOptions) -> None:
        self.cap.setRange(1, 100_000)
        self.cap.setValue(options.cap)
        self.max_bytes.setText(size_text(options.max_bytes) if options.max_bytes is not None else "")
        for order, words in ORDERS.items():
            self.order.addItem(words, order)
        self.order.setCurrentIndex(self.order.findData(options.order))
        for box in (self.impact, self.running_impact):
            box.setCurrentIndex(box.findData(options.impact))
        self.dry_run.setChecked(options.dry_run)
        self.set_aside.setChecked(options.set_aside)

    def _connect(self) -> None:
        self.sweep_button.clicked.connect(self.sweep_asked)
        self.cancel_button.clicked.connect(self.cancel_asked)
        self.cap.valueChanged.connect(self._announce)
        self.max_bytes.textChanged.connect(self._announce)
        self.order.currentIndexChanged.connect(self._announce)
        self.impact.currentIndexChanged.connect(self._announce)
        self.dry_run.toggled.connect(self._announce)
        self.set_aside.toggled.connect(self._announce)
        self.running_impact.activated.connect(self._change_impact)
        self._look.changed.connect(self._dress)

    def _announce(self) -> None:
        self.running_impact.setCurrentIndex(self.impact.currentIndex())
        self.options_changed.emit(self.options)

    def _change_impact(self) -> None:
        self.impact.setCurrentIndex(self.running_impact.currentIndex())
        self.impact_asked.emit(self.running_impact.currentData())

    def _idle_page(self) -> QWidget:
        page = QFrame()
        page.setObjectName("BottomPanel")
        options = QHBoxLayout()
        options.setSpacing(7)
        self.cap.setFixedWidth(74)
        _add_labelled(options, "Ne&xt", self.cap)
        _add_labelled(options, "at &most", self.max_bytes)
        options.addWidget(self.order)
        options.addSpacing(10)
        _add_labelled(options, "Imp&act", self.impact)
        options.addSpacing(10)
        options.addWidget(self.set_aside)
        options.addWidget(self.dry_run)
        options.addStretch(1)
        self._places = QGridLayout(page)
        self._places.setContentsMargins(12, 9, 12, 9)
        self._places.setHorizontalSpacing(12)
        self._places.setVerticalSpacing(6)
        self._places.setColumnStretch(0, 1)
        self._places.addLayout(options, 0, 0)
        self._places.addWidget(self.note, 1, 0)
        self._places.addWidget(self.sweep_button, 0, 1, 2, 1, Qt.AlignmentFlag.AlignVCenter)
        self._options_line = options
        self._explain()
        return page

    @override
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_button()

    def _place_button(self) -> None:
        """Beside both lines where there is room, else at the end of the second one."""
        narrow = self.width() < self._options_line.minimumSize().width() + self.sweep_button.sizeHint().width() + 60
        self._places.removeItem(self._options_line)
        self._places.removeWidget(self.sweep_button)
        self._places.addLayout(self._options_line, 0, 0, 1, 2 if narrow else 1)
        row, rows = (1, 1) if narrow else (0, 2)
        self._places.addWidget(self.sweep_button, row, 1, rows, 1, Qt.AlignmentFlag.AlignVCenter)

    def _explain(self) -> None:
        self.sweep_button.setObjectName("Primary")
        self.cap.setAccessibleName("How many orphans the next sweep takes")
        self.cap.setToolTip(tool_tip("How many orphans a sweep takes; the rest stays for the next one"))
        self.order.setAccessibleName("Which orphans go first")
        self.impact.setAccessibleName("Impact on the storage")
        self.dry_run.setToolTip(tool_tip("Go through all checks and report what would be done, without doing it"))
        self.set_aside.setToolTip(
            tool_tip("Rename into the volume's trash only: nothing is deleted, everything can be restored")
        )

    def _running_page(self) -> QWidget:
        page = QFrame()
        page.setObjectName("BottomPanel")
        self.progress.setTextVisible(False)
        self.running_impact.setAccessibleName("Impact on the storage, of the running sweep")
        self.cancel_button.setObjectName("Large")
        self.cancel_button.setToolTip(tool_tip("Stop at the next entry; what is done stays done and is reported"))
        left = QVBoxLayout()
        left.setSpacing(5)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.load)
        left.addLayout(top)
        left.addWidget(self.progress)
        left.addWidget(self.figures)
        line = QHBoxLayout(page)
        line.setContentsMargins(12, 9, 12, 9)
        line.setSpacing(12)
        line.addLayout(left, 1)
        _add_labelled(line, "Imp&act", self.running_impact)
        line.addWidget(self.cancel_button)
        return page

    def _dress(self) -> None:
        self.sweep_button.setIcon(self._look.icon("broom", self._look.colours.accent_text))
        self.cancel_button.setIcon(self._look.icon("stop"))


def button_words(chosen: Chosen, following: Next, options: SweepOptions) -> str:
    """What the button does, in so many words."""
    verb = "Set aside" if options.set_aside else "Sweep"
    if options.dry_run:
        verb = "Try to set aside" if options.set_aside else "Try to sweep"
    if chosen.names:
        return f"{verb} {count_text(len(chosen.names))} selected · {size_text(chosen.allocated)}…"
    if not following.count:
        return f"{verb} the next {orphans(options.cap)}…" if following.possible else f"{verb} orphans…"
    return f"{verb} {count_text(following.count)} of {orphans(following.orphans)} · {size_text(following.allocated)}…"


def orphans(number: int) -> str:
    """'1 orphan', '37 orphans'."""
    return f"{count_text(number)} orphan{'' if number == 1 else 's'}"


def note_words(chosen: Chosen, following: Next, *, measuring: bool, filtered: bool) -> str:
    """What one should know before pressing the button."""
    notes = []
    if chosen.names:
        if chosen.hidden:
            notes.append(f"{count_text(chosen.hidden)} of the selected are hidden by the filter")
        if chosen.doubtful:
            notes.append(f"{count_text(chosen.doubtful)} doubtful, set aside only")
    elif filtered and following.count:
        notes.append("The next orphans of the whole volume, whatever the filter; select to choose")
    if chosen.waiting:
        what = "for the registry" if chosen.unknown else "to be measured again"
        notes.append(f"{count_text(chosen.waiting)} more selected, waiting {what}")
    if following.possible and not chosen.names:
        notes.append(f"{count_text(following.possible)} not measured yet may be orphans too")
    elif measuring:
        notes.append("Still measuring")
    if not notes and not following.count:
        notes.append("No orphans: nothing to sweep")
    elif not notes:
        notes.append("You will see and confirm the exact list first")
    return " · ".join(notes)


def how_far(progress: SweepProgress, *, removing: bool) -> tuple[int, int]:
    """How much of how much is done: entries where something is removed, else workspaces."""
    if removing and progress.entries_total:
        return progress.entries_removed, progress.entries_total
    return progress.finished, progress.planned


def title_words(progress: SweepProgress, doing: str, *, removing: bool = True) -> str:
    """'Sweep · 3 of 10 done · removing'."""
    done = f"{doing} · {count_text(progress.finished)} of {count_text(progress.planned)} done"
    if progress.cancelling:
        return f"{done} · stopping"
    told = progress.step and (removing or progress.step != "removing")
    return f"{done} · {progress.step}" if told else done


def figure_words(progress: SweepProgress, *, removing: bool = True) -> str:
    """Entries, rate, time left, freed so far; where nothing is removed, workspaces only."""
    if not removing:
        return f"{count_text(progress.finished)} of {count_text(progress.planned)} workspaces"
    parts = [f"{count_text(progress.entries_removed)} of {count_text(progress.entries_total)} entries"]
    if progress.rate >= 1:
        parts.append(f"{count_text(round(progress.rate))}/s")
    if progress.seconds_left is not None and not progress.cancelling:
        parts.append(f"{age_text(progress.seconds_left)} left")
    parts.append(f"{size_text(progress.bytes_freed)} freed")
    return " · ".join(parts)


def load_words(limit: int, latency: float) -> str:
    """How hard the volume is driven, and what that is decided by: 'up to 14 at once, 2.9 ms each'; empty without."""
    if not limit:
        return ""
    at_once = f"up to {count_text(limit)} at once"
    return f"{at_once}, {latency * 1000:.1f} ms each" if latency else at_once


def _impact_box() -> QComboBox:
    box = QComboBox()
    for impact, words in IMPACTS.items():
        box.addItem(words, impact)
    box.setToolTip(tool_tip(_IMPACT_TIP))
    return box


def _add_labelled(line: QHBoxLayout, words: str, field: QWidget) -> None:
    label = PlainLabel(words, name="Muted")
    label.setBuddy(field)
    line.addWidget(label)
    line.addWidget(field)
