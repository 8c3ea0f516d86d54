"""The rules a volume's owner has set, and the clocks they are judged by."""

from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from sweeper_gui.core.names import visible


class Treatment(StrEnum):
    """What may be done with an orphan."""

    REMOVE = "remove"
    SET_ASIDE = "set-aside"


class Now(msgspec.Struct, frozen=True):
    """The two clocks of a judgement, in epoch seconds.

    `host` is this machine's, `volume` that of the file server (the ctime of a file just written), None while nothing
    has been written there.
    """

    host: float
    volume: float | None = None

    @property
    def earlier(self) -> float:
        """The clock that makes things look younger: the one to judge ages by."""
        return self.host if self.volume is None else min(self.host, self.volume)

    @property
    def skew(self) -> float:
        """By how many seconds the volume's clock is ahead of the host's."""
        return 0.0 if self.volume is None else self.volume - self.host


class Policy(msgspec.Struct, frozen=True):
    """Ages are seconds. `pinned` are names that a person marked to be kept."""

    min_age: float = 86_400.0
    max_registry_age: float = 600.0
    max_usage_age: float = 3_600.0
    protect: tuple[str, ...] = ()
    pinned: frozenset[bytes] = frozenset()
    unexplained: Treatment = Treatment.SET_ASIDE
    unsaved_work: Treatment = Treatment.SET_ASIDE

    def protecting_pattern(self, name: bytes) -> str | None:
        """The first `protect` pattern that matches the name or its last component, if any."""
        shown = visible(name)
        last = shown.rpartition("/")[2]
        return next((p for p in self.protect if fnmatchcase(shown, p) or fnmatchcase(last, p)), None)
