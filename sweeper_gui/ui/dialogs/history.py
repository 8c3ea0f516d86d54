"""Past sweeps, as their logs on the volume tell them."""

from datetime import datetime

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QWidget

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Ending, Outcome, PastSweep
from sweeper_gui.core.units import count_text, size_text
from sweeper_gui.engine.messages import History
from sweeper_gui.ui.columns import RESULT_WORDS
from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.dialogs.text_table import TextModel, TextRow, text_table
from sweeper_gui.ui.plain_text import PlainLabel
from sweeper_gui.ui.report_words import outcome_reason
from sweeper_gui.ui.table import RESULT_SIGNS
from sweeper_gui.ui.theme import Look

_TITLES = ("Ending", "Started", "Kind", "By", "Workspaces", "Freed", "Registry")
_WIDTHS = (170, 130, 90, 170, 96, 90)
_OUTCOMES = ("Outcome", "Workspace", "Freed", "Reason")
_OUTCOME_WIDTHS = (150, 280, 90)


class HistoryDialog(BaseDialog):
    """Above the sweeps, the newest first; below what became of each workspace of the marked one."""

    def __init__(self, history: History, look: Look, parent: QWidget | None = None) -> None:
        super().__init__("History", look, parent, sign="history", colour="muted")
        self._sweeps = history.sweeps
        sweeps = TextModel(_TITLES, [_row(sweep) for sweep in self._sweeps], look, self, right={4, 5})
        self._table = text_table(sweeps, "Past sweeps", _WIDTHS)
        self._outcomes = TextModel(_OUTCOMES, (), look, self, right={2})
        self._problem = PlainLabel(name="DangerText", wrap=True)
        if not self._sweeps:
            self.body.addWidget(PlainLabel("No sweep has been run on this volume yet.", name="Strong"))
        both = QSplitter(Qt.Orientation.Vertical)
        both.addWidget(self._table)
        both.addWidget(text_table(self._outcomes, "What became of each workspace", _OUTCOME_WIDTHS))
        self.body.addWidget(both, 1)
        self.body.addWidget(self._problem)
        self._problem.hide()
        self.buttons.addStretch(1)
        close = self.add_button("&Close")
        close.clicked.connect(self.reject)
        self._table.selectionModel().currentRowChanged.connect(lambda index: self._show(index.row()))
        if self._sweeps:
            self._table.selectRow(0)
        self.fit(1000, 600)

    def _show(self, row: int) -> None:
        sweep = self._sweeps[row] if 0 <= row < len(self._sweeps) else None
        self._outcomes.show_rows([outcome_row(outcome) for outcome in sweep.outcomes] if sweep else ())
        self._problem.set_text(sweep.problem if sweep else "")
        self._problem.setVisible(bool(self._problem.text()))


def _row(sweep: PastSweep) -> TextRow:
    words, sign, colour = _ending(sweep)
    return TextRow(
        (
            words,
            datetime.fromtimestamp(sweep.started_at).astimezone().strftime("%Y-%m-%d %H:%M"),
            sweep.kind,
            f"{sweep.by}@{sweep.host}",
            count_text(len(sweep.outcomes)),
            size_text(sum(outcome.bytes_freed for outcome in sweep.outcomes)),
            sweep.registry,
        ),
        sign,
        colour,
    )


def _ending(sweep: PastSweep) -> tuple[str, str, str]:
    if sweep.ending is None:
        return "Did not end", "warning", "warning"
    if sweep.ending is Ending.STOPPED:
        return "Stopped", "error", "danger"
    if sweep.ending is Ending.CANCELLED:
        return "Cancelled", "warning", "warning"
    if any(outcome.bad for outcome in sweep.outcomes):
        return "Done, with problems", "warning", "warning"
    return "Done", "good", "good"


def outcome_row(outcome: Outcome) -> TextRow:
    """One workspace's end as a line."""
    sign, colour = RESULT_SIGNS[outcome.result]
    freed = size_text(outcome.bytes_freed) if outcome.bytes_freed else ""
    return TextRow((RESULT_WORDS[outcome.result], visible(outcome.name), freed, outcome_reason(outcome)), sign, colour)
