"""From rows to sessions: what each value means, and what is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper_gui.core.snapshot import Session
from sweeper_gui.registries.base import RegistryError
from sweeper_gui.registries.rows import Gatherer, fields_of, from_objects

UUID_TEXT = "123e4567-e89b-12d3-a456-426614174000"
MOMENT = 1727949600.0  # 2024-10-03 10:00 UTC


def sessions(*rows: object) -> tuple[Session, ...]:
    gatherer = Gatherer()
    from_objects(rows, gatherer)
    return gatherer.sessions().sessions


def session(**row: object) -> Session:
    (only,) = sessions({"id": "a", **row})
    return only


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        ("abc", "abc"),
        (" abc ", " abc "),  # a look-alike: for `judge` to see
        (7, "7"),
        (-7, "-7"),
        (Decimal(7), "7"),
        (Decimal("7.00"), "7"),
        (UUID(UUID_TEXT), UUID_TEXT),
        (UUID(UUID_TEXT).bytes, UUID_TEXT),
        (memoryview(UUID(UUID_TEXT).bytes), UUID_TEXT),
    ],
)
def test_an_id_is_text_in_the_end(value, id_):
    assert session(id=value).id == id_


@pytest.mark.parametrize(
    "value",
    [None, "", "  ", "\n", True, 1.0, float("nan"), Decimal("1.5"), Decimal("Infinity"), Decimal("NaN"), b"abc",
     b"sixteen-letters-", b"", [], {}, datetime.now(UTC)],
)  # fmt: skip
def test_what_can_be_no_id_is_refused(value):
    with pytest.raises(RegistryError):
        session(id=value)


@pytest.mark.parametrize(
    "value",
    [
        1727949600,
        1727949600.0,
        1727949600000,
        "1727949600",
        "1727949600000",
        Decimal(1727949600),
        "2024-10-03T10:00:00Z",
        "2024-10-03T12:00:00+02:00",
        "2024-10-03 10:00:00",
        "20241003T100000Z",
        datetime(2024, 10, 3, 10, tzinfo=UTC),
        datetime(2024, 10, 3, 12, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 10, 3, 10),  # noqa: DTZ001 - as databases without zones give it
    ],
)
def test_a_time_is_epoch_seconds_in_the_end(value):
    assert session(deleted_at=value) == Session("a", True, deleted_at=MOMENT)
    assert session(created_at=value, deleted_at=None) == Session("a", created_at=MOMENT)


@pytest.mark.parametrize("value", ["2024-10-03", date(2024, 10, 3)])
def test_a_day_never_makes_a_session_look_longer_deleted_than_it_is(value):
    one = session(deleted_at=value, created_at=value)
    assert one.created_at == datetime(2024, 10, 3, tzinfo=UTC).timestamp()
    assert one.deleted_at == pytest.approx(datetime(2024, 10, 4, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "value",
    [0, -1, "", " ", "0", "never", "soon", False, True, 1, 86_400, 1e11, 1.7e15, float("nan"), float("inf"), 20241003,
     "20241003", "2024-13-01", "0001-01-01", "9999-12-31T23:59:59+00:00", "2024", [], {"at": 1}, b"2024-10-03",
     datetime(1970, 1, 1, tzinfo=UTC), Decimal("NaN")],
)  # fmt: skip
@pytest.mark.parametrize("column", ["deleted_at", "created_at"])
def test_a_time_that_makes_no_sense_is_refused(column, value):
    with pytest.raises(RegistryError, match=f"{column} of session 'a'"):
        session(**{column: value})


@given(st.floats(min_value=946_684_800, max_value=7_258_118_399))
def test_seconds_and_milliseconds_are_told_apart(seconds):
    assert session(deleted_at=seconds).deleted_at == seconds
    assert session(deleted_at=seconds * 1000).deleted_at == pytest.approx(seconds)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2199, 12, 31)))  # noqa: DTZ001
def test_iso_times_are_read_as_utc(moment):
    expected = moment.replace(tzinfo=UTC).timestamp()
    for text in (moment.isoformat(), moment.isoformat(" "), moment.isoformat() + "Z"):
        assert session(deleted_at=text).deleted_at == pytest.approx(expected)


@pytest.mark.parametrize(
    ("row", "deleted"),
    [
        ({}, False),
        ({"deleted_at": None}, False),
        ({"deleted_at": MOMENT}, True),
        ({"deleted": True}, True),
        ({"deleted": 1}, True),
        ({"deleted": False}, False),
        ({"deleted": 0}, False),
        ({"deleted": None}, False),
        ({"is_deleted": True}, True),
        ({"isDeleted": True}, True),
        ({"state": "deleted"}, True),
        ({"state": " Deleted "}, True),
        ({"state": "live"}, False),
        ({"state": "archived"}, False),
        ({"state": None}, False),
        ({"state": 7}, False),
        ({"deleted": True, "state": "deleted", "deleted_at": MOMENT}, True),
        ({"deleted": None, "state": "stopped", "deleted_at": MOMENT}, True),
        ({"deleted": False, "deleted_at": None}, False),
    ],
)
def test_only_what_clearly_says_so_makes_a_session_deleted(row, deleted):
    assert session(**row).deleted is deleted


@pytest.mark.parametrize(
    "row",
    [
        {"deleted": True, "deleted_at": None},
        {"deleted": False, "deleted_at": MOMENT},
        {"state": "live", "deleted_at": MOMENT},
        {"state": "deleted", "deleted_at": None},
        {"state": "live", "deleted": True},
        {"deleted": "yes"},
        {"deleted": 2},
        {"deleted": "false"},
    ],
)
def test_a_row_that_contradicts_itself_or_can_not_be_read_is_refused(row):
    with pytest.raises(RegistryError, match="session 'a'"):
        session(**row)


@pytest.mark.parametrize(
    ("keys", "knows"),
    [({}, False), ({"title": "x"}, False), ({"state": "running"}, False), ({"state": "live"}, True),
     ({"deleted": None}, True), ({"deletedAt": None}, True)],
)  # fmt: skip
def test_whether_a_source_knows_of_deletions(keys, knows):
    gatherer = Gatherer()
    from_objects([{"id": "a", **keys}], gatherer)
    assert gatherer.sessions().knows_deleted is knows


def test_equal_rows_are_one_session_and_the_later_deletion_counts():
    assert sessions("a", "a", {"id": "a"}) == (Session("a"),)
    for rows in ((MOMENT, MOMENT + 5), (MOMENT + 5, MOMENT)):
        (one,) = sessions(*({"id": "a", "deleted_at": at} for at in rows))
        assert one.deleted_at == MOMENT + 5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=8))
def test_duplicates_that_contradict_each_other_are_always_refused(rows):
    objects = [{"id": id_, "deleted": deleted} for id_, deleted in rows]
    if any((id_, not deleted) in rows for id_, deleted in rows):
        with pytest.raises(RegistryError, match="both live and deleted"):
            sessions(*objects)
    else:
        assert {(one.id, one.deleted) for one in sessions(*objects)} == set(rows)


def test_an_int_and_its_text_are_the_same_id():
    with pytest.raises(RegistryError, match="both live and deleted"):
        sessions({"id": 7, "deleted": True}, {"id": "7", "deleted": False})


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (("id",), {"id": "id"}),
        (("ID", "TITLE"), {"id": "ID", "title": "TITLE"}),
        (("id", "name", "title"), {"id": "id", "title": "title"}),
        (
            ("id", "createdAt", "DELETED_AT", "other"),
            {"id": "id", "created_at": "createdAt", "deleted_at": "DELETED_AT"},
        ),
        (("id", "owner_github_login"), {"id": "id", "owner": "owner_github_login"}),
    ],
)
def test_columns_are_found_under_their_usual_names(names, fields):
    assert fields_of(names) == fields


@pytest.mark.parametrize("names", [(), ("name",), ("id", "ID"), ("id", "deleted_at", "deletedAt")])
def test_a_missing_id_and_a_column_that_is_there_twice_are_refused(names):
    with pytest.raises(RegistryError):
        fields_of(names)


def test_titles_are_for_reading_only():
    assert session(title=7).title == "7"
    assert session(title={"x": 1}, owner=["y"]) == Session("a")
    assert len(session(title="x" * 10_000).title or "") == 500
