"""Past sweeps, as their logs on the volume tell them."""

from datetime import datetime

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QWidget

from sweeper_gui.core.audit import PastEvidence, PastSweep, PastWorkspace
from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.units import count_text, size_text
from sweeper_gui.engine.messages import History
from sweeper_gui.ui.columns import RESULT_WORDS
from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.dialogs.text_table import TextModel, TextRow, text_table
from sweeper_gui.ui.plain_text import PlainLabel
from sweeper_gui.ui.report_words import outcome_reason
from sweeper_gui.ui.table import RESULT_SIGNS
from sweeper_gui.ui.theme import Look

_TITLES = ("Ending", "Started", "Kind", "By", "Ticket", "Workspaces", "Freed", "Registry")
_WIDTHS = (176, 126, 76, 210, 100, 96, 86)
_OUTCOMES = ("Outcome", "Workspace", "Freed", "Reason", "Size then", "Last change then", "Registry read", "Evidence")
_OUTCOME_WIDTHS = (120, 190, 76, 180, 84, 126, 126)


class HistoryDialog(BaseDialog):
    """Above the sweeps, the newest first; below what became of each workspace of the marked one, on which evidence."""

    def __init__(self, history: History, look: Look, parent: QWidget | None = None) -> None:
        super().__init__("History", look, parent, sign="history", colour="muted")
        self._sweeps = history.sweeps
        sweeps = TextModel(_TITLES, [_row(sweep) for sweep in self._sweeps], look, self, right={5, 6})
        self._table = text_table(sweeps, "Past sweeps", _WIDTHS)
        self._outcomes = TextModel(_OUTCOMES, (), look, self, right={2, 4})
        self._facts = PlainLabel(name="Muted", wrap=True)
        self._problem = PlainLabel(name="DangerText", wrap=True)
        if history.problem:
            problem = f"Only what this host's own logs tell: {history.problem}"
            self.body.addWidget(PlainLabel(problem, name="DangerText", wrap=True))
        if not self._sweeps and not history.problem:
            self.body.addWidget(PlainLabel("No sweep has been run on this volume yet.", name="Strong"))
        both = QSplitter(Qt.Orientation.Vertical)
        both.addWidget(self._table)
        both.addWidget(text_table(self._outcomes, "What became of each workspace, on which evidence", _OUTCOME_WIDTHS))
        self.body.addWidget(both, 1)
        self.body.addWidget(self._facts)
        self.body.addWidget(self._problem)
        self._facts.hide()
        self._problem.hide()
        if history.more:
            self.body.addWidget(PlainLabel("There are older ones: 'sweeper history' shows them all.", name="Muted"))
        self.buttons.addStretch(1)
        close = self.add_button("&Close")
        close.clicked.connect(self.reject)
        self._table.selectionModel().currentRowChanged.connect(lambda index: self._show(index.row()))
        if self._sweeps:
            self._table.selectRow(0)
        self.fit(1160, 640)

    def _show(self, row: int) -> None:
        sweep = self._sweeps[row] if 0 <= row < len(self._sweeps) else None
        self._outcomes.show_rows([workspace_row(workspace) for workspace in sweep.workspaces] if sweep else ())
        self._say(self._facts, facts_words(sweep) if sweep else "")
        self._say(self._problem, "; ".join((sweep.problem, *sweep.notes)).strip("; ") if sweep else "")

    @staticmethod
    def _say(label: PlainLabel, text: str) -> None:
        label.set_text(text)
        label.setVisible(bool(text))


def _row(sweep: PastSweep) -> TextRow:
    words, sign, colour = _ending(sweep)
    return TextRow(
        (
            words,
            _time(sweep.started_at) if sweep.who else "",
            sweep.kind,
            sweep.by,
            sweep.ticket,
            count_text(len(sweep.workspaces)),
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


def facts_words(sweep: PastSweep) -> str:
    """What the log tells of the run itself, in a line or two."""
    parts = [f"Sweep {visible(sweep.sweep_id)}"]
    if sweep.proposal:
        parts.append(f"proposed by {sweep.proposal} at {_time(sweep.proposal.at)}")
    if sweep.who:
        parts.append(f"process {sweep.who.pid}, Sweeper {sweep.version}, root {sweep.root}")
    options = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sweep.options.items() if value)
    if options:
        parts.append(f"options: {options}")
    if abs(sweep.clock_skew) >= 1:
        parts.append(f"the volume's clock was {sweep.clock_skew:+.0f} s from this host's")
    return " · ".join(parts)


def workspace_row(workspace: PastWorkspace) -> TextRow:
    """One workspace's end and its evidence as a line."""
    outcome, evidence = workspace.outcome, workspace.evidence or PastEvidence(workspace.name, 0)
    sign, colour = RESULT_SIGNS[outcome.result] if outcome else ("warning", "warning")
    freed = size_text(outcome.bytes_freed) if outcome and outcome.bytes_freed else ""
    return TextRow(
        (
            RESULT_WORDS[outcome.result] if outcome else "Did not end",
            visible(workspace.name),
            freed,
            outcome_reason(outcome) if outcome else "",
            size_text(evidence.allocated) if evidence.allocated is not None else "",
            _time(evidence.newest_change),
            _time(evidence.registry_read_at),
            _evidence_words(evidence),
        ),
        sign,
        colour,
    )


def _evidence_words(evidence: PastEvidence) -> str:
    parts = [evidence.reason]
    if evidence.doubts:
        parts.append(f"doubts: {', '.join(evidence.doubts)}")
    if evidence.confirmed_read_at is not None:
        parts.append(f"confirmed by a registry read at {_time(evidence.confirmed_read_at)}")
    if evidence.source:
        parts.append(f"set aside by sweep {evidence.source}")
    return "; ".join(part for part in parts if part)


def _time(at: float | None) -> str:
    """The local time; empty for none, and for one that no calendar has."""
    try:
        return "" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""
