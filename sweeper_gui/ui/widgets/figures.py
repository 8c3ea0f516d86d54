"""In the status bar, on request: how late the window's event loop is, and how hard the engine drives the volume."""

from PySide6.QtCore import QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QWidget
from typing_extensions import override

from sweeper_gui.core.units import count_text
from sweeper_gui.engine.heartbeat import LAST_MINUTE, Lateness, milliseconds
from sweeper_gui.engine.messages import SweepProgress
from sweeper_gui.ui.controller import Controller
from sweeper_gui.ui.plain_text import PlainLabel, tool_tip

#: Milliseconds between two looks at the figures.
_EVERY = 1_000
_TIP = (
    "How late this window's event loop was in the last minute: in 99 of 100 beats, and at most. A picture on the "
    "screen lasts 16 ms.\nWhile something is removed: operations in flight, how many may be, and how long one takes."
)


class Figures(PlainLabel):
    """Hidden at first, and idle while it is."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__("", parent, name="Muted")
        self._controller = controller
        self._looking = QTimer(self)
        self._looking.setInterval(_EVERY)
        self._looking.timeout.connect(self.look)
        self.setContentsMargins(0, 0, 14, 0)  # what stands beside it is something else
        self.setAccessibleName("Responsiveness")
        self.setToolTip(tool_tip(_TIP))
        self.hide()

    def look(self) -> None:
        """Shows the figures of this moment."""
        self.set_text(figures_words(self._controller.heartbeat.measured(LAST_MINUTE), self._controller.sweep))

    @override
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.look()
        self._looking.start()

    @override
    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._looking.stop()


def figures_words(late: Lateness, sweep: SweepProgress | None) -> str:
    """'late by 2 ms, 14 ms at most', and in a sweep '12 of 16 in flight, 2.9 ms each'."""
    words = f"late by {milliseconds(late.p99)}, {milliseconds(late.max)} at most" if late.beats else "not measured yet"
    if sweep is None or not sweep.limit:
        return words
    words += f"  ·  {count_text(sweep.in_flight)} of {count_text(sweep.limit)} in flight"
    return f"{words}, {sweep.latency * 1000:.1f} ms each" if sweep.latency else words
