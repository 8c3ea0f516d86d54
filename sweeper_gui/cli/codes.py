"""The exit codes, which scripts depend on, and what leads to them."""

from collections.abc import Mapping
from enum import IntEnum

from sweeper_gui.core.outcome import Ending, Report
from sweeper_gui.engine.messages import Failure, FailureKind


class Code(IntEnum):
    """What the command's exit status says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNTRUSTED = 3
    LOCKED = 4
    CANCELLED = 130


_BY_KIND: Mapping[FailureKind, Code] = {
    "failed": Code.FAILED,
    "usage": Code.USAGE,
    "untrusted": Code.UNTRUSTED,
    "locked": Code.LOCKED,
    "cancelled": Code.CANCELLED,
}


class Refusal(Exception):
    """The command ends here, with this code; the text and the hint are for the user."""

    def __init__(self, code: Code, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    @classmethod
    def of(cls, failure: Failure) -> "Refusal":
        """The refusal that the engine's failure makes of the command."""
        return cls(_BY_KIND[failure.kind], failure.message, failure.hint)


def code_of(report: Report) -> Code:
    """The exit code of a sweep, restore, purge or resume. Skipped and restored ones count as done."""
    if report.ending is Ending.STOPPED:
        return Code.UNTRUSTED
    if report.ending is Ending.CANCELLED:
        return Code.CANCELLED
    return Code.FAILED if any(outcome.bad for outcome in report.outcomes) else Code.DONE
