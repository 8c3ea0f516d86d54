"""The engine in this very process: where a test looks into it, or only wants it quick."""

from sweeper_gui.engine.engine import Engine
from sweeper_gui.engine.messages import Reply, Request
from sweeper_gui.engine.open_files import raise_open_files


class LocalHost:
    """A `Host` without a process in between."""

    def __init__(self) -> None:
        raise_open_files()
        self._engine = Engine()

    def request(self, request: Request) -> Reply:
        """The engine's reply."""
        return self._engine.handle(request)

    def close(self) -> bool:
        """Ends the work; waits a second at most for what hangs, and says whether it has ended."""
        return self._engine.close()
