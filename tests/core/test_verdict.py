"""The judgement over one workspace, against the table in DESIGN.md: row by row, in its order, and in general."""

from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from sweeper_gui.core.policy import Now, Policy, Treatment
from sweeper_gui.core.snapshot import RegistryIdentity, RegistryRead, Session, Snapshot, examine
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Doubt, Status, Verdict, judge
from sweeper_gui.core.workspace import Identity, Kind, Workspace

NOW = 1_790_000_000.0
DAY = 86_400.0
OLD_NS = int((NOW - 30 * DAY) * 1e9)
ID = "6f1c9a52"


def seconds_ns(seconds: float) -> int:
    return int(seconds * 1e9)


def snapshot_of(*sessions: Session, directories: tuple[str, ...] = (ID, "alive"), **facts: object) -> Snapshot:
    """An examined snapshot, read 10 s ago, trusted unless its sessions say otherwise."""
    read = RegistryRead(
        identity=RegistryIdentity("sql", database="collab"),
        shown="sqlite:////srv/collab.db",
        started_at=NOW - 10,
        finished_at=NOW - 9,
        sessions=sessions,
    )
    return examine(Snapshot((changed(read, **facts),)), directories)


ALIVE = Session("alive")
DELETED = Session(ID, deleted=True, owner="octocat", deleted_at=NOW - 20 * DAY)


WORKSPACE = Workspace(ID.encode(), Kind.DIRECTORY, id=ID, identity=Identity(1, 2, OLD_NS, OLD_NS))
USAGE = Usage(4096, 100, 12, 3, OLD_NS, OLD_NS, measured_at=NOW - 60)
TRUSTED = snapshot_of(ALIVE, DELETED)
POLICY = Policy()
CLOCK = Now(NOW)


@dataclass(frozen=True)
class Case:
    """Everything that `judge` is told. Unchanged it is an orphan without doubts."""

    workspace: Workspace = WORKSPACE
    usage: Usage | None = USAGE
    snapshot: Snapshot | None = TRUSTED
    policy: Policy = POLICY
    now: Now = CLOCK
    allow_empty: bool = False

    def judged(self) -> Verdict:
        return judge(self.workspace, self.usage, self.snapshot, self.policy, self.now, allow_empty=self.allow_empty)

    def with_workspace(self, **facts: object) -> "Case":
        return replace(self, workspace=changed(self.workspace, **facts))

    def with_usage(self, **facts: object) -> "Case":
        assert self.usage is not None
        return replace(self, usage=changed(self.usage, **facts))

    def with_policy(self, **facts: object) -> "Case":
        return replace(self, policy=changed(self.policy, **facts))


ORPHAN = Case()


def test_an_old_directory_of_a_deleted_session_is_an_orphan_without_doubts() -> None:
    verdict = ORPHAN.judged()
    assert verdict == Verdict(Status.ORPHAN, "session deleted 1 Sep, owner octocat; last change 30 days ago")
    assert verdict.treatment(Policy()) is Treatment.REMOVE


# --- FOREIGN --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"kind": Kind.FILE}, "not a directory"),
        ({"kind": Kind.OTHER}, "not a directory"),
        ({"kind": Kind.SYMLINK}, "a symbolic link, not a directory"),
        ({"name": b".hidden"}, "a hidden name"),
        ({"name": b".shard/6f1c9a52"}, "a hidden name"),
        ({"name": b"no id", "id": None}, "the name does not match the id pattern"),
    ],
)
def test_what_is_no_workspace_is_foreign(facts: dict[str, object], reason: str) -> None:
    assert ORPHAN.with_workspace(**facts).judged() == Verdict(Status.FOREIGN, reason)


