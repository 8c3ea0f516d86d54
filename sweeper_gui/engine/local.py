"""The engine in this very process: for the command line and the tests."""

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

    def close(self) -> None:
        """Ends the work; waits a second at most for what hangs."""
        self._engine.close()
