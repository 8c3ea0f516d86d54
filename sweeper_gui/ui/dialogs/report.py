"""How a sweep, restore, purge or resume ended: one line per workspace."""

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QWidget

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Ending, Report
from sweeper_gui.core.units import count_text, size_text
from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.dialogs.text_table import TextModel, TextRow, text_table
from sweeper_gui.ui.plain_text import PlainLabel
from sweeper_gui.ui.prompts import ReportView
from sweeper_gui.ui.report_words import (
    counts,
    headline,
    outcome_reason,
    outcome_words,
    report_text,
    totals,
    whereabouts,
    would_be,
)
from sweeper_gui.ui.table import RESULT_SIGNS
from sweeper_gui.ui.theme import Look

_TITLES = ("Outcome", "Workspace", "Freed", "Entries", "Reason")
_WIDTHS = (150, 300, 90, 90)


class ReportDialog(BaseDialog):
    """`export` tells whether the report is to be written to a file."""

    def __init__(self, view: ReportView, look: Look, parent: QWidget | None = None) -> None:
        report = view.report
        sign, colour = _sign_of(report)
        super().__init__(headline(report, view.doing), look, parent, sign=sign, colour=colour)
        self.export = False
        self._view = view
        self.body.addWidget(PlainLabel(counts(report).capitalize(), name="Strong", wrap=True))
        self.body.addWidget(PlainLabel(totals(report, view.doing), name="Muted", wrap=True))
        for text, name in (
            (report.problem, "DangerText"),
            (whereabouts(report), ""),
            (view.note, "Muted"),
            *((note, "WarningText") for note in report.notes),
        ):
            if text:
                self.body.addWidget(PlainLabel(text, name=name, wrap=True))
        self.model = TextModel(_TITLES, rows_of(report), look, self, right={2, 3})
        self.table = text_table(self.model, "Outcomes", _WIDTHS)
        self.body.addWidget(self.table, 1)
        self._add_buttons()
        self.fit(900, 520)

    def _add_buttons(self) -> None:
        copy = self.add_button("&Copy", icon=self.look.icon("copy"))
        copy.clicked.connect(self._copy)
        export = self.add_button("&Export as CSV…", icon=self.look.icon("export"))
        export.clicked.connect(self._export)
        self.buttons.addStretch(1)
        close = self.add_button("C&lose", kind="Primary")
        close.clicked.connect(self.accept)
        close.setDefault(True)
        close.setFocus()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(report_text(self._view.report, self._view.doing))

    def _export(self) -> None:
        self.export = True
        self.done(QDialog.DialogCode.Accepted)


def rows_of(report: Report) -> list[TextRow]:
    """One line per outcome, problems first, then what was not reached."""
    outcomes = sorted(report.outcomes, key=lambda outcome: not outcome.bad)
    rows = []
    for outcome in outcomes:
        sign, colour = RESULT_SIGNS[would_be(outcome, report) or outcome.result]
        rows.append(
            TextRow(
                (
                    outcome_words(outcome, report),
                    visible(outcome.name),
                    size_text(outcome.bytes_freed) if outcome.bytes_freed else "",
                    count_text(outcome.entries_removed) if outcome.entries_removed else "",
                    outcome_reason(outcome),
                ),
                sign,
                colour,
            )
        )
    rows += [TextRow(("Untouched", visible(name), "", "", ""), "skipped", "muted") for name in report.untouched]
    return rows


def _sign_of(report: Report) -> tuple[str, str]:
    if report.ending is Ending.STOPPED:
        return "error", "danger"
    if any(outcome.bad for outcome in report.outcomes) or report.ending is Ending.CANCELLED:
        return "warning", "warning"
    return ("info", "info") if report.dry_run else ("good", "good")
