"""The one seam between a front end and the engine."""

from typing import Protocol

from sweeper_gui.engine.messages import Reply, Request


class Host(Protocol):
    """Something that carries requests to an engine: in this process, or in one of its own."""

    def request(self, request: Request) -> Reply:
        """The engine's reply. Raises `EngineGone` when there is none to be had."""
        ...

    def close(self) -> bool:
        """Ends the engine; never waits for a stuck volume for more than two seconds. False where that keeps it."""
        ...


class EngineGone(Exception):
    """The engine process has ended or does not answer; the text says what is known."""
