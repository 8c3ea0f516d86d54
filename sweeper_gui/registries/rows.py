"""From a source's rows to sessions: what the columns mean, and what is refused because it can't be read for sure.

Columns (or JSON keys, in snake_case or camelCase): `id`; `title` or `name`; `owner`; `created_at`; `deleted_at`;
`deleted` (true or false) or `state` ("live" or "deleted"), meant for sources without `deleted_at`.

A wrong "deleted" removes somebody's work and a wrong "live" costs some space. So null means live, a word that is not
known means live, and a value that can be neither, a time that can't be one or two rows that contradict each other,
are errors that make the whole read worthless.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.snapshot import Session
from sweeper_gui.registries.base import RegistryError, quoted

#: More sessions than this are no registry that fits into memory.
MAX_SESSIONS = 2_000_000

#: Numbers from here on are milliseconds: as seconds they would lie in the year 5138, as milliseconds in 1973.
MILLISECONDS_FROM = 1e11

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_MAX_LABEL = 500

#: The words of a `state` column that say whether a session is deleted.
_STATES = {"live": False, "deleted": True}

#: What each field may be called, without underscores and in lower case; the first one that is there counts.
_NAMES = {
    "id": ("id",),
    "title": ("title", "name"),
    "owner": ("owner", "ownergithublogin"),
    "created_at": ("createdat",),
    "deleted_at": ("deletedat",),
    "deleted": ("deleted", "isdeleted"),
    "state": ("state",),
}


class Sessions(msgspec.Struct, frozen=True):
    """All sessions of one source. `knows_deleted` says whether it tells deleted ones at all."""

    sessions: tuple[Session, ...]
    knows_deleted: bool
    #: what the source says of itself: part of its identity
    answered: str = ""


class Gatherer:
    """Takes rows one by one and keeps one session per id, so that duplicates never pile up."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._knows_deleted = False
        #: how many rows were taken, duplicates too
        self.rows = 0

    def take(self, row: Mapping[str, object], fields: Mapping[str, str]) -> None:
        """One row; `fields` says under which key each field is found (`fields_of`)."""
        self.rows += 1
        session = _session(row, fields, self.rows)
        self._knows_deleted |= _tells_deletion(row, fields)
        known = self._by_id.get(session.id)
        self._by_id[session.id] = session if known is None else _folded(known, session)
        if len(self._by_id) > MAX_SESSIONS:
            raise RegistryError(f"names more than {MAX_SESSIONS:,} sessions", "narrow the query or the file")

    def sessions(self) -> Sessions:
        """What was gathered."""
        return Sessions(tuple(self._by_id.values()), self._knows_deleted)


@lru_cache(maxsize=64)  # the objects of one JSON list mostly have the same keys
def fields_of(names: tuple[str, ...]) -> Mapping[str, str]:
    """Which key holds which field. Raises `RegistryError` where `id` is missing or something is there twice."""
    by_plain: dict[str, str] = {}
    known = {plain for plains in _NAMES.values() for plain in plains}
    for name in names:
        plain = name.replace("_", "").lower()
        if plain in known and plain in by_plain:
            raise RegistryError(f"returns '{visible(name)}' twice", "name each column once: SELECT … AS …")
        by_plain[plain] = name
    fields = {
        field: by_plain[next(plain for plain in plains if plain in by_plain)]
        for field, plains in _NAMES.items()
        if not by_plain.keys().isdisjoint(plains)
    }
    if "id" not in fields:
        returned = ", ".join(visible(name) for name in names[:20]) or "nothing"
        raise RegistryError(f"returns no column 'id', but {returned}", "name it so: SELECT … AS id")
    return fields


def from_objects(objects: Sequence[object], gatherer: Gatherer) -> None:
    """Takes the items of a JSON list: ids, or objects with an id."""
    for number, item in enumerate(objects, 1):
        if isinstance(item, dict):
            # Objects of one list may differ: one without deleted_at is live, as one with null is.
            gatherer.take(item, fields_of(tuple(item)))
        elif isinstance(item, str | int) and not isinstance(item, bool):
            gatherer.take({"id": item}, {"id": "id"})
        else:
            raise RegistryError(f"item {number} is neither an id nor an object with one: {_what(item)}")


def _tells_deletion(row: Mapping[str, object], fields: Mapping[str, str]) -> bool:
    has_column = "deleted_at" in fields or "deleted" in fields
    return has_column or ("state" in fields and _word(row[fields["state"]]) is not None)


