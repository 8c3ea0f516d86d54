"""One workspace as every front end shows it: what was listed, measured, looked up and judged, side by side."""

import msgspec

from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Status, Verdict
from sweeper_gui.core.workspace import Workspace


class Row(msgspec.Struct, frozen=True, gc=False):  # a hundred thousand of them, and never in a cycle
    """`session` is the registry's, where it has one for this id."""

    workspace: Workspace
    verdict: Verdict
    usage: Usage | None = None
    session: Session | None = None

    @property
    def name(self) -> bytes:
        """The key of a row."""
        return self.workspace.name

    @property
    def label(self) -> str:
        """The name as it may be shown."""
        return self.workspace.label

    @property
    def status(self) -> Status:
        """Short for the verdict's."""
        return self.verdict.status

    @property
    def last_change_ns(self) -> int | None:
        """The newest change in the tree, or the top's own as a first guess, or None while nothing is known."""
        if self.usage is not None:
            return self.usage.newest_change_ns
        identity = self.workspace.identity
        return None if identity is None else max(identity.mtime_ns, identity.ctime_ns)
