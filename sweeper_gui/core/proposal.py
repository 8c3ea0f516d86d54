"""A plan as a file: one person proposes it, another one looks at it and sweeps exactly that, or less.

The file is evidence, not authority: whoever sweeps it judges every workspace anew, and takes none that is not in it,
has changed, or is judged otherwise than when it was written. Its digest finds an accident, not malice: who may write
the file may write its digest too.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec.structs import replace

from sweeper_gui.core.audit import Proposal, Who, ticket_problem
from sweeper_gui.core.names import stored, unstored, visible
from sweeper_gui.core.plan import Candidate, Order, Plan, Refused
from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import RegistryIdentity, Session
from sweeper_gui.core.units import age_text, count_text
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Doubt, Status
from sweeper_gui.core.workspace import Identity

SCHEMA = 1
#: A plan file is never larger: some hundred thousand workspaces.
MAX_BYTES = 64 << 20
#: By how many seconds another host's clock may be ahead without its plan coming from the future.
_CLOCKS_DIFFER = 60.0

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class PlanProblem(Exception):
    """Why this is no plan that may be swept; `hint` says what to do, `foreign` that it is for something else."""

    def __init__(self, message: str, hint: str = "make the plan again with 'sweeper plan'", *, foreign: bool = False):
        super().__init__(message)
        self.hint = hint
        self.foreign = foreign


class SessionState(msgspec.Struct, frozen=True):
    """What the registry said of a session; `deleted_at` is epoch seconds."""

    deleted: bool
    deleted_at: float | None = None

    @classmethod
    def of(cls, session: Session | None) -> "SessionState | None":
        """From what was read; None where no registry knew the id."""
        return None if session is None else cls(session.deleted, session.deleted_at)


class Proposed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One workspace with the evidence that it was proposed on.

    `in_spite_of` says that a person named it to be removed though the rules would only set it aside. `device` is never
    written: it differs between two mounts of one volume.
    """

    name: str
    id: str
    treatment: Treatment
    reason: str
    doubts: tuple[Doubt, ...]
    inode: Count
    mtime_ns: int
    ctime_ns: int
    allocated: Count
    apparent: Count
    entries: Count
    directories: Count
    newest_change_ns: int
    newest_ctime_ns: int
    measured_at: float
    session: SessionState | None = None
    title: str | None = None
    owner: str | None = None
    in_spite_of: bool = False
    #: the name where it is not UTF-8
    name_bytes: bytes | None = None

    @property
    def raw_name(self) -> bytes:
        """The name as the kernel gave it."""
        return unstored(self.name, self.name_bytes)


class VolumeMark(msgspec.Struct, frozen=True):
    """Which volume a plan is for. `control_inode` is its control directory's, None where it had none yet."""

    root: str
    root_inode: Count
    control_inode: Count | None


class PlanFile(msgspec.Struct, frozen=True):
    """What is in the file. `digest` is over everything else."""

    schema: int
    digest: str
    made_at: datetime
    by: Who
    ticket: str
    version: str
    volume: VolumeMark
    registries: tuple[RegistryIdentity, ...]
    rules: dict[str, str]
    order: Order
    cap: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] | None
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] | None
    explicit: bool
    candidates: tuple[Proposed, ...]

    @property
    def names(self) -> tuple[bytes, ...]:
        """The names of its candidates."""
        return tuple(one.raw_name for one in self.candidates)

    @property
    def proposal(self) -> Proposal:
        """Who proposed it, when, for which ticket."""
        return Proposal(self.by, self.made_at.timestamp(), self.digest, self.ticket)

    def encoded(self) -> bytes:
        """The bytes of the file: the only ones that `decoded` takes for it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


# --- proposing ------------------------------------------------------------------------------------------------------


def plan_file(
    plan: Plan,
    *,
    by: Who,
    at: float,
    ticket: str,
    version: str,
    volume: VolumeMark,
    registries: tuple[RegistryIdentity, ...],
    policy: Policy,
    set_aside_only: bool,
    sessions: Mapping[bytes, Session | None],
) -> PlanFile:
    """The file of a plan that was made at `at`. `set_aside_only` is the setting that keeps everything in the trash.

    Raises `PlanProblem` for a plan that can't be proposed.
    """
    if plan.allow_empty:
        raise PlanProblem("an empty registry is accepted for one run only, and so not in a plan", "sweep them by name")
    made = PlanFile(
        schema=SCHEMA,
        digest="",
        made_at=datetime.fromtimestamp(int(at), UTC),
        by=by,
        ticket=ticket,
        version=version,
        volume=volume,
        registries=registries,
        rules=_rules(policy, set_aside_only),
        order=plan.order,
        cap=plan.cap,
        max_bytes=plan.max_bytes,
        explicit=plan.explicit,
        candidates=tuple(
            _proposed(one, policy, sessions.get(one.name), plan.explicit, set_aside_only) for one in plan.candidates
        ),
    )
    return replace(made, digest=_digest(made))


def _rules(policy: Policy, set_aside_only: bool) -> dict[str, str]:
    """What a reader of the file may want to know of the rules; who sweeps it judges by today's."""
    return {
        "min_age": age_text(policy.min_age),
        "unexplained": policy.unexplained,
        "unsaved_work": policy.unsaved_work,
        "remove": "set-aside" if set_aside_only else "now",
    }


