"""What lies in a volume's trash, read from where things are and from the logs that put them there."""

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Result, TrashItem, TrashState
from sweeper_gui.core.policy import Treatment
from sweeper_gui.storage.control import REMOVING, WHOLE, Control, SweepDirectory
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import Confirmed, Ended, Intent, ReadLog, Record, Removing, Restoring, SetAside, read_log
from sweeper_gui.sweep.words import words_of

#: What can be done with a tree of which the log tells what it was, and not all that came of it.
_NOTHING_ELSE = {
    TrashState.WHOLE: "it can be restored, and nothing else",
    TrashState.REMOVING: "its removal has begun, and someone has to look at it",
}

#: Runs that put back nothing but what they have set aside themselves.
_NEVER_RESTORE = frozenset({"sweep", "bind"})


class Left(StrEnum):
    """What a run that did not come to its end left to be done with a tree."""

    NOTHING = "nothing"
    #: its removal, begun or confirmed
    REMOVE = "remove"
    #: the confirmation; then it stays set aside
    CONFIRM = "confirm"
    #: putting it back had been announced
    PUT_BACK = "put back"


class Lying(msgspec.Struct, frozen=True):
    """One tree in the trash, with the evidence that its log holds; `intent` is None where the log is no help."""

    item: TrashItem
    intent: Intent | None
    left: Left = Left.NOTHING


def items_of(control: Control, ground: Ground) -> Iterator[TrashItem]:
    """Everything in the trash, the oldest sweep first. What can't be read is an item with a `problem`."""
    return (lying.item for lying in lying_in(control, ground))


def lying_in(control: Control, ground: Ground) -> Iterator[Lying]:
    """Everything in the trash with its evidence."""
    for sweep_id in control.sweep_ids():
        try:
            with control.open_sweep(sweep_id) as sweep:
                yield from _of_sweep(sweep, ground)
        except OSError as error:
            yield Lying(_unreadable(sweep_id, f"the sweep's directory can't be read: {words_of(error)}"), None)


def ids_in_trash(ground: Ground, control: Control | None = None) -> frozenset[str]:
    """The ids of the workspaces that are set aside; none where there is no control directory yet."""
    if control is None:
        opened = Control.open_existing(ground.volume, ground.settings.volume)
        if opened is None:
            return frozenset()
        with opened:
            return ids_in_trash(ground, opened)
    names = (item.name for item in items_of(control, ground))
    return frozenset(id_ for id_ in map(ground.volume.id_of, names) if id_ is not None)


class Restores(msgspec.Struct, frozen=True):
    """What the logs of all runs tell of restores: the trees, by sweep and number, that one was about to put back.

    `untold` is the last run of which the log does not tell all: it may have been about to put back any earlier one.
    """

    announced: frozenset[tuple[str, int]]
    untold: str = ""


def announced_restores(control: Control, ground: Ground) -> Restores:
    """What restores were about to do, whether they came to it or not."""
    found: set[tuple[str, int]] = set()
    untold = ""
    for sweep_id in control.sweep_ids():
        try:
            with control.open_sweep(sweep_id) as sweep:
                log = read_log(sweep, ground.log_fallback(sweep_id))
                if log.damaged and not log.missing and not _is_sweep(sweep, log):
                    untold = sweep_id
        except OSError:
            untold = sweep_id
            continue
        for record in log.records:
            if isinstance(record, Restoring) and record.source:
                found.add((record.source, record.number))
            elif isinstance(record, Removing) and record.source:
                found.discard((record.source, record.number))
    return Restores(frozenset(found), untold)


def _is_sweep(sweep: SweepDirectory, log: ReadLog) -> bool:
    """Whether it was a run that puts back nothing but its own: where its log can't tell, its trees do."""
    return log.begun.kind in _NEVER_RESTORE if log.begun is not None else bool(sweep.trees())


def _of_sweep(sweep: SweepDirectory, ground: Ground) -> Iterator[Lying]:
    states = {WHOLE: TrashState.WHOLE, REMOVING: TrashState.REMOVING}
    places = [(number, states[place]) for place, number in sweep.trees()]
    if not places:
        return
    log = read_log(sweep, ground.log_fallback(sweep.id))
    intents = log.intents()
    for number, state in places:
        intent = intents.get(number)
        if intent is None or log.begun is None:
            elsewhere = f"; perhaps {log.begun.who}@{log.begun.who.host} has it in the local state" if log.begun else ""
            problem = (log.damaged or "its log does not tell what it was") + elsewhere
            yield Lying(_unreadable(sweep.id, problem, number, state), None)
        else:
            left = Left.REMOVE if state is TrashState.REMOVING else _left(log.records, intent)
            yield Lying(_item(sweep.id, state, log, intent, left, ground), intent, left)


def _left(records: Sequence[Record], intent: Intent) -> Left:
    """What is left to be done with a whole tree, as the records of its sweep tell."""
    left = Left.REMOVE if intent.treatment is Treatment.REMOVE else Left.CONFIRM
    for record in records:
        if isinstance(record, Confirmed) and intent.number in record.numbers and left is Left.CONFIRM:
            left = Left.NOTHING
        elif isinstance(record, Restoring) and record.number == intent.number and not record.source:
            left = Left.PUT_BACK
        elif isinstance(record, Ended) and bytes(record.name) == bytes(intent.name):
            # It ended where it lies: what comes next is for a person to say. One that failed is asked about again.
            return left if record.result is Result.FAILED else Left.NOTHING
    return left


def _item(sweep_id: str, state: TrashState, log: ReadLog, intent: Intent, left: Left, ground: Ground) -> TrashItem:
    assert log.begun is not None
    renamed = (r.at for r in log.records if isinstance(r, SetAside) and r.number == intent.number)
    at = next(renamed, intent.at)
    return TrashItem(
        sweep_id=sweep_id,
        number=intent.number,
        name=bytes(intent.name),
        state=state,
        set_aside_at=at,
        expires_at=at + ground.settings.sweep.keep_set_aside,
        by=f"{log.begun.who}@{log.begun.who.host}",
        allocated=intent.allocated,
        entries=intent.entries,
        reason=intent.reason,
        doubts=intent.doubts,
        unfinished=left is not Left.NOTHING,
        problem=f"{log.damaged}: {_NOTHING_ELSE[state]}" if log.damaged else "",
    )


def _unreadable(sweep_id: str, problem: str, number: int = -1, state: TrashState = TrashState.WHOLE) -> TrashItem:
    now = time.time()
    place = f"{visible(sweep_id)}/{state}/{number}" if number >= 0 else visible(sweep_id)
    return TrashItem(sweep_id, number, place.encode(), state, now, now, problem=problem)
