"""The prompts that real people answer: each opens a dialog over the window and awaits it."""

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtWidgets import QDialog, QWidget

from sweeper_gui.core.audit import TicketRule
from sweeper_gui.engine.messages import Diagnosis, History, Trash
from sweeper_gui.ui.dialogs.base import answer_of, open_dialogs
from sweeper_gui.ui.dialogs.confirm import ConfirmDialog
from sweeper_gui.ui.dialogs.doctor import DoctorDialog
from sweeper_gui.ui.dialogs.history import HistoryDialog
from sweeper_gui.ui.dialogs.report import ReportDialog
from sweeper_gui.ui.dialogs.simple import PathDialog, PlanPathDialog, QuestionDialog, QuitDialog, TextDialog
from sweeper_gui.ui.dialogs.trash import TrashDialog
from sweeper_gui.ui.prompts import Confirmed, Question, QuitChoice, ReportView, SweepQuestion, TrashChoice
from sweeper_gui.ui.theme import Look

_YES = QDialog.DialogCode.Accepted


class DialogPrompts:
    """Implements `Prompts` with dialogs."""

    def __init__(self, window: QWidget, look: Look) -> None:
        self._window = window
        self._look = look

    async def confirm_sweep(self, question: SweepQuestion) -> Confirmed | None:
        """See `Prompts`."""
        dialog = ConfirmDialog(question, self._look, self._window)
        return dialog.confirmed if await answer_of(dialog) == _YES else None

    async def ask(self, question: Question) -> bool:
        """See `Prompts`."""
        return await answer_of(QuestionDialog(question, self._look, self._window)) == _YES

    async def show_report(self, view: ReportView) -> bool:
        """See `Prompts`."""
        dialog = ReportDialog(view, self._look, self._window)
        await answer_of(dialog)
        return dialog.export

    async def choose_trash(self, trash: Trash, now: float, rule: TicketRule) -> TrashChoice | None:
        """See `Prompts`."""
        dialog = TrashDialog(trash, now, self._look, self._window, rule=rule)
        return dialog.choice if await answer_of(dialog) == _YES else None

    async def show_history(self, history: History) -> None:
        """See `Prompts`."""
        await answer_of(HistoryDialog(history, self._look, self._window))

    async def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        """See `Prompts`."""
        await answer_of(DoctorDialog(diagnosis, self._look, self._window))

    async def ask_path(self, what: str, proposal: Path) -> Path | None:
        """See `Prompts`."""
        dialog = PathDialog(what, proposal, self._look, self._window)
        return dialog.path if await answer_of(dialog) == _YES else None

    async def ask_plan_path(self, proposal: Path, *, new: bool) -> Path | None:
        """See `Prompts`."""
        dialog = PlanPathDialog(proposal, self._look, self._window, new=new)
        return dialog.path if await answer_of(dialog) == _YES else None

    async def ask_quit(self, doing: str) -> QuitChoice:
        """See `Prompts`."""
        dialog = QuitDialog(doing, self._look, self._window)
        return dialog.choice if await answer_of(dialog) == _YES else QuitChoice.STAY

    async def show_text(self, title: str, text: str, lines: Sequence[str]) -> None:
        """See `Prompts`."""
        await answer_of(TextDialog(title, text, lines, self._look, self._window))

    def dismiss(self) -> None:
        """See `Prompts`."""
        for dialog in open_dialogs(self._window):
            dialog.reject()
