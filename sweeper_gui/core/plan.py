"""Which orphans a sweep takes, in which order, and how many."""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.row import Row
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Status, Verdict
from sweeper_gui.core.workspace import Workspace


class Order(StrEnum):
    """Which orphans go first."""

    OLDEST = "oldest"
    LARGEST = "largest"


class Candidate(msgspec.Struct, frozen=True):
    """One orphan with the evidence it was shown with. `treatment` is the most that may be done with it."""

    workspace: Workspace
    usage: Usage
    verdict: Verdict
    treatment: Treatment
    title: str | None = None
    owner: str | None = None

    @property
    def name(self) -> bytes:
        """Its path below the root."""
        return self.workspace.name


class Refused(msgspec.Struct, frozen=True):
    """A name that was asked for and is not planned, and why."""

    name: bytes
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """An ordered list of candidates and a cap.

    At most `cap` of them are swept, in order, counting successes only, and none more once their allocated bytes reach
    `max_bytes`; None means no bound. The candidates beyond the cap are reserves. `allow_empty` carries a person's word
    that an empty registry is right for these names. `remaining_orphans` counts the volume's orphans when the plan was
    made, the planned ones included; those count too that are orphans by all that is known before they are measured.
    """

    candidates: tuple[Candidate, ...]
    refused: tuple[Refused, ...] = ()
    cap: int | None = None
    max_bytes: int | None = None
    order: Order = Order.OLDEST
    explicit: bool = False
    allow_empty: bool = False
    remaining_orphans: int = 0

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        """Those that are swept if nothing is skipped."""
        taken: list[Candidate] = []
        total = 0
        for candidate in self.candidates:
            if self.cap is not None and len(taken) >= self.cap:
                break
            if self.max_bytes is not None and total + candidate.usage.allocated > self.max_bytes:
                continue
            total += candidate.usage.allocated
            taken.append(candidate)
        return tuple(taken)

    def all_set_aside(self) -> "Plan":
        """The plan with nothing removed: everything only goes to the volume's trash."""
        aside = (msgspec.structs.replace(one, treatment=Treatment.SET_ASIDE) for one in self.candidates)
        return msgspec.structs.replace(self, candidates=tuple(aside))

    def oversteps(self, candidate: Candidate, policy: Policy) -> bool:
        """Whether it would remove what it may only set aside. One that `make_plan` made never does; a message may.

        Doubts are passed over by the policy or by a person who gave the name, and never with an empty registry.
        """
        if candidate.treatment is not Treatment.REMOVE:
            return False
        return self.allow_empty or not (self.explicit or candidate.verdict.treatment(policy) is Treatment.REMOVE)

    @property
    def digest(self) -> str:
        """A hash of everything that a confirmation shows: what was confirmed is this and nothing else."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).hexdigest()


class Request(msgspec.Struct, frozen=True):
    """What a person asks to be swept: names, or the next ones.

    With `names` the plan is explicit and uncapped unless `cap` is given. `set_aside` keeps everything in the trash,
    `remove_doubtful` lets named doubtful orphans be removed, `allow_empty` accepts an empty registry for named ones
    and then only sets aside.
    """

    names: tuple[bytes, ...] = ()
    cap: int | None = None
    max_bytes: int | None = None
    order: Order = Order.OLDEST
    set_aside: bool = False
    remove_doubtful: bool = False
    allow_empty: bool = False

    @property
    def explicit(self) -> bool:
        """Whether names were given."""
        return bool(self.names)


def reserves(cap: int) -> int:
    """How many candidates beyond the cap are measured and shown, to step in for skipped ones."""
    return max(2, cap // 5)


def in_order(rows: Iterable[Row], order: Order) -> list[Row]:
    """The rows in sweeping order; the name breaks ties, so that the order never depends on the listing's."""
    if order is Order.LARGEST:
        return sorted(rows, key=lambda row: (-(row.usage.allocated if row.usage else 0), row.name))
    return sorted(rows, key=lambda row: (row.last_change_ns or 0, row.name))


def make_plan(rows: Sequence[Row], request: Request, policy: Policy) -> Plan:
    """The plan for what was asked, from rows that are judged and, where they are to be swept, measured.

    A row that is no orphan is never planned: a named one is refused with its reason.
    """
    orphans = [row for row in rows if row.status is Status.ORPHAN and row.usage is not None]
    refused: list[Refused] = []
    if request.explicit:
        by_name = {row.name: row for row in rows}
        orphans_by_name = {row.name: row for row in orphans}
        wanted = list(dict.fromkeys(request.names))
        refused = [_refusal(name, by_name.get(name)) for name in wanted if name not in orphans_by_name]
        picked = [orphans_by_name[name] for name in wanted if name in orphans_by_name]
    else:
        picked = in_order(orphans, request.order)
    plan = Plan(
        candidates=tuple(_candidate(row, request, policy) for row in picked),
        refused=tuple(refused),
        cap=request.cap,
        max_bytes=request.max_bytes,
        order=request.order,
        explicit=request.explicit,
        allow_empty=request.allow_empty and request.explicit,
        remaining_orphans=len(orphans) + sum(_may_be_orphan(row) for row in rows),
    )
    return plan if request.explicit else _without_most_reserves(plan)


def _may_be_orphan(row: Row) -> bool:
    """Whether only its size and newest change are missing: a capped plan measures no more than it needs."""
    return row.status is Status.UNMEASURED and row.usage is None


def _without_most_reserves(plan: Plan) -> Plan:
    """The plan with its chosen candidates and a few to step in: a confirmation lists no more than can matter."""
    chosen = {candidate.name for candidate in plan.chosen}
    left = reserves(len(chosen))
    kept: list[Candidate] = []
    for candidate in plan.candidates:
        if candidate.name in chosen:
            kept.append(candidate)
        elif left:
            left -= 1
            kept.append(candidate)
    return msgspec.structs.replace(plan, candidates=tuple(kept))


def _refusal(name: bytes, row: Row | None) -> Refused:
    if row is None:
        return Refused(name, "no such workspace on the volume")
    return Refused(name, f"{row.status}: {row.verdict.reason}")


def _candidate(row: Row, request: Request, policy: Policy) -> Candidate:
    assert row.usage is not None
    treatment = row.verdict.treatment(policy)
    if request.explicit and request.remove_doubtful:
        treatment = Treatment.REMOVE
    if request.set_aside or request.allow_empty:
        treatment = Treatment.SET_ASIDE
    session = row.session
    return Candidate(
        workspace=row.workspace,
        usage=row.usage,
        verdict=row.verdict,
        treatment=treatment,
        title=session.title if session else None,
        owner=session.owner if session else None,
    )
