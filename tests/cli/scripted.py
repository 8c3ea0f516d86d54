"""An engine that says what a test told it to, and remembers what it was asked."""

from collections.abc import Sequence
from typing import Any

from sweeper_gui.engine import messages as m


class ScriptedHost:
    """Starts every job and ends it with the next result; each poll returns the next update of the script.

    `when_cancelled` is the result of a job that is cancelled.
    """

    def __init__(self, *results: Any, updates: Sequence[m.Update] = (), when_cancelled: Any = None) -> None:
        self.requests: list[m.Request] = []
        self.closed = False
        self._results = list(results)
        self._updates = list(updates)
        self._when_cancelled = when_cancelled
        self._cancelled = False
        self._job = 0

    def request(self, request: m.Request) -> m.Reply:
        self.requests.append(request)
        if isinstance(request, m.Open):
            return m.Opened("test", 1)
        if isinstance(request, m.Poll):
            return self._update()
        if isinstance(request, m.Cancel):
            self._cancelled = True
            return m.Done()
        self._job += 1
        return m.Started(self._job)

    def close(self) -> bool:
        self.closed = True
        return True

    def asked(self, kind: type) -> list[Any]:
        """The requests of one kind, in order."""
        return [request for request in self.requests if isinstance(request, kind)]

    def _update(self) -> m.Update:
        if self._updates:
            return self._updates.pop(0)
        if self._when_cancelled is not None:
            result = self._when_cancelled if self._cancelled else None
        else:
            result = self._results.pop(0)
        finished = () if result is None else (m.Finished(self._job, result),)
        return m.Update(finished=finished)
