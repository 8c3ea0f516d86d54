"""The rules a volume's owner has set, and the clocks they are judged by."""

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from unicodedata import normalize

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
    #: what a directory's name must be, with the group 'id'; empty where the name is the id
    id_pattern: str = ""

    def protecting_pattern(self, name: bytes) -> str | None:
        """The first `protect` pattern that matches the name, its last component or a directory above it, if any.

        Tried on the name as it is and as it is shown: whoever writes a pattern may have either before them. Unicode's
        two ways to write an accent count as one.
        """
        text = name.decode("utf-8", "surrogateescape")
        forms = {normalize("NFC", form) for form in (text, visible(name))}
        forms |= {form.rpartition("/")[2] for form in forms} | {above for form in forms for above in _above(form)}
        return next(
            (
                pattern
                for pattern in self.protect
                if any(fnmatchcase(form, normalize("NFC", pattern)) for form in forms)
            ),
            None,
        )

    def possible_ids(self, name: str) -> tuple[str, ...]:
        """The ids that a directory of this name might have: the name itself, and what the pattern makes of it."""
        match = re.fullmatch(self.id_pattern, name) if self.id_pattern else None
        id_ = match["id"] if match else None
        return (name, id_) if id_ else (name,)


def _above(name: str) -> list[str]:
    """'a' and 'a/b' of 'a/b/c'."""
    return [name[:index] for index, character in enumerate(name) if character == "/"]