# --- PROTECTED ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (ORPHAN.with_policy(protect=("other", "6f1c*")), "'6f1c*'"),
        (ORPHAN.with_policy(pinned=frozenset({ID.encode()})), "pinned"),
        (ORPHAN.with_workspace(mounts=(ID.encode(),)), "is a mount point"),
        (ORPHAN.with_workspace(mounts=(ID.encode() + b"/repo/data",)), f"contains a mount point: {ID}/repo/data"),
        (ORPHAN.with_usage(mounts=(b"repo/data",)), "contains a mount point: repo/data"),
        (ORPHAN.with_workspace(other_root=b"sh\nard"), r"lies in the root of another volume, sh\x0aard, which"),
        (ORPHAN.with_usage(other_roots=(b"",)), "is the root of another volume"),
        (ORPHAN.with_usage(other_roots=(b"repo/ws", b"b")), "contains the root of another volume: repo/ws"),
        (ORPHAN.with_workspace(needed_because="holds the configuration file"), "holds the configuration file"),
        (ORPHAN.with_usage(child_directories=("repo", "alive")), "contains the live session 'alive'"),
        (ORPHAN.with_usage(child_directories=("repo", "ALIVE")), "contains the live session 'ALIVE'"),
        (ORPHAN.with_usage(children_cut=True), "is 'depth' right?"),
        (ORPHAN.with_workspace(name=b"alive/6f1c9a52"), "lies inside the live session 'alive'"),
    ],
)
def test_what_may_not_be_touched_is_protected(case: Case, words: str) -> None:
    verdict = case.judged()
    assert verdict.status is Status.PROTECTED
    assert words in verdict.reason


def test_a_live_child_is_recognised_by_the_id_in_its_name() -> None:
    case = ORPHAN.with_usage(child_directories=("ws-alive",))
    assert case.judged().status is Status.ORPHAN
    assert case.with_policy(id_pattern="ws-(?P<id>.+)").judged().status is Status.PROTECTED


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        (b"shard/keep-me", "keep-*"),
        (b"shard/keep-me", "shard/*"),
        (b"back\\slash", "back[\\]slash"),
        (b"caf\xe9", "caf\\xe9"),
        ("cafe\u0301".encode(), "caf\xe9"),
    ],
)
def test_a_pattern_protects_the_name_in_each_of_its_forms(name: bytes, pattern: str) -> None:
    assert ORPHAN.with_workspace(name=name).with_policy(protect=(pattern,)).judged().status is Status.PROTECTED


# --- UNKNOWN --------------------------------------------------------------------------------------------------------


def test_without_a_registry_nothing_is_known() -> None:
    assert replace(ORPHAN, snapshot=None).judged().status is Status.UNKNOWN


def test_a_snapshot_that_nobody_examined_is_not_trusted() -> None:
    assert ORPHAN.snapshot is not None
    assert replace(ORPHAN, snapshot=changed(ORPHAN.snapshot, examined=False)).judged().status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (snapshot_of(ALIVE, DELETED, error="timed out after 10 s"), "timed out after 10 s"),
        (snapshot_of(), "empty"),
        (snapshot_of(Session("elsewhere")), "none of the registry's ids matches"),
        (examine(Snapshot(()), [ID]), "no registry"),
        (examine(snapshot_of(ALIVE, DELETED), [ID], binding_problem="belongs to another registry"), "belongs to"),
        (examine(snapshot_of(ALIVE, DELETED), [ID], [f"s{n}" for n in range(9)]), "9 of 9 sessions"),
    ],
)
def test_a_registry_that_can_not_be_trusted_makes_it_unknown(snapshot: Snapshot, words: str) -> None:
    verdict = replace(ORPHAN, snapshot=snapshot).judged()
    assert verdict.status is Status.UNKNOWN
    assert words in verdict.reason


def test_one_of_two_registries_that_failed_makes_it_unknown() -> None:
    good, bad = snapshot_of(ALIVE, DELETED).reads[0], snapshot_of(error="connection refused").reads[0]
    verdict = replace(ORPHAN, snapshot=examine(Snapshot((good, bad)), [ID])).judged()
    assert verdict.status is Status.UNKNOWN
    assert "connection refused" in verdict.reason


@pytest.mark.parametrize(("age", "status"), [(600, "orphan"), (601, "unknown"), (-2, "unknown"), (nan, "unknown")])
def test_a_read_counts_for_max_registry_age_from_its_start(age: float, status: str) -> None:
    snapshot = snapshot_of(ALIVE, DELETED, started_at=NOW - age, finished_at=NOW)
    assert replace(ORPHAN, snapshot=snapshot).judged().status == status


@pytest.mark.parametrize("live", ["6F1C9A52", " 6f1c9a52", "6f1c9a52\n", "6f1c-9a52", "6-F1C9A5-2 "])
def test_a_live_id_that_is_written_differently_makes_it_unknown(live: str) -> None:
    for sessions in ((Session(live), DELETED), (Session(live), ALIVE)):
        verdict = replace(ORPHAN, snapshot=snapshot_of(*sessions)).judged()
        assert verdict.status is Status.UNKNOWN
        assert "written differently" in verdict.reason


