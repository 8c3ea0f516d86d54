"""A snapshot: how registries are united, and when what they say can't be trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper_gui.core.snapshot import (
    MAX_LOSS,
    MIN_LOST,
    RegistryIdentity,
    RegistryRead,
    Session,
    Snapshot,
    examine,
    folded,
)

IDENTITY = RegistryIdentity("sqlite", path="/db")


def live(id_: str, **fields) -> Session:
    return Session(id_, **fields)


def deleted(id_: str, at: float | None = None) -> Session:
    return Session(id_, deleted=True, deleted_at=at)


def read(*sessions: Session, error: str | None = None, started: float = 100.0, finished: float = 101.0) -> RegistryRead:
    return RegistryRead(IDENTITY, "sqlite:////db", started, finished, sessions, error=error)


def snapshot(*sessions: Session) -> Snapshot:
    return Snapshot((read(*sessions),))


# --- uniting ---------------------------------------------------------------------------------------------------------


def test_a_session_that_lives_in_one_registry_lives():
    for reads in ((read(live("a")), read(deleted("a"))), (read(deleted("a")), read(live("a")))):
        united = Snapshot(reads)
        assert not united.sessions["a"].deleted
        assert united.live_ids == {"a"}


def test_of_two_deletions_the_later_one_counts():
    for reads in (
        (read(deleted("a", 5.0)), read(deleted("a", 9.0))),
        (read(deleted("a", 9.0)), read(deleted("a", 5.0))),
    ):
        assert Snapshot(reads).sessions["a"].deleted_at == 9.0
    assert Snapshot((read(deleted("a")), read(deleted("a", 5.0)))).sessions["a"].deleted_at == 5.0


def test_it_is_as_old_as_its_oldest_read():
    reads = (read(started=10.0, finished=40.0), read(started=20.0, finished=30.0))
    assert (Snapshot(reads).started_at, Snapshot(reads).finished_at) == (10.0, 40.0)


SESSIONS = st.lists(st.builds(Session, st.sampled_from("abc"), st.booleans()), max_size=6)


@given(st.lists(SESSIONS, max_size=3), st.randoms())
def test_no_order_of_registries_makes_a_live_session_deleted(lists, random):
    expected = {session.id for sessions in lists for session in sessions if not session.deleted}
    random.shuffle(lists)
    assert Snapshot(tuple(read(*sessions) for sessions in lists)).live_ids == expected


# --- look-alikes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_", "other"),
    [
        ("abc", "ABC"),
        ("abc", " abc "),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"),
        ("-abc", "abc"),
        ("a b", "A B "),
        ("a b", "ab"),
        ("123e4567-e89b-12d3-a456-426614174000", "{123E4567-E89B-12D3-A456-426614174000}"),
        ("123e4567e89b12d3a456426614174000", "urn:uuid:123e4567-e89b-12d3-a456-426614174000"),
        ("42", "0042"),
        ("0", "000"),
        ("a-b", "a\u2010b"),
        ("a-b", "a\u200bb"),
        ("ab1", "\uff41\uff42\uff11"),
    ],
)
def test_an_id_written_differently_is_recognised(id_, other):
    assert snapshot(live(id_)).live_lookalike(other) == id_
    assert snapshot(live(other)).live_lookalike(id_) == other


@pytest.mark.parametrize(("id_", "other"), [("abc", "abd"), ("a_b", "a-b"), ("a1", "a11"), ("a1", "a01"), ("1", "10")])
def test_another_id_is_no_lookalike(id_, other):
    assert snapshot(live(id_)).live_lookalike(other) is None


def test_the_id_itself_is_no_lookalike_even_beside_one():
    both = snapshot(live("abc"), live("ABC"))
    assert both.live_lookalike("abc") is None
    assert both.live_lookalike("ABC") is None
    assert both.live_lookalike("Abc") in ("abc", "ABC")


def test_a_deleted_id_may_look_like_a_live_one():
    assert snapshot(deleted("abc"), live("ABC")).live_lookalike("abc") == "ABC"
    assert snapshot(deleted("ABC")).live_lookalike("abc") is None


@given(st.text(max_size=12))
def test_folding_twice_changes_nothing(id_):
    assert folded(folded(id_)) == folded(id_)


# --- trust -----------------------------------------------------------------------------------------------------------


def test_a_good_snapshot_has_no_problems_and_counts_its_matches():
    result = examine(snapshot(live("a"), live("b"), live("gone"), deleted("c")), ["a", "b", "c", "x"])
    assert result.examined
    assert result.problems == ()
    assert (result.matched_live, result.matched_deleted, result.unmatched_live) == (2, 1, 1)


def test_one_failed_registry_spoils_all():
    result = examine(Snapshot((read(live("a")), read(error="does not exist"))), ["a"])
    assert result.problems == ("sqlite:////db: does not exist",)
    assert not result.only_empty


def test_a_failed_registry_is_not_called_empty():
    result = examine(Snapshot((read(error="timed out"),)), ["a"])
    assert len(result.problems) == 1
    assert not result.only_empty


def test_no_registry_at_all_is_a_problem():
    result = examine(Snapshot(()), ["a"])
    assert result.problems == ("no registry is configured",)
    assert not result.only_empty


def test_an_empty_registry_is_a_problem_that_a_person_may_override():
    result = examine(snapshot(), ["a"])
    assert "empty" in result.problems[0]
    assert result.only_empty


def test_a_registry_that_matches_nothing_is_a_problem_that_a_person_may_override():
    result = examine(snapshot(live("x"), deleted("y")), ["a", "b"])
    assert "none of the registry's ids" in result.problems[0]
    assert result.only_empty


def test_one_deleted_match_is_enough_and_so_is_an_empty_volume():
    assert examine(snapshot(deleted("a")), ["a", "b"]).problems == ()
    assert examine(snapshot(live("a")), []).problems == ()


def test_another_registry_than_the_bound_one_is_never_overridden():
    result = examine(snapshot(), ["a"], binding_problem="the volume belongs to another registry")
    assert "the volume belongs to another registry" in result.problems
    assert not result.only_empty


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "trusted"),
    [
        (100, 100, True),
        (100, 80, True),
        (100, 79, False),
        (10, 8, True),
        (10, 7, False),
        (3, 1, True),  # two lost of three are everyday work
        (3, 0, False),
        (0, 5, True),
    ],
)
def test_a_great_loss_of_live_sessions_needs_a_persons_word(before, now, trusted):
    last = [f"s{number}" for number in range(before)]
    current = snapshot(deleted("known"), *(live(f"s{number}") for number in range(now)))
    result = examine(current, ["known"], last)
    assert (result.problems == ()) == trusted
    if not trusted:
        assert f"{before - now} of {before} sessions" in result.problems[0]
        assert not result.only_empty


def test_new_sessions_do_not_make_up_for_lost_ones():
    result = examine(snapshot(*(live(f"new{number}") for number in range(20))), ["new0"], [f"s{n}" for n in range(10)])
    assert "10 of 10" in result.problems[0]


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_the_loss_rule_is_the_documented_one(before, now):
    result = examine(snapshot(deleted("known"), *(live(str(n)) for n in now)), ["known"], [str(n) for n in before])
    lost = len(before - now)
    assert bool(result.problems) == (lost >= MIN_LOST and lost > MAX_LOSS * len(before))


def test_an_identity_reads_like_a_place():
    assert str(RegistryIdentity("postgresql", "db", 5432, "collab")) == "postgresql db:5432 collab"
    assert str(RegistryIdentity("file", path="/ids")) == "file /ids"
