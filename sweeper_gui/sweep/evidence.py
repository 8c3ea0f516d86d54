"""The registry and the clocks, asked again whenever the protocol wants it, with trust required."""

import threading
import time

from sweeper_gui.core.policy import Now
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.storage.control import Control, Probe
from sweeper_gui.sweep.ground import Ground

#: A recheck accepts a registry read that started at most this many seconds ago.
FRESH = 30.0


class Untrusted(Exception):
    """The registry can't be trusted (any more): nothing may be removed."""


class Evidence:
    """Thread-safe. `control` is the open control directory, None in a dry run on a volume that has none.

    `directory_ids` are those on the volume and in its trash. `allow_empty` is a person's word that an empty registry
    is right for the names that this run is about.
    """

    def __init__(
        self,
        ground: Ground,
        directory_ids: frozenset[str],
        control: Control | None = None,
        *,
        allow_empty: bool = False,
    ) -> None:
        self.ground = ground
        self.directory_ids = directory_ids
        self.allow_empty = allow_empty
        self._control = control
        self._snapshot: Snapshot | None = None
        self._reading = threading.Lock()
        self._probe: Probe | None = None
        self._probed_at = 0.0

    def now(self) -> Now:
        """Both clocks, the volume's carried on from the last look at it."""
        probe = self._probe
        return self.ground.now(None if probe is None else probe.clock + time.monotonic() - self._probed_at)

    def look_at_clock(self) -> Probe | None:
        """Reads the volume's clock from a file just written there, unless this is a dry run."""
        if self._control is not None:
            with self.ground.pool.operation():
                probe = self._control.probe()
            self._probe, self._probed_at = probe, time.monotonic()
        return self._probe

    def fresh_snapshot(self) -> Snapshot:
        """A trusted registry read that started at most `FRESH` seconds ago, or after this call. Raises `Untrusted`."""
        asked = time.time()
        max_age = min(FRESH, self.ground.policy.max_registry_age)
        with self._reading:
            known = self._snapshot
            if known is not None and known.started_at >= asked:
                return known  # read while this call waited for its turn
            if known is None or not 0 <= time.time() - known.started_at <= max_age:
                known = self._read()
            return known

    def snapshot_after_now(self) -> Snapshot:
        """A trusted registry read that starts after this call. Raises `Untrusted`."""
        with self._reading:
            return self._read()

    def _read(self) -> Snapshot:
        self._snapshot = None
        snapshot = self.ground.read_registry(self.directory_ids, self._control)
        if snapshot.problems and not (self.allow_empty and snapshot.only_empty):
            raise Untrusted(snapshot.problems[0])
        if not snapshot.problems:
            self.ground.state.remember_live(snapshot.live_ids)
        self._snapshot = snapshot
        return snapshot
