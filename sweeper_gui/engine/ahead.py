"""An engine that is on its way before anybody asks it anything: it starts while the window is still being made."""

from collections.abc import Callable

from sweeper_gui.engine.host import Host
from sweeper_gui.engine.process import EngineProcess


class StartedAhead:
    """Makes engines; the first one has been starting since this was made. Close it: perhaps nobody took that one."""

    def __init__(self, make_host: Callable[[], Host] = EngineProcess) -> None:
        self._make_host = make_host
        self._first: Host | None = None
        try:
            self._first = make_host()
        except OSError:
            pass  # it is tried again by whoever wants one, and told there

    def __call__(self) -> Host:
        """The next engine. Raises OSError where it can't be started."""
        first, self._first = self._first, None
        return first if first is not None else self._make_host()

    def close(self) -> None:
        """Ends the first engine where nobody has taken it; takes a second at most."""
        first, self._first = self._first, None
        if first is not None:
            first.close()