def test_unicode_forms_of_an_id_are_the_same_id() -> None:
    case = ORPHAN.with_workspace(name="e\u0301tude".encode(), id="e\u0301tude")
    snapshot = snapshot_of(Session("\xe9tude"), DELETED)
    assert replace(case, snapshot=snapshot).judged().status is Status.UNKNOWN


@pytest.mark.parametrize("snapshot", [snapshot_of(), snapshot_of(Session("elsewhere"))])
def test_a_person_may_allow_an_empty_or_unmatched_registry_and_the_orphan_is_unexplained(snapshot: Snapshot) -> None:
    verdict = replace(ORPHAN, snapshot=snapshot, allow_empty=True).judged()
    assert verdict.status is Status.ORPHAN
    assert verdict.doubts == (Doubt.UNEXPLAINED,)


@pytest.mark.parametrize(
    "snapshot",
    [
        None,
        snapshot_of(error="timed out"),
        examine(snapshot_of(), [ID], binding_problem="belongs to another registry"),
        examine(snapshot_of(ALIVE, DELETED), [ID], [f"s{n}" for n in range(9)]),
        snapshot_of(Session(ID.upper())),
        snapshot_of(started_at=NOW - 700),
    ],
)
def test_allowing_an_empty_registry_allows_nothing_else(snapshot: Snapshot | None) -> None:
    assert replace(ORPHAN, snapshot=snapshot, allow_empty=True).judged().status is Status.UNKNOWN


# --- LIVE and IN USE ------------------------------------------------------------------------------------------------


def test_a_live_session_is_live() -> None:
    verdict = replace(ORPHAN, snapshot=snapshot_of(Session(ID, owner="octocat"))).judged()
    assert verdict == Verdict(Status.LIVE, "session is live, owner octocat")


@pytest.mark.parametrize("order", [1, -1])
def test_a_session_that_is_live_in_one_registry_is_live(order: int) -> None:
    reads = (snapshot_of(DELETED).reads[0], snapshot_of(Session(ID)).reads[0])[::order]
    assert replace(ORPHAN, snapshot=examine(Snapshot(reads), [ID])).judged().status is Status.LIVE


def test_a_workspace_with_a_process_in_it_is_in_use() -> None:
    verdict = ORPHAN.with_workspace(used_by="vim (pid 4711) has its working directory inside").judged()
    assert verdict == Verdict(Status.IN_USE, "vim (pid 4711) has its working directory inside")


# --- UNMEASURED -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        replace(ORPHAN, usage=None),
        ORPHAN.with_workspace(identity=None),
        ORPHAN.with_usage(complete=False),
        ORPHAN.with_usage(complete=False, error_count=2, errors=("repo/x: Permission denied",)),
        ORPHAN.with_usage(error_count=1),
        ORPHAN.with_usage(measured_at=NOW - 3_601),
        ORPHAN.with_usage(measured_at=NOW + 2),
        ORPHAN.with_usage(measured_at=nan),
    ],
)
def test_what_is_not_measured_completely_and_lately_is_unmeasured(case: Case) -> None:
    assert case.judged().status is Status.UNMEASURED


def test_the_first_error_and_the_number_of_others_are_told() -> None:
    verdict = ORPHAN.with_usage(complete=False, error_count=3, errors=("repo/x: Permission denied",)).judged()
    assert verdict.reason == "could not be read completely: repo/x: Permission denied (and 2 more)"


# --- RECENT ---------------------------------------------------------------------------------------------------------


def test_the_newest_change_must_be_as_old_as_min_age() -> None:
    just_old = seconds_ns(NOW - DAY)
    assert ORPHAN.with_usage(newest_change_ns=just_old).judged().status is Status.ORPHAN
    verdict = ORPHAN.with_usage(newest_change_ns=seconds_ns(NOW - DAY + 1)).judged()
    assert verdict == Verdict(Status.RECENT, "last change 23 hours ago, younger than 1 day")


def test_a_change_of_the_top_that_the_measure_does_not_know_counts() -> None:
    for times in ((OLD_NS, seconds_ns(NOW - 60)), (seconds_ns(NOW - 60), OLD_NS)):
        verdict = ORPHAN.with_workspace(identity=Identity(1, 2, *times)).judged()
        assert verdict == Verdict(Status.RECENT, "last change 60 s ago, younger than 1 day")


