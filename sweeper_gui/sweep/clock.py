"""The clock of a volume, as a run sees it: a file server's need not agree with ours, and may be set while we work."""

import time

from sweeper_gui.storage.volume import VolumeError

#: Seconds by which the clock may leave what it was at the beginning of a run.
MOST_DRIFT = 60.0


class VolumeClock:
    """Carried on from the last look at it, and compared with the first one."""

    def __init__(self) -> None:
        #: by how much it is ahead of this host's time since boot: at least and at most, at the first look
        self._first: tuple[float, float] | None = None
        self._ahead: float | None = None

    @property
    def now(self) -> float | None:
        """What it says now, rather too early than too late (epoch seconds); None before the first look."""
        return None if self._ahead is None else self._ahead + since_boot()

    def saw(self, clock: float, asked: float) -> None:
        """It said `clock` between `asked` (seconds since boot) and now. Raises `VolumeError` where it has been set.

        What was changed after that could look older than what was seen before, or the other way round.
        """
        low, high = clock - since_boot(), clock - asked
        if self._first is None:
            self._first = low, high
        jump = max(low - self._first[1], self._first[0] - high)
        if jump > MOST_DRIFT:
            raise VolumeError(
                f"the volume's clock has been set by {jump:.0f} s or more while we worked: ages can't be trusted",
                "look after the file server's clock, then list again",
            )
        self._ahead = low


def since_boot() -> float:
    """Seconds that nobody sets, with those in which the host was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
