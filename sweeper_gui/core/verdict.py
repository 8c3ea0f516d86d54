"""The judgement over one workspace. Only ORPHAN may ever be swept."""

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.policy import Now, Policy, Treatment
from sweeper_gui.core.snapshot import Session, Snapshot
from sweeper_gui.core.units import age_text
from sweeper_gui.core.usage import Usage, change_of
from sweeper_gui.core.workspace import Kind, Workspace

#: By how many seconds the host's clock may have been set back since something was read.
_CLOCK_STEP = 1.0

# Ages are compared as `not age >= limit`: a time that is no number makes every comparison false, and must not pass.


class Status(StrEnum):
    """A workspace's status, in the order in which the rules are tried."""

    FOREIGN = "foreign"
    PROTECTED = "protected"
    UNKNOWN = "unknown"
    LIVE = "live"
    IN_USE = "in-use"
    UNMEASURED = "unmeasured"
    RECENT = "recent"
    ORPHAN = "orphan"


class Doubt(StrEnum):
    """Why an orphan may only be set aside."""

    UNEXPLAINED = "unexplained"
    UNSAVED_WORK = "unsaved-work"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Status, the reason in words a person understands, and for orphans the doubts."""

    status: Status
    reason: str
    doubts: tuple[Doubt, ...] = ()

    @property
    def orphan(self) -> bool:
        """Whether this workspace may be swept at all."""
        return self.status is Status.ORPHAN

    def treatment(self, policy: Policy) -> Treatment:
        """What the policy lets a sweep do with this orphan."""
        allowed = {Doubt.UNEXPLAINED: policy.unexplained, Doubt.UNSAVED_WORK: policy.unsaved_work}
        removable = self.orphan and all(allowed[doubt] is Treatment.REMOVE for doubt in self.doubts)
        return Treatment.REMOVE if removable else Treatment.SET_ASIDE


def judge(
    workspace: Workspace,
    usage: Usage | None,
    snapshot: Snapshot | None,
    policy: Policy,
    now: Now,
    *,
    allow_empty: bool = False,
) -> Verdict:
    """The verdict over one workspace; the first rule that applies wins.

    `snapshot` is None while no registry has been read. `allow_empty` is a person's word, given for this very name
    and this run, that an empty or unmatched registry is right; the orphan it makes is unexplained.
    """
    return (
        _foreign(workspace)
        or _protected(workspace, usage, snapshot, policy)
        or _unknown(workspace, snapshot, policy, now, allow_empty=allow_empty)
        or _by_session(workspace, usage, snapshot, policy, now)
    )


def _foreign(workspace: Workspace) -> Verdict | None:
    reason = None
    if workspace.kind is Kind.SYMLINK:
        reason = "a symbolic link, not a directory"
    elif workspace.kind is not Kind.DIRECTORY:
        reason = "not a directory"
    elif workspace.hidden:
        reason = "a hidden name"
    elif workspace.id is None:
        reason = "the name does not match the id pattern"
    return Verdict(Status.FOREIGN, reason) if reason else None


def _protected(workspace: Workspace, usage: Usage | None, snapshot: Snapshot | None, policy: Policy) -> Verdict | None:
    reason = None
    mounts = workspace.mounts or (usage.mounts if usage else ())
    pattern = policy.protecting_pattern(workspace.name)
    if pattern is not None:
        reason = f"matches the protected pattern '{pattern}'"
    elif workspace.name in policy.pinned:
        reason = "pinned"
    elif mounts:
        at_top = workspace.name in workspace.mounts
        reason = "is a mount point" if at_top else f"contains a mount point: {visible(mounts[0])}"
    elif workspace.other_root is not None:
        reason = f"lies in the root of another volume, {visible(workspace.other_root)}, which is swept by itself"
    elif usage is not None and usage.other_roots:
        inner = visible(usage.other_roots[0])
        reason = f"contains the root of another volume: {inner}" if inner else "is the root of another volume"
    elif workspace.needed_because:
        reason = workspace.needed_because
    elif usage is not None and usage.children_cut:
        reason = "has so many directories that it may hold workspaces itself: is 'depth' right?"
    elif snapshot is not None:
        reason = _wrong_depth(workspace, usage, snapshot, policy)
    return Verdict(Status.PROTECTED, reason) if reason else None


def _wrong_depth(workspace: Workspace, usage: Usage | None, snapshot: Snapshot, policy: Policy) -> str | None:
    """Why the entries listed can't be the workspaces: a live session lies above or directly below this one."""
    above = [part.decode("utf-8", "surrogateescape") for part in workspace.name.split(b"/")[:-1]]
    live = next((name for name in above if _names_live(name, snapshot, policy)), None)
    if live is not None:
        return f"lies inside the live session '{visible(live)}': is 'depth' right?"
    below = usage.child_directories if usage else ()
    live = next((name for name in below if _names_live(name, snapshot, policy)), None)
    if live is not None:
        return f"contains the live session '{visible(live)}': is 'depth' right?"
    return None


def _names_live(name: str, snapshot: Snapshot, policy: Policy) -> bool:
    return any(
        id_ in snapshot.live_ids or snapshot.live_lookalike(id_) is not None for id_ in policy.possible_ids(name)
    )