def _proposed(
    candidate: Candidate, policy: Policy, session: Session | None, explicit: bool, set_aside_only: bool
) -> Proposed:
    workspace, usage, identity = candidate.workspace, candidate.usage, candidate.workspace.identity
    if identity is None or workspace.id is None:
        raise PlanProblem(f"{visible(candidate.name)} has not been looked at")
    text, raw = stored(candidate.name)
    allowed = _allowed(candidate, policy, set_aside_only)
    return Proposed(
        name=text,
        name_bytes=raw,
        id=workspace.id,
        treatment=candidate.treatment,
        in_spite_of=explicit and candidate.treatment is Treatment.REMOVE and allowed is Treatment.SET_ASIDE,
        reason=candidate.verdict.reason,
        doubts=candidate.verdict.doubts,
        session=SessionState.of(session),
        title=candidate.title,
        owner=candidate.owner,
        inode=identity.inode,
        mtime_ns=identity.mtime_ns,
        ctime_ns=identity.ctime_ns,
        allocated=usage.allocated,
        apparent=usage.apparent,
        entries=usage.entries,
        directories=usage.directories,
        newest_change_ns=usage.newest_change_ns,
        newest_ctime_ns=usage.newest_ctime_ns,
        measured_at=usage.measured_at,
    )


def _allowed(candidate: Candidate, policy: Policy, set_aside_only: bool) -> Treatment:
    return Treatment.SET_ASIDE if set_aside_only else candidate.verdict.treatment(policy)


def _digest(file: PlanFile) -> str:
    return hashlib.sha256(msgspec.json.encode(replace(file, digest=""))).hexdigest()


# --- reading --------------------------------------------------------------------------------------------------------


class _Schema(msgspec.Struct):
    schema: int


def decoded(data: bytes) -> PlanFile:
    """The plan in these bytes. Raises `PlanProblem` for anything that 'sweeper plan' has not written just so."""
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise PlanProblem(f"its schema is {schema}, and this version knows {SCHEMA}", "use the same version")
        file = msgspec.json.decode(data, type=PlanFile)
        whole = file.encoded() == data
        digest = _digest(file)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError) as error:
        raise PlanProblem(f"it is no plan: {error}") from error
    if not whole:
        raise PlanProblem("it is not as 'sweeper plan' wrote it: something in it has been changed")
    if digest != file.digest:
        raise PlanProblem("its digest does not fit its content: something in it has been changed")
    problem = _contradiction(file)
    if problem:
        raise PlanProblem(problem)
    return file


def _contradiction(file: PlanFile) -> str:
    """What a plan of ours never says; '' where it says no such thing."""
    names = file.names
    if not names:
        return "it proposes nothing"
    if len(set(names)) != len(names):
        return "it proposes a workspace twice"
    bad = next((name for name in names if not _is_name(name)), None)
    if bad is not None:
        return f"'{visible(bad)}' is no name of a workspace"
    spite = next((one for one in file.candidates if one.in_spite_of and not file.explicit), None)
    if spite is not None:
        return f"it removes '{visible(spite.raw_name)}' in spite of the rules, and nobody named it"
    if not all(math.isfinite(one.measured_at) for one in file.candidates):
        return "a time in it is none"
    return ticket_problem(file.ticket)


def _is_name(name: bytes) -> bool:
    parts = name.split(b"/")
    return b"\0" not in name and len(name) <= 4_095 and all(part not in (b"", b".", b"..") for part in parts)


def check(
    file: PlanFile, *, now: float, max_age: float, volume: VolumeMark, registries: Iterable[RegistryIdentity]
) -> None:
    """Raises `PlanProblem` where a plan is too old, or not for this volume and its registry."""
    age = now - file.made_at.timestamp()
    if not age >= -_CLOCKS_DIFFER:
        raise PlanProblem("the plan comes from the future: is a clock wrong?", "look at both hosts' clocks")
    if not age <= max_age:
        raise PlanProblem(f"the plan is {age_text(age)} old, more than plan_max_age ({age_text(max_age)}) allows")
    there, then = volume, file.volume
    if (there.root, there.root_inode) != (then.root, then.root_inode):
        words = f"the plan is for {visible(then.root)}, not for {visible(there.root)}"
        if there.root == then.root:
            words = f"another directory lies at {visible(then.root)} than when the plan was made"
        raise PlanProblem(words, "is the right volume mounted?", foreign=True)
    if then.control_inode is not None and there.control_inode != then.control_inode:
        raise PlanProblem(
            "the volume's control directory is not the one that it had when the plan was made",
            "is the right volume mounted?",
            foreign=True,
        )
    if {_place(one) for one in registries} != {_place(one) for one in file.registries}:
        names = " and ".join(str(registry) for registry in file.registries) or "none"
        raise PlanProblem(f"the plan was made with the registry {visible(names)}", "is it the right one?", foreign=True)


