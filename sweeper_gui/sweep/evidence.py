"""The registry and the clocks, asked again whenever the protocol wants it, with trust required."""

import threading

from sweeper_gui.core.policy import Now
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.storage.control import Control, Probe
from sweeper_gui.sweep.clock import VolumeClock, since_boot
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
        self._reading = threading.Lock()
        #: what the last read gave, and when it began in seconds since boot
        self._last: Snapshot | Untrusted | None = None
        self._began = 0.0
        self.clock = VolumeClock()

    def now(self) -> Now:
        """Both clocks, the volume's carried on from the last look at it."""
        return self.ground.now(self.clock.now)

    def look_at_clock(self) -> Probe | None:
        """Reads the volume's clock from a file just written there, unless this is a dry run.

        Raises `VolumeError` where that can't be written, or the clock has been set meanwhile.
        """
        if self._control is None:
            return None
        with self.ground.operation():
            asked = since_boot()
            probe = self._control.probe()
        self.clock.saw(probe.clock, asked)
        return probe

    def fresh_snapshot(self) -> Snapshot:
        """A trusted registry read that started at most `FRESH` seconds ago, or after this call. Raises `Untrusted`."""
        return self._read_since(since_boot() - min(FRESH, self.ground.policy.max_registry_age))

    def snapshot_after_now(self) -> Snapshot:
        """A trusted registry read that starts after this call. Raises `Untrusted`."""
        return self._read_since(since_boot())

    def _read_since(self, earliest: float) -> Snapshot:
        """What the last read gave where it began since then, else a new one: all who wait for their turn share it."""
        with self._reading:
            if self._last is None or self._began < earliest:
                began = since_boot()
                self._last = None  # where this read breaks off, nobody takes the one before it for a new one
                self._last, self._began = self._read(), began
            if isinstance(self._last, Untrusted):
                raise Untrusted(str(self._last))
            return self._last

    def _read(self) -> Snapshot | Untrusted:
        snapshot = self.ground.read_registry(self.directory_ids, self._control)
        if snapshot.problems and not (self.allow_empty and snapshot.only_empty):
            return Untrusted(snapshot.distrust)
        if not snapshot.problems:
            self.ground.state.remember_live(snapshot.live_ids)
        return snapshot