def test_a_ctime_in_the_future_is_recent_and_an_mtime_there_says_nothing() -> None:
    ahead = seconds_ns(NOW + 365 * DAY)
    no_minimum = ORPHAN.with_policy(min_age=0.0)
    assert no_minimum.with_usage(newest_ctime_ns=ahead).judged().status is Status.RECENT
    assert no_minimum.with_workspace(identity=Identity(1, 2, OLD_NS, ahead)).judged().status is Status.RECENT
    assert no_minimum.with_workspace(identity=Identity(1, 2, ahead, OLD_NS)).judged().status is Status.ORPHAN


@pytest.mark.parametrize("deleted_at", [NOW - DAY + 1, NOW + 5, 0.0, -1e12, nan, inf, -inf])
def test_a_deletion_that_is_young_or_has_an_impossible_time_is_recent(deleted_at: float) -> None:
    snapshot = snapshot_of(ALIVE, changed(DELETED, deleted_at=deleted_at))
    assert replace(ORPHAN, snapshot=snapshot).judged().status is Status.RECENT


def test_a_deletion_without_a_time_is_judged_by_the_last_change() -> None:
    snapshot = snapshot_of(ALIVE, changed(DELETED, deleted_at=None))
    verdict = replace(ORPHAN, snapshot=snapshot).judged()
    assert verdict == Verdict(Status.ORPHAN, "session deleted, owner octocat; last change 30 days ago")


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_registries_the_later_deletion_counts(order: int) -> None:
    late = changed(DELETED, deleted_at=NOW - 60)
    reads = (snapshot_of(DELETED).reads[0], snapshot_of(late).reads[0])[::order]
    assert replace(ORPHAN, snapshot=examine(Snapshot(reads), [ID])).judged().status is Status.RECENT


def test_ages_are_judged_by_the_clock_that_is_behind() -> None:
    two_days_ago = ORPHAN.with_usage(newest_change_ns=seconds_ns(NOW - 2 * DAY))
    assert two_days_ago.judged().status is Status.ORPHAN
    assert replace(two_days_ago, now=Now(NOW, volume=NOW - 1.5 * DAY)).judged().status is Status.RECENT
    assert replace(two_days_ago, now=Now(NOW, volume=NOW + 1.5 * DAY)).judged().status is Status.ORPHAN


# --- ORPHAN ---------------------------------------------------------------------------------------------------------


def test_absence_is_no_proof() -> None:
    verdict = replace(ORPHAN, snapshot=snapshot_of(ALIVE)).judged()
    assert verdict.doubts == (Doubt.UNEXPLAINED,)
    assert verdict.reason == "no session of this id; last change 30 days ago"


def test_the_doubts_come_first_in_the_reason_as_what_must_be_seen() -> None:
    verdict = ORPHAN.with_usage(unsaved_work=("web main: 1 untracked file, 1 stash", "api dev: 1 stash")).judged()
    assert verdict.reason.startswith(
        "unsaved work: web main: 1 untracked file, 1 stash; api dev: 1 stash; session deleted "
    )


def test_unsaved_work_is_a_doubt() -> None:
    verdict = ORPHAN.with_usage(unsaved_work=("main: 3 uncommitted files",)).judged()
    assert verdict.doubts == (Doubt.UNSAVED_WORK,)
    assert "main: 3 uncommitted files" in verdict.reason


def test_the_policy_decides_what_a_doubt_allows() -> None:
    doubtful = Verdict(Status.ORPHAN, "", (Doubt.UNEXPLAINED, Doubt.UNSAVED_WORK))
    assert doubtful.treatment(Policy()) is Treatment.SET_ASIDE
    assert doubtful.treatment(Policy(unexplained=Treatment.REMOVE)) is Treatment.SET_ASIDE
    both = Policy(unexplained=Treatment.REMOVE, unsaved_work=Treatment.REMOVE)
    assert doubtful.treatment(both) is Treatment.REMOVE
    assert Verdict(Status.LIVE, "").treatment(both) is Treatment.SET_ASIDE


def test_a_reason_never_hides_what_it_names() -> None:
    snapshot = snapshot_of(ALIVE, changed(DELETED, owner="eve\x1b[2J\u202e"))
    assert replace(ORPHAN, snapshot=snapshot).judged().reason.isprintable()


# --- the first row that applies wins --------------------------------------------------------------------------------

