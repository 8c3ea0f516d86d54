"""Past runs as their logs tell them: who removed what, when, and on which evidence."""

from collections.abc import Collection

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import PastSweep
from sweeper_gui.storage.control import Control
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import Closed, Intent, ReadLog, outcomes, read_log


def past_sweeps(control: Control, ground: Ground) -> list[PastSweep]:
    """All runs in the control directory, the newest first. A log that can't be read is told as such."""
    found = []
    for sweep_id in reversed(control.sweep_ids()):
        try:
            with control.open_sweep(sweep_id) as sweep:
                log = read_log(sweep, ground.log_fallback(sweep_id))
        except OSError as error:
            log = ReadLog((), f"the sweep's directory can't be read: {error.strerror}")
        found.append(_told(sweep_id, log))
    return found


def _told(sweep_id: str, log: ReadLog) -> PastSweep:
    begun = log.begun
    closed = next((record for record in log.records if isinstance(record, Closed)), None)
    intents = [record for record in log.records if isinstance(record, Intent)]
    told = tuple(outcomes(log.records))
    ended = {outcome.name for outcome in told}
    open_ = {bytes(intent.name) for intent in intents} - ended if closed is None else set()
    return PastSweep(
        sweep_id=visible(sweep_id),
        started_at=begun.at if begun else 0.0,
        by=str(begun.who) if begun else "",
        host=begun.who.host if begun else "",
        kind=begun.kind if begun else "",
        registry=begun.registry if begun else "",
        outcomes=told,
        evidence={visible(bytes(intent.name)): intent.reason for intent in intents},
        ended_at=closed.at if closed else None,
        ending=closed.ending if closed else None,
        problem=log.damaged or ("" if closed else _without_end(open_)),
    )


def _without_end(names: Collection[bytes]) -> str:
    """What is known of a run that died: each of these was in its place, in the trash or half removed then."""
    words = "it did not come to its end"
    if names:
        words += "; what became of these the trash tells: " + ", ".join(visible(name) for name in sorted(names))
    return words
