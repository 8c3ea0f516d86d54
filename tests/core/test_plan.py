"""Which orphans a sweep takes: only orphans, in a stable order, within the bounds, and exactly what was shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from sweeper_gui.core.plan import Order, Plan, Refused, Request, in_order, make_plan, reserves
from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Doubt, Status, Verdict
from sweeper_gui.core.workspace import Identity, Kind, Workspace

CAUTIOUS = Policy()
BOTH_REMOVED = Policy(unexplained=Treatment.REMOVE, unsaved_work=Treatment.REMOVE)


def row(
    name: str,
    status: Status = Status.ORPHAN,
    *,
    size: int = 100,
    changed_at: int = 0,
    doubts: tuple[Doubt, ...] = (),
    session: Session | None = None,
) -> Row:
    workspace = Workspace(name.encode(), Kind.DIRECTORY, id=name, identity=Identity(1, 2, 3, 4))
    usage = Usage(size, size, 1, 1, changed_at, changed_at, measured_at=0.0)
    return Row(workspace, Verdict(status, f"because of {name}", doubts), usage, session)


def names(plan: Plan) -> list[str]:
    return [candidate.name.decode() for candidate in plan.candidates]


def chosen(plan: Plan) -> list[str]:
    return [candidate.name.decode() for candidate in plan.chosen]


ROWS = [
    row("c", changed_at=3, size=30),
    row("a", changed_at=1, size=10),
    row("live", Status.LIVE),
    row("d", changed_at=4, size=40),
    row("b", changed_at=2, size=20),
]


def test_the_next_orphans_come_oldest_first_with_reserves_behind_them() -> None:
    plan = make_plan(ROWS, Request(cap=1), Policy())
    assert names(plan) == ["a", "b", "c"]
    assert chosen(plan) == ["a"]
    assert plan.remaining_orphans == 4


def test_those_not_measured_yet_count_as_remaining_and_are_not_planned() -> None:
    unmeasured = changed(row("u", Status.UNMEASURED), usage=None)
    unreadable = row("x", Status.UNMEASURED)
    plan = make_plan([*ROWS, unmeasured, unreadable], Request(), Policy())
    assert plan.remaining_orphans == 5
    assert "u" not in names(plan)


def test_the_largest_come_first_where_that_is_asked() -> None:
    assert names(make_plan(ROWS, Request(order=Order.LARGEST), Policy())) == ["d", "c", "b", "a"]


def test_equals_are_ordered_by_name() -> None:
    rows = [row("b"), row("a"), row("c")]
    assert [one.label for one in in_order(rows, Order.OLDEST)] == ["a", "b", "c"]
    assert [one.label for one in in_order(reversed(rows), Order.LARGEST)] == ["a", "b", "c"]


def test_named_ones_keep_their_order_and_are_not_capped() -> None:
    rows = [row(f"w{number:02}") for number in range(20)]
    wanted = tuple(f"w{number:02}".encode() for number in range(19, -1, -1))
    plan = make_plan(rows, Request(names=(*wanted, wanted[0])), Policy())
    assert [name.encode() for name in chosen(plan)] == list(wanted)
    assert plan.explicit


def test_a_named_one_that_is_no_orphan_is_refused_with_its_reason() -> None:
    plan = make_plan(ROWS, Request(names=(b"live", b"a", b"nowhere")), Policy())
    assert names(plan) == ["a"]
    assert plan.refused == (
        Refused(b"live", "live: because of live"),
        Refused(b"nowhere", "no such workspace on the volume"),
    )


def test_the_bytes_bound_takes_what_fits_in_order() -> None:
    plan = make_plan(ROWS, Request(max_bytes=55), Policy())
    assert chosen(plan) == ["a", "b"]
    assert sum(candidate.usage.allocated for candidate in plan.chosen) <= 55
    assert chosen(make_plan(ROWS, Request(max_bytes=5), Policy())) == []


def test_a_bytes_bound_does_not_put_every_other_orphan_into_the_confirmation() -> None:
    rows = [row(f"w{number:04}") for number in range(1000)]
    plan = make_plan(rows, Request(max_bytes=1_000), Policy())
    assert len(plan.chosen) == 10
    assert len(plan.candidates) == 10 + reserves(10)


@pytest.mark.parametrize("doubt", Doubt)
def test_a_doubtful_one_is_only_set_aside_unless_policy_or_name_say_otherwise(doubt: Doubt) -> None:
    rows = [row("a", doubts=(doubt,))]

    def treatment(request: Request, policy: Policy = CAUTIOUS) -> Treatment:
        return make_plan(rows, request, policy).candidates[0].treatment

    named = Request(names=(b"a",))
    assert treatment(Request()) is Treatment.SET_ASIDE
    assert treatment(named) is Treatment.SET_ASIDE
    assert treatment(Request(remove_doubtful=True)) is Treatment.SET_ASIDE
    assert treatment(changed(named, remove_doubtful=True)) is Treatment.REMOVE
    assert treatment(Request(), BOTH_REMOVED) is Treatment.REMOVE
    assert treatment(changed(named, remove_doubtful=True, set_aside=True)) is Treatment.SET_ASIDE
    assert treatment(changed(named, remove_doubtful=True, allow_empty=True)) is Treatment.SET_ASIDE


def test_everything_is_set_aside_where_that_is_asked() -> None:
    plan = make_plan(ROWS, Request(set_aside=True), BOTH_REMOVED)
    assert {candidate.treatment for candidate in plan.candidates} == {Treatment.SET_ASIDE}


def test_an_empty_registry_is_allowed_for_names_only() -> None:
    assert make_plan(ROWS, Request(names=(b"a",), allow_empty=True), Policy()).allow_empty
    assert not make_plan(ROWS, Request(allow_empty=True), Policy()).allow_empty


def test_a_candidate_says_whose_it_was() -> None:
    plan = make_plan(
        [row("a", session=Session("a", deleted=True, title="Login", owner="octocat"))], Request(), Policy()
    )
    assert (plan.candidates[0].title, plan.candidates[0].owner) == ("Login", "octocat")


def test_the_digest_changes_with_everything_that_is_shown() -> None:
    plan = make_plan([row("a"), row("b")], Request(names=(b"a", b"b", b"x")), Policy())
    first = plan.candidates[0]
    others = [
        changed(plan, candidates=plan.candidates[::-1]),
        changed(plan, candidates=plan.candidates[:1]),
        changed(plan, refused=()),
        changed(plan, cap=1),
        changed(plan, max_bytes=1),
        changed(plan, order=Order.LARGEST),
        changed(plan, explicit=False),
        changed(plan, allow_empty=True),
        changed(plan, remaining_orphans=3),
    ]
    replacements = (
        changed(first, treatment=Treatment.SET_ASIDE),
        changed(first, title="Login"),
        changed(first, owner="octocat"),
        changed(first, verdict=changed(first.verdict, reason="another")),
        changed(first, verdict=changed(first.verdict, doubts=(Doubt.UNEXPLAINED,))),
        changed(first, usage=changed(first.usage, allocated=101)),
        changed(first, usage=changed(first.usage, newest_change_ns=1)),
        changed(first, workspace=changed(first.workspace, name=b"A")),
        changed(first, workspace=changed(first.workspace, identity=Identity(1, 2, 3, 5))),
    )
    others += [changed(plan, candidates=(replacement, *plan.candidates[1:])) for replacement in replacements]
    digests = [plan.digest, *(other.digest for other in others)]
    assert len(set(digests)) == len(digests)
    assert make_plan([row("a"), row("b")], Request(names=(b"a", b"b", b"x")), Policy()).digest == plan.digest


# --- in general -----------------------------------------------------------------------------------------------------

_names = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
_doubts = st.lists(st.sampled_from(Doubt), unique=True).map(tuple)


@st.composite
def rows_of_a_volume(draw: st.DrawFn, *, duplicates: bool = False) -> list[Row]:
    made = st.builds(
        row,
        _names,
        st.sampled_from(Status),
        size=st.integers(0, 100),
        changed_at=st.integers(0, 5),
        doubts=_doubts,
    )
    rows = draw(st.lists(made, max_size=12, unique_by=None if duplicates else lambda one: one.name))
    return [changed(one, usage=None) if draw(st.integers(0, 9)) == 0 else one for one in rows]


requests = st.builds(
    Request,
    names=st.lists(_names.map(str.encode), max_size=5).map(tuple),
    cap=st.none() | st.integers(0, 6),
    max_bytes=st.none() | st.integers(0, 300),
    order=st.sampled_from(Order),
    set_aside=st.booleans(),
    remove_doubtful=st.booleans(),
    allow_empty=st.booleans(),
)
policies = st.builds(Policy, unexplained=st.sampled_from(Treatment), unsaved_work=st.sampled_from(Treatment))


@given(rows_of_a_volume(duplicates=True), requests, policies)
def test_only_measured_orphans_are_ever_planned(rows: list[Row], request: Request, policy: Policy) -> None:
    plan = make_plan(rows, request, policy)
    planned = {candidate.name for candidate in plan.candidates}
    for candidate in plan.candidates:
        assert candidate.verdict.status is Status.ORPHAN
        assert any(
            (candidate.workspace, candidate.usage, candidate.verdict) == (one.workspace, one.usage, one.verdict)
            for one in rows
        )
    if request.names:
        assert planned | {refused.name for refused in plan.refused} == set(request.names)
        assert not planned & {refused.name for refused in plan.refused}
    else:
        assert not plan.refused


@given(rows_of_a_volume(), requests, policies)
def test_the_chosen_ones_keep_the_bounds_and_the_order(rows: list[Row], request: Request, policy: Policy) -> None:
    plan = make_plan(rows, request, policy)
    taken = plan.chosen
    if request.cap is not None:
        assert len(taken) <= request.cap
    if request.max_bytes is not None:
        assert sum(candidate.usage.allocated for candidate in taken) <= request.max_bytes
    positions = [plan.candidates.index(candidate) for candidate in taken]
    assert positions == sorted(positions)
    if not request.names:
        assert len(plan.candidates) - len(taken) <= reserves(len(taken))
        keys: list[Any] = [
            candidate.usage.newest_change_ns if request.order is Order.OLDEST else -candidate.usage.allocated
            for candidate in plan.candidates
        ]
        assert keys == sorted(keys)


@given(rows_of_a_volume(), requests, policies)
def test_a_doubt_is_removed_only_by_policy_or_by_name(rows: list[Row], request: Request, policy: Policy) -> None:
    for candidate in make_plan(rows, request, policy).candidates:
        if candidate.treatment is Treatment.REMOVE:
            assert not request.set_aside
            assert not request.allow_empty
            by_name = bool(request.names) and request.remove_doubtful
            assert by_name or candidate.verdict.treatment(policy) is Treatment.REMOVE


@given(st.lists(st.builds(row, _names, size=st.integers(0, 100)), unique_by=lambda one: one.name), st.randoms())
def test_a_plan_does_not_depend_on_the_order_of_the_listing(rows: list[Row], chance: Any) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    request = Request(cap=3)
    assert make_plan(shuffled, request, Policy()).digest == make_plan(rows, request, Policy()).digest