def check_answers(file: PlanFile, read: Iterable[RegistryIdentity]) -> None:
    """Raises `PlanProblem` where behind the same name is another registry than the one that the plan was made with."""
    then = {_place(one): one.answered for one in file.registries}
    for one in read:
        known = then.get(_place(one), "")
        if known and one.answered and known != one.answered:
            raise PlanProblem(
                f"behind {visible(str(one))} is {visible(one.answered)} now; the plan was made with {visible(known)}",
                "does the name lead to a copy?",
                foreign=True,
            )


def _place(registry: RegistryIdentity) -> RegistryIdentity:
    return replace(registry, answered="")


# --- comparing ------------------------------------------------------------------------------------------------------


def as_planned(file: PlanFile, rows: Iterable[Row], policy: Policy, *, set_aside_only: bool) -> Plan:
    """What may be swept of a plan, by rows judged and measured now: its candidates that are what they were.

    All others are refused with the reason. What was to be set aside is never removed, whatever the rules say now.
    """
    by_name = {row.name: row for row in rows}
    candidates: list[Candidate] = []
    refused: list[Refused] = []
    for proposed in file.candidates:
        name = proposed.raw_name
        row = by_name.get(name)
        problem = _changed(proposed, row, policy, set_aside_only)
        if problem or row is None or row.usage is None:
            refused.append(Refused(name, problem))
        else:
            candidates.append(_candidate(proposed, row, row.usage))
    return Plan(
        candidates=tuple(candidates),
        refused=tuple(refused),
        cap=file.cap,
        max_bytes=file.max_bytes,
        order=file.order,
        explicit=file.explicit,
        remaining_orphans=sum(row.status is Status.ORPHAN for row in by_name.values()),
    )


def _candidate(proposed: Proposed, row: Row, usage: Usage) -> Candidate:
    session = row.session
    return Candidate(
        workspace=row.workspace,
        usage=usage,
        verdict=row.verdict,
        treatment=proposed.treatment,
        title=session.title if session else None,
        owner=session.owner if session else None,
    )


def _changed(proposed: Proposed, row: Row | None, policy: Policy, set_aside_only: bool) -> str:
    """Why a workspace is not what was proposed; '' where it is."""
    if row is None:
        return "no such workspace on the volume any more"
    if row.status is not Status.ORPHAN or row.usage is None:
        return f"no orphan any more ({row.status}): {row.verdict.reason}"
    return (
        _another(proposed, row.workspace.identity)
        or ("its id is another one than in the plan" if row.workspace.id != proposed.id else "")
        or _measured_otherwise(proposed, row.usage)
        or _judged_otherwise(proposed, row)
        or _stricter(proposed, row, policy, set_aside_only)
    )


def _another(proposed: Proposed, found: Identity | None) -> str:
    if found is None or found.inode != proposed.inode:
        return "another directory has taken its name since it was proposed"
    if (found.mtime_ns, found.ctime_ns) != (proposed.mtime_ns, proposed.ctime_ns):
        return "it has changed since it was proposed"
    return ""


def _measured_otherwise(proposed: Proposed, usage: Usage) -> str:
    if (usage.newest_change_ns, usage.newest_ctime_ns) != (proposed.newest_change_ns, proposed.newest_ctime_ns):
        return "something in it has changed since it was proposed"
    if (usage.entries, usage.directories) != (proposed.entries, proposed.directories):
        then, now = count_text(proposed.entries), count_text(usage.entries)
        return f"it has changed since it was proposed: {then} entries then, {now} now"
    if (usage.allocated, usage.apparent) != (proposed.allocated, proposed.apparent):
        return "its size has changed since it was proposed"
    return ""


def _judged_otherwise(proposed: Proposed, row: Row) -> str:
    if set(row.verdict.doubts) != set(proposed.doubts):
        return f"its doubts are others than in the plan: {row.verdict.reason}"
    if SessionState.of(row.session) != proposed.session:
        return f"its session is another one than in the plan: {row.verdict.reason}"
    return ""


def _stricter(proposed: Proposed, row: Row, policy: Policy, set_aside_only: bool) -> str:
    allowed = Treatment.SET_ASIDE if set_aside_only else row.verdict.treatment(policy)
    if proposed.treatment is Treatment.REMOVE and allowed is Treatment.SET_ASIDE and not proposed.in_spite_of:
        return "the rules have become stricter: it may only be set aside now"
    return ""


def within(plan: Plan, approved: Plan) -> bool:
    """Whether a plan takes nothing that the approved one does not: at most the same, treated no worse."""
    known = {candidate.name: candidate for candidate in approved.candidates}
    bounds = (plan.cap, plan.max_bytes, plan.allow_empty) == (approved.cap, approved.max_bytes, False)
    return bounds and all(_no_worse(candidate, known.get(candidate.name)) for candidate in plan.candidates)


def _no_worse(candidate: Candidate, approved: Candidate | None) -> bool:
    return approved is not None and candidate in (approved, replace(approved, treatment=Treatment.SET_ASIDE))
