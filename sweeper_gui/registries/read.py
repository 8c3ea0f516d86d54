"""One read of all registries, in parallel, that never raises and always ends."""

import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sweeper_gui.core.snapshot import RegistryRead, Snapshot
from sweeper_gui.registries.base import CANCELLED, Attempt, RegistryError
from sweeper_gui.registries.identity import identity_of
from sweeper_gui.registries.mounts import network_file_system as _network_file_system
from sweeper_gui.registries.rows import Sessions
from sweeper_gui.settings import RegistrySettings
from sweeper_gui.settings.secrets import references, secrets_in, without

_log = logging.getLogger(__name__)

#: How often a cancellation is looked for, in seconds.
_GLANCE = 0.05
#: What a reader gets to end by itself after its time is up, in seconds; then it is left behind.
_GRACE = 1.5
_CANCEL_GRACE = 0.25

NetworkCheck = Callable[[Path], str | None]


def read_all(
    registries: Sequence[RegistrySettings],
    *,
    network_file_system: NetworkCheck = _network_file_system,
    cancel: threading.Event | None = None,
) -> Snapshot:
    """One read of every registry, unexamined. Never raises: a source that fails comes with its `error` and `hint`.

    Ends when the longest timeout is over, even where a source hangs in the kernel; `cancel` ends it within half a
    second.
    """
    answers: queue.SimpleQueue[tuple[int, RegistryRead]] = queue.SimpleQueue()
    running = [_Running(settings, Attempt(settings.timeout), time.time()) for settings in registries]
    for index, one in enumerate(running):
        # A daemon: one that is stuck in a hung mount can't be ended, and nobody must wait for it.
        thread = threading.Thread(
            target=_run, args=(one, network_file_system, index, answers), name=f"registry-{index}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            answers.put((index, one.read(None, "this host starts no more threads for us", "raise its limit of tasks")))
    return Snapshot(reads=_collected(running, answers, cancel))


@dataclass(frozen=True)
class _Running:
    settings: RegistrySettings
    attempt: Attempt
    #: the host's clock before anything was opened: what was committed later may be missing
    started_at: float

    def read(self, sessions: Sessions | None, error: str | None = None, hint: str | None = None) -> RegistryRead:
        """The result of this read."""
        return RegistryRead(
            identity=msgspec.structs.replace(
                identity_of(self.settings), answered=sessions.answered if sessions else ""
            ),
            shown=self.settings.shown,
            started_at=self.started_at,
            finished_at=time.time(),
            sessions=sessions.sessions if sessions else (),
            knows_deleted=sessions.knows_deleted if sessions else True,
            error=error,
            hint=hint,
        )


def _run(
    running: _Running,
    network_file_system: NetworkCheck,
    index: int,
    answers: queue.SimpleQueue[tuple[int, RegistryRead]],
) -> None:
    answers.put((index, _attempted(running, network_file_system)))


def _attempted(running: _Running, network_file_system: NetworkCheck) -> RegistryRead:
    try:
        return running.read(_read(running.settings, running.attempt, network_file_system))
    except RegistryError as error:
        return running.read(None, _without_secrets(str(error), running), _without_secrets(error.hint, running) or None)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not look like a registry without sessions
        # The error's text and its trace may hold the secrets of the source, so neither is logged.
        place = traceback.extract_tb(error.__traceback__)[-1]
        _log.error("unexpected %s in %s, line %s", type(error).__name__, place.filename, place.lineno)
        return running.read(None, f"could not be read: {type(error).__name__}", "this is a fault in Sweeper: report it")


def _read(settings: RegistrySettings, attempt: Attempt, network_file_system: NetworkCheck) -> Sessions:
    """The sessions of one source. The readers are imported here: SQLAlchemy alone takes a quarter of a second."""
    if settings.kind == "sql":
        from sweeper_gui.registries.sql import read_sql

        return read_sql(settings, attempt, network_file_system)
    if settings.kind == "http":
        from sweeper_gui.registries.http import read_http

        return read_http(settings, attempt)
    if settings.kind == "exec":
        from sweeper_gui.registries.command import read_command

        return read_command(settings, attempt)
    from sweeper_gui.registries.file import read_file

    return read_file(settings, attempt)


def _collected(
    running: Sequence[_Running],
    answers: queue.SimpleQueue[tuple[int, RegistryRead]],
    cancel: threading.Event | None,
) -> tuple[RegistryRead, ...]:
    reads: dict[int, RegistryRead] = {}
    while len(reads) < len(running):
        try:
            index, read = answers.get(timeout=_GLANCE)
        except queue.Empty:
            pass
        else:
            reads[index] = read
        for index, one in enumerate(running):
            if index not in reads and (given_up := _given_up(one, cancel)) is not None:
                reads[index] = given_up
    return tuple(reads[index] for index in range(len(running)))


def _given_up(running: _Running, cancel: threading.Event | None) -> RegistryRead | None:
    """The result for a source that nobody waits for any longer, None while there is hope."""
    attempt = running.attempt
    cancelled = cancel is not None and cancel.is_set()
    if cancelled:
        attempt.cancel()
    if not attempt.over:
        return None
    attempt.cut()
    if cancelled:
        return running.read(None, CANCELLED) if attempt.overdue > _CANCEL_GRACE else None
    timeout = attempt.timeout()
    return running.read(None, str(timeout), timeout.hint) if attempt.overdue > _GRACE else None


def _without_secrets(text: str, running: _Running) -> str:
    """The text of an error without anything that a driver, a server or a command may have quoted."""
    settings = running.settings
    hidden = secrets_in(settings.source.get_secret_value()) | running.attempt.hidden
    if settings.written is not None:
        hidden |= {os.environ.get(name, "") for name in references(settings.written.get_secret_value())}
    return without(text, hidden)
