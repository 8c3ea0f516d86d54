"""Past runs as their logs tell them: who removed what, when, and on which evidence."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from sweeper_gui.core.audit import HistoryFilter, PastEvidence, PastSweep
from sweeper_gui.core.names import visible
from sweeper_gui.storage.control import Control, is_sweep_id
from sweeper_gui.storage.lock import holder_of
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import (
    Closed,
    Confirmed,
    Intent,
    ReadLog,
    Record,
    Removing,
    Restoring,
    SetAside,
    outcomes,
    read_log,
)
from sweeper_gui.sweep.words import words_of

#: One page holds at most so many runs, and ends with the one that brings it to so many workspaces.
PAGE_SWEEPS = 500
PAGE_WORKSPACES = 20_000

Intents = Callable[[str], Mapping[int, Intent]]


def past_sweeps(
    control: Control | None, ground: Ground, wanted: HistoryFilter | None = None, *, before: str = ""
) -> tuple[tuple[PastSweep, ...], str]:
    """A page of the runs that are asked for, the newest first, and the id before which the next page goes on, or ''.

    They are those in the control directory (None where there is none), and those of which only the local state knows.
    A log that can't be read is told as such.
    """
    wanted = wanted or HistoryFilter()
    logs = _Logs(control, ground)
    page: list[PastSweep] = []
    workspaces = 0
    for sweep_id in logs.ids:
        if not sweep_id.startswith(wanted.sweep_id) or (before and sweep_id >= before):
            continue
        if ground.cancel.is_set():
            break
        ground.pool.beat()
        past = wanted.of(_told(sweep_id, logs))
        if past is None:
            continue
        page.append(past)
        workspaces += max(len(past.outcomes), len(past.evidence))
        if len(page) >= PAGE_SWEEPS or workspaces >= PAGE_WORKSPACES:
            return tuple(page), sweep_id
    return tuple(page), ""


class _Logs:
    """The logs of all runs, on the volume and in the local state. `ids` are theirs, the newest first."""

    def __init__(self, control: Control | None, ground: Ground) -> None:
        self._control = control
        self._ground = ground
        self._on_volume = frozenset(control.sweep_ids()) if control else frozenset()
        # An id begins with the time at the host that ran it.
        self.ids = sorted(self._on_volume | _local_ids(ground), reverse=True)
        held = control is not None and bool(self.ids) and holder_of(control) is not None
        #: the run that holds the lock: the newest one
        self.running = self.ids[0] if held else ""

    def read(self, sweep_id: str) -> ReadLog:
        fallback = self._ground.log_fallback(sweep_id)
        if self._control is None or sweep_id not in self._on_volume:
            return read_log(None, fallback)
        try:
            with self._control.open_sweep(sweep_id) as sweep:
                return read_log(sweep, fallback)
        except OSError as error:
            return ReadLog((), f"the sweep's directory can't be read: {words_of(error)}")


def _local_ids(ground: Ground) -> frozenset[str]:
    try:
        return frozenset(place.name for place in ground.local_logs.iterdir() if is_sweep_id(place.name))
    except OSError:
        return frozenset()


def _told(sweep_id: str, logs: _Logs) -> PastSweep:
    log = logs.read(sweep_id)

    @lru_cache(maxsize=1)
    def intents_of(source: str) -> Mapping[int, Intent]:
        return logs.read(source).intents() if source in logs.ids else {}

    evidence = _evidence(log.records, intents_of)
    told = tuple(outcomes(log.records))
    open_ = {one.name for one in evidence} - {one.name for one in told}
    closed = next((record for record in log.records if isinstance(record, Closed)), None)
    past = PastSweep(
        sweep_id=sweep_id,
        started_at=0.0,
        who=None,
        kind="",
        registry="",
        outcomes=told,
        evidence=evidence,
        ended_at=closed.at if closed else None,
        ending=closed.ending if closed else None,
        problem=_problem(log, closed, open_, running=sweep_id == logs.running),
        notes=closed.notes if closed else (),
    )
    begun = log.begun
    if begun is None:
        return past
    return replace(
        past,
        started_at=begun.at,
        who=begun.who,
        kind=begun.kind,
        registry=begun.registry,
        root=begun.root,
        version=begun.version,
        options=begun.options,
        clock_skew=begun.clock_skew,
        ticket=begun.ticket,
        proposal=begun.proposal,
    )


def _problem(log: ReadLog, closed: Closed | None, open_: Collection[bytes], *, running: bool) -> str:
    """What is wrong with the run or with its log; '' where nothing is."""
    ended = closed.problem if closed else ""
    if log.damaged:
        return "; ".join(part for part in (log.damaged, ended) if part)
    if closed is not None:
        return ended
    if log.begun is None:
        return "its log holds nothing"
    return "it is under way" if running else _without_end(open_)


def _without_end(names: Collection[bytes]) -> str:
    """What is known of a run that died: each of these was in its place, in the trash or half removed then."""
    words = "it did not come to its end"
    if names:
        words += "; what became of these the trash tells: " + ", ".join(visible(name) for name in sorted(names))
    return words


# --- evidence -------------------------------------------------------------------------------------------------------


def _evidence(records: Sequence[Record], intents_of: Intents) -> tuple[PastEvidence, ...]:
    """Each workspace that was announced, in that order, with the evidence and the steps that the records tell."""
    found: dict[tuple[str, int], PastEvidence] = {}
    for record in records:
        if isinstance(record, Intent):
            found["", record.number] = _of_intent(record)
        elif isinstance(record, SetAside):
            _note(found, record.number, set_aside_at=record.at)
        elif isinstance(record, Confirmed):
            for number in record.numbers:
                _note(found, number, confirmed_read_at=record.registry_read_at)
        elif isinstance(record, Removing | Restoring):
            key = record.source, record.number
            known = found.get(key) or _of_source(record, intents_of)
            step = "removal_at" if isinstance(record, Removing) else "restored_at"
            found[key] = replace(known, **{step: record.at})
    return tuple(found.values())


def _note(found: dict[tuple[str, int], PastEvidence], number: int, **steps: float) -> None:
    if ("", number) in found:
        found["", number] = replace(found["", number], **steps)


def _of_source(record: Removing | Restoring, intents_of: Intents) -> PastEvidence:
    """The evidence in the log of the sweep that set it aside; the name alone where that log does not have it."""
    name = bytes(record.name)
    intent = intents_of(record.source).get(record.number) if record.source else None
    if intent is None or bytes(intent.name) != name:
        return PastEvidence(name, record.number, record.source)
    return replace(_of_intent(intent), source=record.source)


def _of_intent(intent: Intent) -> PastEvidence:
    return PastEvidence(
        name=bytes(intent.name),
        number=intent.number,
        id=intent.id,
        reason=intent.reason,
        doubts=intent.doubts,
        treatment=intent.treatment,
        allocated=intent.allocated,
        entries=intent.entries,
        newest_change=intent.newest_change_ns / 1e9,
        inode=intent.inode,
        registry_read_at=intent.registry_read_at,
    )
