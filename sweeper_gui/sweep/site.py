"""Preflight: everything that must hold before anything is changed, and what a run then works with.

A `Site` holds the lock, the open control directory, the directory and log of this run, and the way to fresh evidence.
No workspace is touched before all of it is there.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

import msgspec

from sweeper_gui.core.audit import NO_MANDATE, Mandate, Who
from sweeper_gui.core.outcome import Ending, Outcome, Report
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.storage.control import Control, SweepDirectory
from sweeper_gui.storage.lock import Keeper, Lock, LockLost
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.binding import Binding, read_binding, write_binding
from sweeper_gui.sweep.clock import since_boot
from sweeper_gui.sweep.evidence import Evidence, Untrusted
from sweeper_gui.sweep.forward import Forwarder, socket_of
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.leftovers import clear_up
from sweeper_gui.sweep.log import Begun, Closed, Ended, Log, LogError, Record, myself
from sweeper_gui.sweep.trash import ids_in_trash
from sweeper_gui.sweep.users import TrashUsers
from sweeper_gui.sweep.words import words_of


class Site:
    """A run of the protocol after its preflight. Made by `open_site`.

    `uid` is whom the volume makes the owner of what we create. `stop` is set when the run is cancelled or has lost its
    lock: then nothing may be renamed or removed any more, and `lock_lost` says why.
    """

    def __init__(
        self, ground: Ground, control: Control, lock: Lock, sweep: SweepDirectory, log: Log, forwarder: Forwarder,
        evidence: Evidence, who: Who, uid: int,
    ) -> None:  # fmt: skip
        self.ground = ground
        self.control = control
        self.sweep = sweep
        self.evidence = evidence
        self.who = who
        self.uid = uid
        self.lock_lost = ""
        self.stop = _Stop(ground.cancel)
        self.users = TrashUsers(control.path, ground.volume.mount)
        self._lock = lock
        self._log = log
        self._forwarder = forwarder
        self._log_problem = ""
        self._started = time.monotonic()

    def about_to_change(self) -> None:
        """Before each rename: the lock is ours, root and control directory are those that we opened.

        Raises `VolumeError`, also where the volume's clock has been set meanwhile.
        """
        self.check_lock()
        with self.ground.operation():
            self.ground.volume.check_unchanged()

    def check_lock(self) -> None:
        """The lock is ours, in the control directory that others find too. Raises `VolumeError`."""
        if self.lock_lost:
            raise LockLost(self.lock_lost, "resume when the volume is well again")
        with self.ground.operation():
            asked = since_boot()
            try:
                self._lock.renew()
                self.control.check_unchanged(self.ground.volume)
            except VolumeError as error:
                self.lose_lock(error)
                raise
        if self._lock.clock is not None:
            self.evidence.clock.saw(self._lock.clock, asked)

    def lose_lock(self, why: VolumeError) -> None:
        """The lock is lost, or may be: everything ends at its next step."""
        self.lock_lost = self.lock_lost or str(why)
        self.stop.set()

    def write(self, *records: Record) -> None:
        """Announces steps; raises `VolumeError` where that is impossible, and then they must not be done."""
        try:
            with self.ground.operation():
                self._log.write(*records)
        except LogError as error:
            raise VolumeError(str(error), "check the volume's control directory") from error
        self._forwarder.send(*records)

    def told(self, outcome: Outcome, modes: tuple[str, ...] = ()) -> Outcome:
        """Writes an outcome down. Where even that fails, the place of the tree still tells."""
        ended = Ended.of(outcome, modes)
        self._try_to_write(ended)
        self._forwarder.send(ended)
        return outcome

    def _try_to_write(self, record: Record) -> None:
        """Writes down what has happened already. Where that fails, the report tells that the log is not complete."""
        try:
            with self.ground.operation():
                self._log.write(record)
        except LogError as error:
            self._log_problem = self._log_problem or str(error)

    def report(
        self,
        outcomes: Sequence[Outcome],
        ending: Ending,
        *,
        problem: str = "",
        untouched: tuple[bytes, ...] = (),
        remaining: int = 0,
    ) -> Report:
        """Closes the log and returns what is to be told. A run whose log is not complete was stopped."""
        seconds = round(time.monotonic() - self._started, 3)
        report = Report(self.sweep.id, tuple(outcomes), ending, problem, untouched, remaining, seconds)
        counts: dict[str, int] = {}
        for outcome in outcomes:
            counts[outcome.result] = counts.get(outcome.result, 0) + 1
        closed = Closed(time.time(), ending, counts, report.bytes_freed, seconds, problem)
        self._forwarder.send(closed)
        lost = self._forwarder.finish()
        notes = (lost,) if lost else ()
        self._try_to_write(msgspec.structs.replace(closed, notes=notes))
        if self._log_problem and ending is Ending.DONE:
            report = msgspec.structs.replace(report, ending=Ending.STOPPED, problem=self._log_problem)
        elif self._log_problem not in ("", problem):
            notes = (*notes, self._log_problem)
        return msgspec.structs.replace(report, notes=notes)

    def bind(self, snapshot: Snapshot, *, anew: bool = False) -> None:
        """Writes down which registry the volume belongs to, where that is not known yet. Call with a trusted read."""
        if not anew and read_binding(self.control) is not None:
            return
        self.about_to_change()
        try:
            by = f"{self.who}@{self.who.host}"
            write_binding(self.control, Binding(snapshot.identities, by, time.time()))
        except OSError as error:
            raise VolumeError(f"the binding can't be written: {error.strerror}", "check the volume") from error


class _Stop(threading.Event):
    """Set by itself, or by the cancel of the run."""

    def __init__(self, cancel: threading.Event) -> None:
        super().__init__()
        self._cancel = cancel

    def is_set(self) -> bool:
        return super().is_set() or self._cancel.is_set()


@contextlib.contextmanager
def open_site(
    ground: Ground, kind: str, options: dict[str, str], *, allow_empty: bool = False, mandate: Mandate = NO_MANDATE
) -> Iterator[Site]:
    """Preflight for a run of this kind; the block runs with the lock held.

    Raises `VolumeError` and `LockHeld`; nothing on the volume outside the control directory has changed then.
    """
    with contextlib.ExitStack() as stack:
        site = _prepared(stack, ground, kind, options, allow_empty, mandate)
        try:
            yield site
        except (Untrusted, VolumeError) as error:  # told in the log too, or it would look like a run that died
            site.report((), Ending.STOPPED, problem=words_of(error))
            raise


def _prepared(
    stack: contextlib.ExitStack,
    ground: Ground,
    kind: str,
    options: dict[str, str],
    allow_empty: bool,
    mandate: Mandate,
) -> Site:
    try:
        ground.volume.check_unchanged()
        if ground.volume.mount.read_only:
            raise VolumeError(f"{ground.volume.shown} is mounted read-only", "mount it read-write")
        on_volume = listed_ids(ground)
        with ground.operation():
            control = stack.enter_context(Control.open_or_create(ground.volume, ground.settings.volume))
        who = myself()
        with ground.operation():
            lock = stack.enter_context(Lock(control, ground.volume, str(who), who.host, kind))
            probe = control.probe()
            control.claim(ground.volume, f"{who}@{who.host}")
        sweep = stack.enter_context(control.new_sweep())
        lock.announce(f"{kind} {sweep.id}")
        if ground.volume.depth == 1:  # deeper, each shard may be another matter, and the rename itself tells
            control.probe_rename(ground.volume, ground.volume.descriptor, sweep.whole)
        try:
            log = stack.enter_context(contextlib.closing(Log(control, sweep, ground.log_fallback(sweep.id))))
        except LogError as error:
            raise VolumeError(str(error), "check the volume's control directory") from error
        forwarder = stack.enter_context(contextlib.closing(Forwarder(socket_of(ground.settings.sweep.syslog))))
        ids = on_volume | ids_in_trash(ground, control)
        evidence = Evidence(ground, ids, control, allow_empty=allow_empty)
        evidence.look_at_clock()
        site = Site(ground, control, lock, sweep, log, forwarder, evidence, who, probe.uid)
        stack.enter_context(contextlib.closing(Keeper(lock, site.lose_lock)))
        site.write(
            Begun(
                at=time.time(),
                kind=kind,
                sweep_id=sweep.id,
                who=who,
                root=ground.volume.shown,
                registry=" and ".join(str(registry) for registry in ground.registries),
                options=options | ({"lock left by": str(lock.found)} if lock.found else {}),
                clock_skew=round(probe.clock - probe.host_clock, 3),
                ticket=mandate.ticket,
                proposal=mandate.proposal,
            )
        )
        clear_up(control, ground, sweep)
        control.keep_reserve()
        return site
    except OSError as error:
        raise VolumeError(f"{ground.volume.shown} can't be swept: {words_of(error)}", "check the volume") from error


def listed_ids(ground: Ground) -> frozenset[str]:
    """The ids of the directories on the volume. Raises `VolumeError`."""
    try:
        ids = ground.directory_ids()
    except OSError as error:
        raise VolumeError(f"{ground.volume.shown} can't be listed: {error.strerror}", "check the mount") from error
    if ground.cancel.is_set():
        raise VolumeError("cancelled before the volume was listed")
    return ids