def _session(row: Mapping[str, object], fields: Mapping[str, str], number: int) -> Session:
    values = {field: row[key] for field, key in fields.items()}
    id_ = _id(values["id"], number)
    deleted_at = _time(values.get("deleted_at"), "deleted_at", id_, time.max)
    return Session(
        id=id_,
        deleted=_deleted(values, deleted_at, id_),
        title=_label(values.get("title")),
        owner=_label(values.get("owner")),
        created_at=_time(values.get("created_at"), "created_at", id_, time.min),
        deleted_at=deleted_at,
    )


def _where(id_: str) -> str:
    return f"session '{visible(id_)}'"


def _id(value: object, number: int) -> str:
    text = _id_text(value, number)
    if not text.strip():
        raise RegistryError(f"row {number} has an empty id", "leave such rows out: WHERE id IS NOT NULL AND id <> ''")
    return text


def _id_text(value: object, number: int) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, bytes | memoryview):
        return _id_of_bytes(bytes(value), number)
    raise RegistryError(f"row {number} has an id that is no text: {_what(value)}", "CAST(… AS TEXT) AS id")


def _id_of_bytes(value: bytes, number: int) -> str:
    """A UUID in its 16 bytes. Sixteen printable characters may as well be a text: nobody can tell."""
    if len(value) != 16 or all(0x20 <= byte < 0x7F for byte in value):
        raise RegistryError(f"row {number} has an id of {len(value)} bytes that is no UUID", "CAST(… AS TEXT) AS id")
    return str(UUID(bytes=value))


def _deleted(values: Mapping[str, object], deleted_at: float | None, id_: str) -> bool:
    says = {_flag(values.get("deleted"), id_), _word(values.get("state"))}
    if "deleted_at" in values:
        says.add(deleted_at is not None)
    says.discard(None)
    if len(says) > 1:
        raise RegistryError(
            f"{_where(id_)} is deleted by one column and live by another",
            "return deleted_at alone: a session is live where it is null",
        )
    return True in says


def _flag(value: object, id_: str) -> bool | None:
    """A `deleted` column; databases without booleans have 0 and 1."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise RegistryError(f"the column 'deleted' of {_where(id_)} is neither true nor false: {_what(value)}")


def _word(value: object) -> bool | None:
    """A `state` column; other words ('running', 'archived') say nothing about it."""
    return _STATES.get(value.strip().lower()) if isinstance(value, str) else None


def _time(value: object, column: str, id_: str, day_means: time) -> float | None:
    """Epoch seconds from a number, ISO 8601 or a datetime; None for null.

    A time without a zone is UTC. A day without a time means its first moment for a creation and its last one for a
    deletion, so that a session never looks longer deleted than it is. 0 and '' are errors: some systems write them
    for 'never' and some for 'at an unknown time'.
    """
    if value is None:
        return None
    seconds = _seconds(value, day_means)
    if seconds is None or not _EARLIEST <= seconds < _LATEST:
        raise RegistryError(
            f"{column} of {_where(id_)} is no time that makes sense: {_what(value)}",
            "it must be null, ISO 8601, or epoch seconds or milliseconds since 2000; "
            "for 0 or '' write NULLIF(column, 0) or NULLIF(column, '')",
        )
    return seconds


def _seconds(value: object, day_means: time) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | Decimal):
        number = float(value)
        return number / 1000 if number >= MILLISECONDS_FROM else number
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime.combine(value, day_means, UTC).timestamp()
    if isinstance(value, str):
        return _seconds_of_text(value.strip(), day_means)
    return None


def _seconds_of_text(text: str, day_means: time) -> float | None:
    if _NUMBER.fullmatch(text):
        return _seconds(float(text), day_means)
    try:
        if len(text) <= 10:
            return _seconds(date.fromisoformat(text), day_means)
        return _seconds(datetime.fromisoformat(text), day_means)
    except (ValueError, OverflowError):
        return None


def _label(value: Any) -> str | None:
    """A title or owner: for reading only, so anything that is no plain value is left out rather than refused."""
    if value is None or not isinstance(value, str | int | float | Decimal | UUID):
        return None
    return str(value)[:_MAX_LABEL]


def _folded(known: Session, other: Session) -> Session:
    """One session from two rows of the same id."""
    if known.deleted != other.deleted:
        raise RegistryError(
            f"session '{visible(known.id)}' is both live and deleted", "one row per id: which of the two counts?"
        )
    if (other.deleted_at or 0.0) > (known.deleted_at or 0.0):
        return other  # the later deletion is the one that RECENT must judge by
    return known


def _what(value: object) -> str:
    kind = {type(None): "null", bool: "a boolean", dict: "an object", list: "a list"}.get(type(value))
    return kind or f"'{quoted(str(value)[:1000])}'"