# Each makes one row of the table true and leaves the others as they are.
_ROWS = (
    (Status.FOREIGN, lambda case: case.with_workspace(kind=Kind.FILE)),
    (Status.PROTECTED, lambda case: case.with_policy(protect=("*",))),
    (Status.UNKNOWN, lambda case: replace(case, snapshot=changed(case.snapshot, problems=("it failed",)))),
    (Status.LIVE, lambda case: replace(case, snapshot=snapshot_of(Session(ID)))),
    (Status.IN_USE, lambda case: case.with_workspace(used_by="vim")),
    (Status.UNMEASURED, lambda case: case.with_usage(complete=False)),
    (Status.RECENT, lambda case: case.with_usage(newest_change_ns=seconds_ns(NOW))),
)


@given(st.sets(st.integers(0, len(_ROWS) - 1)))
def test_the_first_row_that_applies_wins(applying: set[int]) -> None:
    case = ORPHAN
    for index in sorted(applying, reverse=True):
        case = _ROWS[index][1](case)
    expected = _ROWS[min(applying)][0] if applying else Status.ORPHAN
    assert case.judged().status is expected


# --- in general -----------------------------------------------------------------------------------------------------

_times = st.floats(NOW - 90 * DAY, NOW + 2 * DAY) | st.floats(NOW - 2 * DAY, NOW)
_times_ns = _times.map(seconds_ns)
_ids = st.sampled_from([ID, "alive", "ALIVE", "keep-1", "none"])


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    deleted = draw(st.booleans())
    return Session(
        draw(_ids),
        deleted=deleted,
        deleted_at=draw(st.none() | _times) if deleted else None,
        owner=draw(st.none() | st.text()),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    reads = draw(
        st.lists(
            st.builds(
                RegistryRead,
                identity=st.just(RegistryIdentity("sql")),
                shown=st.just("sqlite"),
                started_at=_times,
                finished_at=_times,
                sessions=st.lists(sessions(), max_size=4).map(tuple),
                error=st.none() | st.just("it failed"),
            ),
            max_size=2,
        )
    )
    last = draw(st.none() | st.lists(_ids))
    return examine(Snapshot(tuple(reads)), draw(st.lists(_ids)), last)


_WORKSPACE = {
    "name": st.sampled_from([ID.encode(), b"shard/" + ID.encode(), b"alive/" + ID.encode()]),
    "kind": st.sampled_from(Kind),
    "id": st.none() | _ids,
    "identity": st.none() | st.builds(Identity, st.just(1), st.just(2), _times_ns, _times_ns),
    "mounts": st.just(()) | st.just((ID.encode(),)),
    "used_by": st.none() | st.just("vim"),
}
_USAGE = {
    "newest_change_ns": _times_ns,
    "newest_ctime_ns": _times_ns,
    "measured_at": _times,
    "complete": st.booleans(),
    "child_directories": st.lists(_ids, max_size=2).map(tuple),
    "unsaved_work": st.just(()) | st.just(("main: 1 stash",)),
}
_POLICY = {
    "min_age": st.floats(0, 40 * DAY),
    "protect": st.just(()) | st.just(("keep-*",)) | st.just((f"{ID}*",)),
    "max_registry_age": st.floats(0, 90 * DAY),
    "max_usage_age": st.floats(0, 90 * DAY),
}


_OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "usage": st.none(),
    "snapshot": st.none() | snapshots() | _times.map(lambda at: snapshot_of(ALIVE, changed(DELETED, deleted_at=at))),
    "now": st.builds(Now, _times, st.none() | _times),
    "allow_empty": st.booleans(),
}
_CHANGES = [
    *(("workspace", fact) for fact in _WORKSPACE),
    *(("usage", fact) for fact in _USAGE),
    *(("policy", fact) for fact in _POLICY),
    *(("case", fact) for fact in _OTHERS),
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An orphan with a few facts changed: most are none any more, and many still are."""
    case = ORPHAN
    for whose, fact in sorted(draw(st.sets(st.sampled_from(_CHANGES), max_size=4)), key=_CHANGES.index):
        if whose == "workspace":
            case = case.with_workspace(**{fact: draw(_WORKSPACE[fact])})
        elif whose == "usage":
            case = case.with_usage(**{fact: draw(_USAGE[fact])})
        elif whose == "policy":
            case = case.with_policy(**{fact: draw(_POLICY[fact])})
        else:
            case = replace(case, **{fact: draw(_OTHERS[fact])})
    return case


@given(cases())
@settings(max_examples=300)
def test_every_orphan_meets_every_condition(case: Case) -> None:
    verdict = case.judged()
    event(verdict.status)
    if not verdict.orphan:  # `assume` would search ten times as long
        return
    workspace, usage, snapshot, policy, now = case.workspace, case.usage, case.snapshot, case.policy, case.now
    assert workspace.kind is Kind.DIRECTORY
    assert workspace.id is not None
    assert workspace.identity is not None
    assert not workspace.mounts
    assert not workspace.used_by
    assert policy.protecting_pattern(workspace.name) is None
    assert usage is not None
    assert usage.complete
    assert snapshot is not None
    assert not snapshot.problems or (case.allow_empty and snapshot.only_empty)
    assert workspace.id not in snapshot.live_ids
    assert workspace.id.casefold() not in {id_.casefold() for id_ in snapshot.live_ids}
    assert not snapshot.live_ids & set(usage.child_directories)
    assert now.host - snapshot.started_at <= policy.max_registry_age
    assert now.host - usage.measured_at <= policy.max_usage_age
    changes = (usage.newest_change_ns, usage.newest_ctime_ns, workspace.identity.ctime_ns)
    clocks = (now.host, now.host if now.volume is None else now.volume)
    # A nanosecond count in float seconds is good to some hundred nanoseconds.
    assert all(clock - usage.newest_change_ns / 1e9 >= policy.min_age for clock in clocks)
    assert all(clock >= change / 1e9 - 1e-6 for clock in clocks for change in changes[1:])
    session = snapshot.sessions.get(workspace.id)
    assert (session is None) == (Doubt.UNEXPLAINED in verdict.doubts)
    assert bool(usage.unsaved_work) == (Doubt.UNSAVED_WORK in verdict.doubts)
    if session is not None:
        assert session.deleted
        assert session.deleted_at is None or all(clock - session.deleted_at >= policy.min_age for clock in clocks)


@given(cases(), st.integers(0, seconds_ns(90 * DAY)), st.sampled_from(["change", "ctime", "top", "deletion"]))
def test_what_is_no_orphan_does_not_become_one_by_being_younger(case: Case, by_ns: int, what: str) -> None:
    assume(not case.judged().orphan)
    assert not younger(case, by_ns, what).judged().orphan


def younger(case: Case, by_ns: int, what: str) -> Case:
    identity = case.workspace.identity
    if what == "change" and case.usage is not None:
        return case.with_usage(newest_change_ns=case.usage.newest_change_ns + by_ns)
    if what == "ctime" and case.usage is not None:
        return case.with_usage(newest_ctime_ns=case.usage.newest_ctime_ns + by_ns)
    if what == "top" and identity is not None:
        return case.with_workspace(identity=changed(identity, ctime_ns=identity.ctime_ns + by_ns))
    if what == "deletion" and case.snapshot is not None:
        return replace(case, snapshot=deleted_later(case.snapshot, by_ns / 1e9))
    return case


def deleted_later(snapshot: Snapshot, by: float) -> Snapshot:
    """The same answer, but that each deletion whose time is known was so much later."""
    reads = tuple(
        changed(
            read,
            sessions=tuple(
                session if session.deleted_at is None else changed(session, deleted_at=session.deleted_at + by)
                for session in read.sessions
            ),
        )
        for read in snapshot.reads
    )
    return changed(snapshot, reads=reads)


@given(cases(), st.floats(0, 90 * DAY))
def test_an_earlier_clock_of_the_volume_never_makes_an_orphan(case: Case, by: float) -> None:
    assume(not case.judged().orphan)
    volume = (case.now.host if case.now.volume is None else case.now.volume) - by
    assert not replace(case, now=Now(case.now.host, volume)).judged().orphan


@given(cases())
def test_any_doubt_about_the_registry_leaves_no_orphan(case: Case) -> None:
    assert (
        case.snapshot is None
        or not replace(case, snapshot=changed(case.snapshot, problems=("it failed",), only_empty=False)).judged().orphan
    )
    assert case.snapshot is None or not replace(case, snapshot=changed(case.snapshot, examined=False)).judged().orphan
    assert not replace(case, snapshot=None).judged().orphan


@given(cases())
def test_doubts_belong_to_orphans_and_reasons_to_all(case: Case) -> None:
    verdict = case.judged()
    assert verdict.reason
    assert verdict.orphan or not verdict.doubts
    assert verdict.reason.isprintable()
