"""Who removed what, when, on whose proposal and on which evidence: what the logs tell an auditor."""

import re

import msgspec

from sweeper_gui.core.names import legible
from sweeper_gui.core.outcome import Ending, Outcome

#: A ticket is a reference, not a story: at most so many characters.
MAX_TICKET = 200


class Who(msgspec.Struct, frozen=True):
    """Who runs this: the login, the user behind sudo, the host and the process.

    `audit_user` is who logged in to the host, as the kernel keeps it: no variable and no sudo changes that. It is
    empty where the kernel knows nobody, as in a service or a container.
    """

    login: str
    host: str
    pid: int
    sudo_user: str = ""
    audit_user: str = ""

    @property
    def person(self) -> str:
        """Whom to ask: the one who logged in, else the user behind sudo, else the login."""
        return self.audit_user or self.sudo_user or self.login

    @property
    def vouched(self) -> str:
        """Who it is, as far as only root could have said otherwise: sudo's variable counts where root has it."""
        return self.audit_user or (self.sudo_user if self.login == "root" else "") or self.login

    def __str__(self) -> str:
        return f"{self.person} (as {self.login})" if self.person != self.login else self.login


class Proposal(msgspec.Struct, frozen=True):
    """Where a plan came from that one person proposed and another one swept; `at` is epoch seconds."""

    by: Who
    at: float
    digest: str
    ticket: str = ""

    def __str__(self) -> str:
        return f"{self.by}@{self.by.host}"


class TicketRule(msgspec.Struct, frozen=True):
    """What a ticket reference must be before anything is changed; the pattern must match the whole of it."""

    pattern: str = ""
    required: bool = False

    def problem(self, ticket: str) -> str:
        """Why nothing may be changed with this ticket reference; '' where it may."""
        return ticket_problem(ticket, pattern=self.pattern, required=self.required)


class Mandate(msgspec.Struct, frozen=True):
    """On whose word a run is made: a ticket reference, and the proposal that its plan came from."""

    ticket: str = ""
    proposal: Proposal | None = None


NO_MANDATE = Mandate()
#: Any ticket reference will do, and none.
NO_RULE = TicketRule()


def ticket_problem(ticket: str, *, pattern: str = "", required: bool = False) -> str:
    """Why this can't be a ticket reference; '' where it can. `pattern` must match the whole of it, if given."""
    if not ticket:
        return "a ticket reference is required" if required else ""
    if len(ticket) > MAX_TICKET:
        return f"the ticket reference has more than {MAX_TICKET} characters"
    if legible(ticket) != ticket or ticket != ticket.strip():
        return "the ticket reference must be one line of visible characters"
    if pattern and not re.fullmatch(pattern, ticket):
        return f"the ticket reference '{ticket}' does not match the pattern {pattern}"
    return ""


class PastEvidence(msgspec.Struct, frozen=True):
    """On which evidence a workspace was taken, and when each step was. Times are epoch seconds, sizes bytes.

    `source` is the sweep that set it aside, where that is another one: its log holds the evidence. None of a time
    means that the log tells no such step; all facts are empty where that other log is not to be had.
    """

    name: bytes
    number: int
    source: str = ""
    id: str = ""
    reason: str = ""
    doubts: tuple[str, ...] = ()
    #: the most that was to be done with it: remove or set-aside
    treatment: str = ""
    allocated: int | None = None
    entries: int | None = None
    newest_change: float | None = None
    inode: int | None = None
    #: when the registry read began that it was judged by before it was touched
    registry_read_at: float | None = None
    #: when it had been renamed into the trash
    set_aside_at: float | None = None
    #: when the registry read began that confirmed it after the rename
    confirmed_read_at: float | None = None
    removal_at: float | None = None
    restored_at: float | None = None


class PastWorkspace(msgspec.Struct, frozen=True):
    """What a run did with one workspace: how it ended, and on which evidence; None of either where no record tells."""

    name: bytes
    outcome: Outcome | None
    evidence: PastEvidence | None


class PastSweep(msgspec.Struct, frozen=True):
    """One run as its log tells it; `kind` is sweep, restore, purge, resume or bind.

    `who` is None where not even the first record can be read. `ended_at` is None where the log does not say that it
    ended. `clock_skew` is by how many seconds the volume's clock was ahead of the host's.
    """

    sweep_id: str
    started_at: float
    who: Who | None
    kind: str
    registry: str
    outcomes: tuple[Outcome, ...]
    evidence: tuple[PastEvidence, ...] = ()
    ended_at: float | None = None
    ending: Ending | None = None
    #: why it was stopped, or what is wrong with its log
    problem: str = ""
    notes: tuple[str, ...] = ()
    root: str = ""
    version: str = ""
    options: dict[str, str] = {}
    clock_skew: float = 0.0
    ticket: str = ""
    proposal: Proposal | None = None

    @property
    def by(self) -> str:
        """Who and on which host; '' where nobody can tell."""
        return f"{self.who}@{self.who.host}" if self.who else ""

    @property
    def workspaces(self) -> tuple["PastWorkspace", ...]:
        """Each workspace once with its end and its evidence: in the order of their ends, then those without one."""
        evidence: dict[bytes, list[PastEvidence]] = {}
        for one in self.evidence:
            evidence.setdefault(one.name, []).append(one)
        told = []
        for outcome in self.outcomes:
            known = evidence.get(outcome.name)
            told.append(PastWorkspace(outcome.name, outcome, known.pop(0) if known else None))
        left = [PastWorkspace(name, None, one) for name, several in evidence.items() for one in several]
        return (*told, *left)

    def of_names(self, names: frozenset[bytes]) -> "PastSweep":
        """What it did to these workspaces alone."""
        return msgspec.structs.replace(
            self,
            outcomes=tuple(outcome for outcome in self.outcomes if outcome.name in names),
            evidence=tuple(evidence for evidence in self.evidence if evidence.name in names),
        )


class HistoryFilter(msgspec.Struct, frozen=True):
    """Which past runs are asked for; what is empty does not matter. `since` is epoch seconds.

    With `names` only what was done to these is told. `sweep_id` is one id or its beginning.
    """

    names: tuple[bytes, ...] = ()
    since: float | None = None
    ticket: str = ""
    sweep_id: str = ""

    def of(self, past: PastSweep) -> PastSweep | None:
        """The part of a run that is asked for; None where nothing of it is.

        A run whose log tells no time is never too old: what can't be read is not to be overlooked.
        """
        known = past.who is not None
        if self.since is not None and known and past.started_at < self.since:
            return None
        if self.ticket and past.ticket != self.ticket:
            return None
        if not self.names:
            return past
        part = past.of_names(frozenset(self.names))
        return part if part.outcomes or part.evidence else None
