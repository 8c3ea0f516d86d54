"""The confirmation of a sweep: the whole list, what would be done with each, and a person's word for exactly that."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QDialog, QPushButton, QTableView, QWidget

from sweeper_gui.core.plan import Plan
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.core.verdict import Doubt
from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.dialogs.plan_model import PlanModel
from sweeper_gui.ui.dialogs.text_table import text_table
from sweeper_gui.ui.plain_text import PlainLabel, tool_tip
from sweeper_gui.ui.plan_choice import all_set_aside, doubtful_removed, kept_back, removable
from sweeper_gui.ui.prompts import Confirmed, SweepQuestion
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.ticket_field import TicketField

#: Said in every confirmation: nobody can see this from here.
UNSEEN = "Programs of other users and on other hosts that use these directories can't be seen from here."

#: Why nobody should remove what there is this doubt about.
_DOUBTS = {
    Doubt.UNEXPLAINED: "that no session is known is no proof that nobody needs it",
    Doubt.UNSAVED_WORK: "unsaved work may exist nowhere else",
}

#: A path that is too long loses its start: the name at its end is what tells it from others.
_WIDTHS = (322, 80, 72, 118, 104, 140)


class ConfirmDialog(BaseDialog):
    """`confirmed` is the answer: None for no, else the plan that was on the screen and its digest.

    The dialog never asks the engine anything and never changes while it is open but by the person's own hand: what is
    confirmed is what was read. The engine checks every candidate again before it touches it.
    """

    def __init__(self, question: SweepQuestion, look: Look, parent: QWidget | None = None) -> None:
        super().__init__("Confirm the sweep", look, parent, sign="broom", colour="accent")
        self.confirmed: Confirmed | None = None
        self._question = question
        self._plan = question.plan
        self._model = PlanModel(question.plan, question, look, self)
        self._table = text_table(self._model, "What would be swept", _WIDTHS, (0, Qt.TextElideMode.ElideLeft))
        self._summary = PlainLabel(name="Strong", wrap=True)
        self._hidden = PlainLabel(hidden_words(question), name="WarningText", wrap=True)
        self._doubts = PlainLabel(name="WarningText", wrap=True)
        self._with_doubtful = QCheckBox()
        self.ticket = TicketField(question.ticket, question.proposal.ticket if question.proposal else "")
        self.save_button = self.add_button("Save as p&lan…", icon=look.icon("export"))
        self.cancel_button = self.add_button("&Cancel")
        self.aside_button = QPushButton()
        self.remove_button = QPushButton()
        self._lay_out()
        self._show_plan()
        self.fit(1160, 640)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus()

    @property
    def plan(self) -> Plan:
        """The plan whose list is on the screen."""
        return self._plan

    def _lay_out(self) -> None:
        question = self._question
        self.body.addWidget(self._summary)
        for words, name in ((proposal_words(question), "Strong"), (two_persons_words(question), "WarningText")):
            if words:
                self.body.addWidget(PlainLabel(words, name=name, wrap=True))
        self.body.addWidget(self._hidden)
        self._hidden.setVisible(bool(self._hidden.text()))
        self.body.addWidget(self._table, 1)
        self.body.addWidget(self._doubts)
        self.body.addWidget(self._with_doubtful)
        self.body.addWidget(PlainLabel(UNSEEN, name="Muted", wrap=True))
        self.body.addWidget(self.ticket)
        self.ticket.edit.setReadOnly(bool(question.proposal and question.proposal.ticket))
        self.ticket.edit.textChanged.connect(self._label_buttons)
        doubtful = len([c for c in question.plan.candidates if c.verdict.doubts])
        self._with_doubtful.setText(f"Also re&move the {count_text(doubtful)} doubtful ones: I have looked at them")
        self._with_doubtful.setVisible(self._may_remove_doubtful)
        self._with_doubtful.toggled.connect(self._choose_doubtful)
        self.buttons.insertStretch(1, 1)
        self.save_button.setToolTip(
            tool_tip("Write this list with its evidence to a file, for somebody else to approve")
        )
        self.save_button.setVisible(question.proposal is None and not question.plan.allow_empty)
        self.save_button.clicked.connect(lambda: self._confirm(self._plan, save=True))
        self.aside_button = self.add_button("Set aside", icon=self.look.icon("set-aside"))
        self.remove_button = self.add_button("Remove now", kind="Danger")
        self.remove_button.setIcon(self.look.icon("trash", self.look.colours.danger_text))
        self.cancel_button.clicked.connect(self.reject)
        self.aside_button.clicked.connect(lambda: self._confirm(all_set_aside(self._plan)))
        self.remove_button.clicked.connect(lambda: self._confirm(self._plan))

    @property
    def _may_remove_doubtful(self) -> bool:
        plan = self._question.plan
        if self._question.proposal is not None:  # what was proposed is swept, or less
            return False
        return plan.explicit and not plan.allow_empty and not self._only_aside and bool(kept_back(plan))

    @property
    def _only_aside(self) -> bool:
        return self._question.set_aside_only

    def _choose_doubtful(self, also: bool) -> None:
        self._plan = doubtful_removed(self._question.plan) if also else self._question.plan
        self._model.show_plan(self._plan)
        self._show_plan()

    def _show_plan(self) -> None:
        span_sections(self._table, self._model)
        self._summary.set_text(summary_words(self._plan, self._question))
        self._doubts.set_text(doubt_words(self._plan) if not self._only_aside else "")
        self._doubts.setVisible(bool(self._doubts.text()))
        self._label_buttons()

    def _label_buttons(self) -> None:
        question = self._question
        chosen = len(self._plan.chosen)
        removed = len(removable(self._plan))
        days = age_text(question.keep_set_aside)
        dry = "Try: " if question.dry_run else ""
        self.aside_button.setText(f"{dry}Set a&side {count_text(chosen)} (undo for {days})")
        self.aside_button.setEnabled(chosen > 0 and self._may_sweep)
        self.save_button.setEnabled(chosen > 0 and (not self.ticket.ticket or not self.ticket.wrong))
        self.aside_button.setToolTip(
            tool_tip("Renamed into the volume's trash. Nothing is deleted, no space is freed.")
        )
        rest = f", set aside {count_text(chosen - removed)}" if chosen > removed else ""
        self.remove_button.setText(f"{dry}&Remove {count_text(removed)} now{rest}")
        self.remove_button.setEnabled(removed > 0 and self._may_sweep)
        self.remove_button.setVisible(not self._only_aside)
        self.remove_button.setToolTip(tool_tip("Deleted for good, after each has been checked once more."))

    @property
    def _may_sweep(self) -> bool:
        return self._question.dry_run or not (self.ticket.wrong or two_persons_words(self._question))

    def _confirm(self, plan: Plan, *, save: bool = False) -> None:
        self.confirmed = Confirmed(plan, plan.digest, self.ticket.ticket, save)
        self.done(QDialog.DialogCode.Accepted)


def summary_words(plan: Plan, question: SweepQuestion) -> str:
    """What is about to happen, in a sentence or two."""
    chosen = plan.chosen
    total = size_text(sum(candidate.usage.allocated for candidate in chosen))
    entries = count_text(sum(candidate.usage.entries for candidate in chosen))
    if not chosen:
        return "Nothing of this can be swept."
    words = f"{_workspaces(len(chosen))}, {total} in {entries} entries"
    left = plan.remaining_orphans - len(chosen)
    if left > 0 and not plan.explicit:
        words += f"; {count_text(left)} more orphans stay for the next sweep"
    if question.dry_run:
        words = f"Dry run, nothing is changed: {words}"
    return f"{words}."


def proposal_words(question: SweepQuestion) -> str:
    """Whose plan it is."""
    proposal = question.proposal
    if proposal is None:
        return ""
    ticket = f", for ticket {proposal.ticket}" if proposal.ticket else ""
    return f"Proposed by {proposal} {age_text(question.now - proposal.at)} ago{ticket}."


def two_persons_words(question: SweepQuestion) -> str:
    """That it may not be swept here, because nobody else has proposed it."""
    if not question.two_persons:
        return ""
    if question.proposal is not None:
        return "You have proposed this plan yourself: here somebody else must sweep it." if question.own else ""
    return "Here only a plan that somebody else has proposed is swept: save this one as a plan."


def hidden_words(question: SweepQuestion) -> str:
    """That the window does not show all of them."""
    number = sum(candidate.name in question.hidden for candidate in question.plan.chosen)
    if not number:
        return ""
    return f"{count_text(number)} of these {'is' if number == 1 else 'are'} hidden by the window's filter."


def doubt_words(plan: Plan) -> str:
    """Why some are only set aside."""
    kept = [c.verdict.doubts for c in plan.chosen if c.treatment is Treatment.SET_ASIDE and c.verdict.doubts]
    if not kept:
        return ""
    why = "; ".join(words for doubt, words in _DOUBTS.items() if any(doubt in doubts for doubts in kept))
    return f"{_workspaces(len(kept))} with doubts {'is' if len(kept) == 1 else 'are'} only set aside: {why}."


def span_sections(table: QTableView, model: PlanModel) -> None:
    """Lets each heading run over the whole line."""
    table.clearSpans()
    for row in model.sections:
        table.setSpan(row, 0, 1, model.columnCount())


def _workspaces(number: int) -> str:
    return f"{count_text(number)} workspace{'' if number == 1 else 's'}"
