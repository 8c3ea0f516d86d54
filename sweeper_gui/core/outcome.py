"""What became of each candidate of a sweep, and of the sweep."""

from enum import StrEnum

import msgspec

_MOST = 2**63 - 1


class Result(StrEnum):
    """How one workspace ended.

    `restored` was set aside and is back in its place; `conflict` could not go back because its name is taken;
    `skipped` was never touched; `partly-removed` stays in `removing/` and can be resumed.
    """

    REMOVED = "removed"
    SET_ASIDE = "set-aside"
    RESTORED = "restored"
    CONFLICT = "conflict"
    SKIPPED = "skipped"
    FAILED = "failed"
    PARTLY_REMOVED = "partly-removed"


class Outcome(msgspec.Struct, frozen=True):
    """One candidate's end. `errors` are the first few of `error_count`. Bytes are allocated bytes."""

    name: bytes
    result: Result
    reason: str = ""
    entries_removed: int = 0
    bytes_freed: int = 0
    error_count: int = 0
    errors: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether it counts towards the cap."""
        return self.result in (Result.REMOVED, Result.SET_ASIDE)

    @property
    def bad(self) -> bool:
        """Whether the run's exit code must tell of it."""
        return self.result in (Result.FAILED, Result.PARTLY_REMOVED, Result.CONFLICT)


class Ending(StrEnum):
    """Why a run ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    STOPPED = "stopped"  # the registry, the volume or the lock could no longer be trusted


class Report(msgspec.Struct, frozen=True):
    """The result of a sweep, a resume, a restore or a purge: one outcome per candidate that was reached."""

    sweep_id: str
    outcomes: tuple[Outcome, ...]
    ending: Ending = Ending.DONE
    #: why it was stopped
    problem: str = ""
    untouched: tuple[bytes, ...] = ()
    remaining_orphans: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    #: what went wrong beside the run, such as that it could not be forwarded to syslog
    notes: tuple[str, ...] = ()

    @property
    def bytes_freed(self) -> int:
        """Allocated bytes, of partly removed ones too; at most what a message and the log can carry."""
        return min(_MOST, sum(outcome.bytes_freed for outcome in self.outcomes))

    def count(self, *results: Result) -> int:
        """How many ended so."""
        return sum(outcome.result in results for outcome in self.outcomes)


class TrashState(StrEnum):
    """Where a set-aside workspace lies."""

    WHOLE = "whole"
    REMOVING = "removing"


class TrashItem(msgspec.Struct, frozen=True):
    """One tree in the volume's trash. Times are epoch seconds.

    `unfinished` marks one that a sweep meant to remove and did not. `problem` says why nothing can be done with it,
    such as a log that can't be read.
    """

    sweep_id: str
    number: int
    name: bytes
    state: TrashState
    set_aside_at: float
    expires_at: float
    by: str = ""
    allocated: int = 0
    entries: int = 0
    reason: str = ""
    doubts: tuple[str, ...] = ()
    unfinished: bool = False
    problem: str = ""
