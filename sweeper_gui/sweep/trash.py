"""What lies in a volume's trash, read from where things are and from the logs that put them there."""

import time
from collections.abc import Iterator

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import TrashItem, TrashState
from sweeper_gui.core.policy import Treatment
from sweeper_gui.storage.control import REMOVING, WHOLE, Control, SweepDirectory
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import Intent, ReadLog, SetAside, read_log


class Lying(msgspec.Struct, frozen=True):
    """One tree in the trash, with the evidence that its log holds; `intent` is None where the log is no help."""

    item: TrashItem
    intent: Intent | None


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
            yield Lying(_unreadable(sweep_id, f"the sweep's directory can't be read: {error.strerror}"), None)


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


def _of_sweep(sweep: SweepDirectory, ground: Ground) -> Iterator[Lying]:
    states = {WHOLE: TrashState.WHOLE, REMOVING: TrashState.REMOVING}
    places = [(number, states[place]) for place, number in sweep.trees()]
    if not places:
        return
    log = read_log(sweep, ground.log_fallback(sweep.id))
    intents = log.intents()
    for number, state in places:
        intent = intents.get(number)
        item = _item(sweep.id, number, state, log, intent, ground)
        yield Lying(item, intent)


def _item(
    sweep_id: str, number: int, state: TrashState, log: ReadLog, intent: Intent | None, ground: Ground
) -> TrashItem:
    if intent is None or log.begun is None:
        problem = log.damaged or "its log does not tell what it was"
        return _unreadable(sweep_id, problem, number, state)
    at = next((r.at for r in log.records if isinstance(r, SetAside) and r.number == number), intent.at)
    return TrashItem(
        sweep_id=sweep_id,
        number=number,
        name=bytes(intent.name),
        state=state,
        set_aside_at=at,
        expires_at=at + ground.settings.sweep.keep_set_aside,
        by=f"{log.begun.who}@{log.begun.who.host}",
        allocated=intent.allocated,
        entries=intent.entries,
        reason=intent.reason,
        doubts=intent.doubts,
        unfinished=state is TrashState.REMOVING or intent.treatment is Treatment.REMOVE,
        problem=log.damaged,
    )


def _unreadable(sweep_id: str, problem: str, number: int = -1, state: TrashState = TrashState.WHOLE) -> TrashItem:
    now = time.time()
    place = f"{visible(sweep_id)}/{state}/{number}" if number >= 0 else visible(sweep_id)
    return TrashItem(sweep_id, number, place.encode(), state, now, now, problem=problem)