def _unknown(
    workspace: Workspace, snapshot: Snapshot | None, policy: Policy, now: Now, *, allow_empty: bool
) -> Verdict | None:
    assert workspace.id is not None
    reason = None
    if snapshot is None:
        reason = "the registry has not been read yet"
    elif not snapshot.examined:
        reason = "the registry's answer has not been examined"
    elif snapshot.problems and not (allow_empty and snapshot.only_empty):
        reason = f"the registry can't be trusted: {snapshot.problems[0]}"
    else:
        age = now.host - snapshot.started_at
        if not age >= -_CLOCK_STEP:
            reason = "the registry was read in the future: this host's clock has been set back"
        elif not age <= policy.max_registry_age:
            reason = f"the registry was read {age_text(age)} ago: read it again"
        else:
            twin = snapshot.live_lookalike(workspace.id)
            if twin is not None:
                reason = f"looks like the live session '{visible(twin)}', written differently"
    return Verdict(Status.UNKNOWN, reason) if reason else None


def _by_session(
    workspace: Workspace, usage: Usage | None, snapshot: Snapshot | None, policy: Policy, now: Now
) -> Verdict:
    assert snapshot is not None
    assert workspace.id is not None
    session = snapshot.sessions.get(workspace.id)
    if session is not None and not session.deleted:
        return Verdict(Status.LIVE, _session_words(session, "session is live", now))
    return (
        _in_use(workspace)
        or _unmeasured(workspace, usage, policy, now)
        or _recent(workspace, session, usage, policy, now)
        or _orphan(session, usage, now)
    )


def _in_use(workspace: Workspace) -> Verdict | None:
    return Verdict(Status.IN_USE, workspace.used_by) if workspace.used_by else None


def _unmeasured(workspace: Workspace, usage: Usage | None, policy: Policy, now: Now) -> Verdict | None:
    reason = None
    if usage is None or workspace.identity is None:
        reason = "not measured yet"
    elif not usage.complete or usage.error_count:
        first = usage.errors[0] if usage.errors else "the scan did not finish"
        reason = f"could not be read completely: {first}"
        if usage.error_count > 1:
            reason += f" (and {usage.error_count - 1} more)"
    elif not now.host - usage.measured_at >= -_CLOCK_STEP:
        reason = "measured in the future: this host's clock has been set back; rescan"
    elif not now.host - usage.measured_at <= policy.max_usage_age:
        reason = "measured too long ago: rescan"
    return Verdict(Status.UNMEASURED, reason) if reason else None


def _recent(
    workspace: Workspace, session: Session | None, usage: Usage | None, policy: Policy, now: Now
) -> Verdict | None:
    assert usage is not None
    change, ctime = _newest(workspace, usage, now)
    change_age = now.earlier - change / 1e9
    wait = age_text(policy.min_age)
    reason = None
    if not ctime / 1e9 <= now.earlier:
        reason = "a change time lies in the future: is a clock wrong?"
    elif not change_age >= policy.min_age:
        reason = f"last change {age_text(change_age)} ago, younger than {wait}"
    elif session is not None and session.deleted_at is not None:
        deleted_age = now.earlier - session.deleted_at
        if not session.deleted_at > 0:
            reason = "its session's deletion has no possible time: does the registry mean that it is not deleted?"
        elif not deleted_age >= 0:
            reason = "its session's deletion lies in the future: is a clock wrong?"
        elif not deleted_age >= policy.min_age:
            reason = f"session deleted {age_text(deleted_age)} ago, less than {wait}"
    return Verdict(Status.RECENT, reason) if reason else None


def _newest(workspace: Workspace, usage: Usage, now: Now) -> tuple[int, int]:
    """The newest change and the newest ctime: the top may have been looked at again since the tree was measured."""
    top = workspace.identity
    if top is None:
        return usage.newest_change_ns, usage.newest_ctime_ns
    change = change_of(top.mtime_ns, top.ctime_ns, int(now.earlier * 1e9))
    return max(usage.newest_change_ns, change), max(usage.newest_ctime_ns, top.ctime_ns)


def _orphan(session: Session | None, usage: Usage | None, now: Now) -> Verdict:
    assert usage is not None
    doubts = []
    parts = []  # the doubts first: where there is no room for all, they are what must be seen
    if session is None:
        doubts.append(Doubt.UNEXPLAINED)
        parts.append("no session of this id")
    if usage.unsaved_work:
        doubts.append(Doubt.UNSAVED_WORK)
        parts.append("unsaved work: " + "; ".join(usage.unsaved_work))
    if session is not None:
        parts.append(_session_words(session, "session deleted", now))
    parts.append(f"last change {age_text(now.earlier - usage.newest_change_ns / 1e9)} ago")
    return Verdict(Status.ORPHAN, "; ".join(parts), tuple(doubts))


def _session_words(session: Session, what: str, now: Now) -> str:
    words = what
    if session.deleted and session.deleted_at is not None:
        words += f" {_date_text(session.deleted_at, now.host)}"
    if session.owner:
        words += f", owner {visible(session.owner)}"
    return words


def _date_text(at: float, now: float) -> str:
    day = datetime.fromtimestamp(at, UTC)
    year = "" if day.year == datetime.fromtimestamp(now, UTC).year else f" {day.year}"
    return f"{day.day} {day:%b}{year}"
