"""What Sweeper thinks of a deletion list that something else made."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from sweeper_gui.cli.names import name_below
from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.row import Row


class Compared(msgspec.Struct, frozen=True):
    """One line of the list. `verdict` is what Sweeper would do with it; `status` is empty for what is not there."""

    name: bytes
    verdict: Literal["keep", "set-aside", "remove"]
    reason: str
    status: str = ""
    doubts: tuple[str, ...] = ()


def compare(
    lines: Iterable[bytes], rows: Mapping[bytes, Row], roots: Iterable[bytes], policy: Policy
) -> tuple[Compared, ...]:
    """The lines, names or full paths, in their order, each with Sweeper's own verdict."""
    known_roots = tuple(roots)
    return tuple(_compared(line, rows, known_roots, policy) for line in lines)


def _compared(line: bytes, rows: Mapping[bytes, Row], roots: tuple[bytes, ...], policy: Policy) -> Compared:
    name = name_below(line, roots)
    if name is None:
        return Compared(line, "keep", "lies outside the root")
    row = rows.get(name)
    if row is None:
        return Compared(name, "keep", "no such workspace on the volume")
    verdict = row.verdict
    if not verdict.orphan:
        return Compared(name, "keep", verdict.reason, verdict.status)
    fate: Literal["remove", "set-aside"] = "remove" if verdict.treatment(policy) is Treatment.REMOVE else "set-aside"
    return Compared(name, fate, verdict.reason, verdict.status, tuple(verdict.doubts))
