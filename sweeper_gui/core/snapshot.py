"""What one read of all registries returned, and whether it can be trusted."""

import unicodedata
from collections.abc import Collection, Iterable
from functools import cached_property, lru_cache

import msgspec

#: A read that lost more than this share of the ids that were live at the last trusted one needs a person's word.
MAX_LOSS = 0.2
#: Fewer lost ids than this never need it: deleting two of a handful of sessions is everyday work.
MIN_LOST = 3


class Session(msgspec.Struct, frozen=True):
    """One session as a registry tells it. Times are epoch seconds; `deleted_at` may be unknown for a deleted one."""

    id: str
    deleted: bool = False
    title: str | None = None
    owner: str | None = None
    created_at: float | None = None
    deleted_at: float | None = None


class RegistryIdentity(msgspec.Struct, frozen=True):
    """Which registry this is, without secrets: what a volume is bound to.

    `query` is what is asked there. `answered` is what it says of itself when it is read: behind the same name may
    be another server by then. It is empty where nothing has been read, or nothing is said.
    """

    kind: str
    host: str = ""
    port: int | None = None
    database: str = ""
    path: str = ""
    query: str = ""
    answered: str = ""

    def __str__(self) -> str:
        place = f"{self.host}:{self.port}" if self.port else self.host
        return " ".join(part for part in (self.kind, place, self.database, self.path) if part)


class RegistryRead(msgspec.Struct, frozen=True):
    """How reading one registry went. `started_at` and `finished_at` are the host's clock in epoch seconds.

    `error` is a sentence for a person; with it the read is worth nothing. `shown` is the source without secrets.
    """

    identity: RegistryIdentity
    shown: str
    started_at: float
    finished_at: float
    sessions: tuple[Session, ...] = ()
    #: whether the source tells deleted sessions at all
    knows_deleted: bool = True
    error: str | None = None
    #: what the user should do about `error`
    hint: str | None = None


class Snapshot(msgspec.Struct, frozen=True, dict=True):
    """All registries united; a session that is live in one of them is live.

    `problems` says why it can't be trusted. A snapshot that nobody examined can't be either.
    """

    reads: tuple[RegistryRead, ...]
    examined: bool = False
    problems: tuple[str, ...] = ()
    #: the only problem is that no id matches, which a person may override with names (`--allow-empty-registry`)
    only_empty: bool = False
    #: how many ids (live, deleted) have a directory, and how many live ones have none
    matched_live: int = 0
    matched_deleted: int = 0
    unmatched_live: int = 0

    @property
    def distrust(self) -> str:
        """Why it can't be trusted and, where that is known, what to do about it; empty where it can be."""
        hint = next((read.hint for read in self.reads if read.error), None)
        words = self.problems[0] if self.problems else ""
        return f"{words}: {hint}" if words and hint else words

    @property
    def started_at(self) -> float:
        """When the oldest read began: nothing after this moment is sure to be in here."""
        return min((read.started_at for read in self.reads), default=0.0)

    @property
    def identities(self) -> tuple[RegistryIdentity, ...]:
        """Which registries these are, as far as they could be read."""
        return tuple(read.identity for read in self.reads)

    @property
    def finished_at(self) -> float:
        """When the last read ended."""
        return max((read.finished_at for read in self.reads), default=0.0)

    @cached_property
    def sessions(self) -> dict[str, Session]:
        """By id; live beats deleted, and of two deletions the later one counts."""
        united: dict[str, Session] = {}
        for read in self.reads:
            for session in read.sessions:
                known = united.get(session.id)
                if known is None or _counts_before(session, known):
                    united[session.id] = session
        return united

    @cached_property
    def live_ids(self) -> frozenset[str]:
        """The ids of all live sessions."""
        return frozenset(session.id for session in self.sessions.values() if not session.deleted)

    @cached_property
    def _live_by_folded(self) -> dict[str, str]:
        return {folded(id_): id_ for id_ in self.live_ids}

    def live_lookalike(self, id_: str) -> str | None:
        """The live id that this one equals when both are `folded`; None where it is one."""
        found = self._live_by_folded.get(folded(id_))
        return None if found == id_ or id_ in self.live_ids else found


def _counts_before(session: Session, other: Session) -> bool:
    if session.deleted != other.deleted:
        return other.deleted
    return session.deleted and (session.deleted_at or 0.0) > (other.deleted_at or 0.0)


@lru_cache(maxsize=1 << 18)  # a sweep reads the same ids again and again
def folded(id_: str) -> str:
    """The id with everything dropped that another system might write differently.

    Case, Unicode form, white space, hyphens of any kind, invisible characters, the braces and the 'urn:uuid:' around
    a UUID, and the zeros before a number. Too much dropped costs space, too little a workspace.
    """
    text = id_
    while (plainer := _plainer(text)) != text:  # what one step uncovers, the next one may drop
        text = plainer
    return text


def _plainer(text: str) -> str:
    if text.isascii():  # nearly all of them, and there may be hundreds of thousands
        text = text.lower().translate(_ASCII_DECORATION)
    else:
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(character for character in text if not _is_decoration(character))
    text = text.removeprefix("urn:uuid:")
    return text.lstrip("0") or "0" if text.isdecimal() else text


def _is_decoration(character: str) -> bool:
    return character in "{}" or character.isspace() or unicodedata.category(character) in ("Pd", "Cf", "Cc")


_ASCII_DECORATION = {code: None for code in range(128) if _is_decoration(chr(code))}


def examine(
    snapshot: Snapshot,
    directory_ids: Collection[str],
    last_live_ids: Iterable[str] | None = None,
    binding_problem: str | None = None,
) -> Snapshot:
    """The snapshot with its problems found.

    `directory_ids` are the ids of the volume's directories, `last_live_ids` those that were live at the last trusted
    read of this volume. `binding_problem` says that the volume belongs to another registry.
    """
    problems = [f"{read.shown}: {read.error}" for read in snapshot.reads if read.error]
    if binding_problem:
        problems.append(binding_problem)
    if not snapshot.reads:
        problems.append("no registry is configured")
    directories = frozenset(directory_ids)
    matched = directories & snapshot.sessions.keys()
    emptiness = []
    if snapshot.reads and not any(read.error for read in snapshot.reads):
        # Each by itself: an empty answer is the commonest wrong one, and the others' sessions don't make it right.
        empty = next((read.shown for read in snapshot.reads if not read.sessions), None)
        if empty is not None:
            emptiness.append(f"{empty} is empty, it names no session at all: is it the right registry?")
        elif directories and not matched:
            emptiness.append(
                "none of the registry's ids matches a directory here: is it the right registry and pattern?"
            )
    loss = _loss(snapshot, last_live_ids) if not problems and not emptiness else None
    if loss:
        problems.append(loss)
    live = snapshot.live_ids
    matched_live = len(matched & live)
    return msgspec.structs.replace(
        snapshot,
        examined=True,
        problems=(*problems, *emptiness),
        only_empty=bool(emptiness) and not problems,
        matched_live=matched_live,
        matched_deleted=len(matched) - matched_live,
        unmatched_live=len(live) - matched_live,
    )


def _loss(snapshot: Snapshot, last_live_ids: Iterable[str] | None) -> str | None:
    if last_live_ids is None:
        return None
    before = frozenset(last_live_ids)
    lost = len(before - snapshot.live_ids)
    if lost < MIN_LOST or lost <= MAX_LOSS * len(before):
        return None
    return (
        f"{lost} of {len(before)} sessions that were live at the last trusted read are live no more; "
        "accept the registry ('sweeper bind') if that is right"
    )
