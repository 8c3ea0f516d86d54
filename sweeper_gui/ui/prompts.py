"""What the window may ask a person. Behind this façade are dialogs; tests put answers there."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from sweeper_gui.core.audit import NO_RULE, Proposal, TicketRule
from sweeper_gui.core.outcome import Report, TrashItem
from sweeper_gui.core.plan import Plan
from sweeper_gui.engine.messages import Diagnosis, History, Trash


@dataclass(frozen=True)
class SweepQuestion:
    """A plan to be confirmed, with what its reader should know. `now` is epoch seconds, `keep_set_aside` seconds."""

    plan: Plan
    root: str
    now: float
    keep_set_aside: float
    set_aside_only: bool = False
    dry_run: bool = False
    hidden: frozenset[bytes] = frozenset()
    ticket: TicketRule = NO_RULE
    #: whose plan it is, where it came from a file
    proposal: Proposal | None = None
    #: whether only a plan that somebody else has proposed is swept, and whether this is one's own
    two_persons: bool = False
    own: bool = False


@dataclass(frozen=True)
class Confirmed:
    """A person's word for exactly this plan; `digest` was taken from it when its list was shown.

    With `save` the word is that it be written to a file, and not swept.
    """

    plan: Plan
    digest: str
    ticket: str = ""
    save: bool = False


@dataclass(frozen=True)
class Question:
    """A question with one way to say yes. `lines` are listed one by one; they may come from the volume."""

    title: str
    text: str
    yes: str
    lines: tuple[str, ...] = ()
    no: str = "Cancel"
    danger: bool = False


@dataclass(frozen=True)
class ReportView:
    """A report with what led to it. `doing` names the job: 'Sweep', 'Restore', 'Purge', 'Resume'."""

    report: Report
    doing: str
    note: str = ""


class TrashAct(Enum):
    """What to do with things in the trash."""

    RESTORE = "restore"
    PURGE = "purge"
    RESUME = "resume"


@dataclass(frozen=True)
class TrashChoice:
    """What a person wants done. With `RESUME` the items are those that are unfinished."""

    act: TrashAct
    items: tuple[TrashItem, ...]
    ticket: str = ""


class QuitChoice(Enum):
    """What to do with a running sweep when the window is closed."""

    STAY = "stay"
    STOP = "stop"


class Prompts(Protocol):
    """Every method returns when the person has answered; None and False mean no."""

    async def confirm_sweep(self, question: SweepQuestion) -> Confirmed | None:
        """Shows the whole list and asks for a person's word."""
        ...

    async def ask(self, question: Question) -> bool:
        """Asks yes or no."""
        ...

    async def show_report(self, view: ReportView) -> bool:
        """Shows how it ended; whether it is to be exported."""
        ...

    async def choose_trash(self, trash: Trash, now: float, rule: TicketRule) -> TrashChoice | None:
        """Shows the trash, and asks what to do with which of it."""
        ...

    async def show_history(self, history: History) -> None:
        """Shows past sweeps."""
        ...

    async def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        """Shows the checks of the whole set-up."""
        ...

    async def ask_path(self, what: str, proposal: Path) -> Path | None:
        """Asks for the path of a file to be written."""
        ...

    async def ask_plan_path(self, proposal: Path, *, new: bool) -> Path | None:
        """Asks for the path of a plan file: of a new one, or of one to be swept. The engine does what is done there."""
        ...

    async def ask_quit(self, doing: str) -> QuitChoice:
        """The window is being closed in the middle of a sweep."""
        ...

    async def show_text(self, title: str, text: str, lines: Sequence[str]) -> None:
        """Shows a text with lines."""
        ...

    def dismiss(self) -> None:
        """Closes whatever is open: the program ends."""
        ...
