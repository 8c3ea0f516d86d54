"""One invocation of the command: its streams, its signals, the common options, and the way to settings and engine."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sweeper_gui.cli.codes import Code, Refusal
from sweeper_gui.cli.log import log_to
from sweeper_gui.cli.output import Output, plain
from sweeper_gui.cli.progress import progress_for
from sweeper_gui.cli.run import PATIENCE, Session
from sweeper_gui.cli.signals import Signals
from sweeper_gui.engine.host import Host

if TYPE_CHECKING:
    from sweeper_gui.settings import Settings


class Common(msgspec.Struct, frozen=True):
    """The options that every command has; None or empty where not given."""

    root: str | None = None
    registry: tuple[str, ...] = ()
    query: str | None = None
    min_age: str | None = None
    control_dir: str | None = None
    config: str | None = None

    def over(self, other: "Common") -> "Common":
        """These, and the other's where one is not given here."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value not in (None, ())}
        return msgspec.structs.replace(other, **given)

    def overrides(self) -> Mapping[str, object]:
        """What they override in the settings. Relative paths are made absolute, by their text alone."""
        given: dict[str, object] = {
            "root": _absolute(self.root),
            "registry": self.registry or None,
            "query": self.query,
            "min_age": self.min_age,
            "control_dir": _absolute(self.control_dir),
        }
        return {name: value for name, value in given.items() if value is not None}


def _absolute(path: str | None) -> str | None:
    return os.path.abspath(path) if path else path


class Invocation:
    """What a command works with."""

    def __init__(self, output: Output, signals: Signals, make_host: Callable[[], Host] | None = None) -> None:
        self._make_host = make_host or self._engine_process
        self.output = output
        self.signals = signals
        self.common = Common()
        #: the command that follows, while the options before it are read
        self.command: str | None = None
        #: what no message may hold, once the settings have been read
        self.secrets: frozenset[str] = frozenset()

    def _engine_process(self) -> Host:
        from sweeper_gui.engine.process import EngineProcess  # neither for --help nor for the window

        return EngineProcess(give_up=lambda: self.signals.requested_for > PATIENCE)

    def settings(self) -> "Settings":
        """The settings from file, environment and options. Raises `Refusal` that names every problem."""
        from sweeper_gui.settings import SettingsError

        try:
            return self.load_settings()
        except SettingsError as error:
            raise Refusal(
                Code.USAGE, f"the settings can't be used:\n{error}", "'sweeper doctor' explains the whole set-up."
            ) from error

    def load_settings(self) -> "Settings":
        """The settings. Raises `SettingsError`."""
        from sweeper_gui.settings import load_settings  # pydantic takes a quarter of a second to import

        config = Path(self.common.config) if self.common.config else None
        settings = load_settings(config, self.common.overrides())
        self.secrets = settings.secrets
        return settings

    @contextmanager
    def session(self, settings: "Settings") -> Iterator[Session]:
        """An engine with these settings, in a process of its own."""
        from sweeper_gui.settings import state_dir

        log_to(state_dir(), settings.secrets)
        watcher = progress_for(self.output.messages, self._progress_line)
        session = Session(self._make_host(), self.signals, watcher)
        try:
            session.open(settings.to_wire())
            yield session
        finally:
            stuck = session.close()
            if stuck is not None:
                self.output.warning(*stuck)

    def _progress_line(self, text: str) -> None:
        self.output.notice(plain(text))
