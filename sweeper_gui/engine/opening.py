"""Opening the volume for a job, in a way that whatever fails is told as the volume's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from sweeper_gui.core.names import visible
from sweeper_gui.settings import Settings
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.ground import Ground

#: What to do about an error of the operating system that nobody knows more about.
CHECK = "check the mount and the permissions"


def open_ground(settings: Settings, pool: WorkPool, cancel: Event) -> Ground:
    """The open volume. Raises `VolumeError`, and nothing else, where that is impossible."""
    with blaming(settings.volume.root), pool.operation(cancel=cancel):
        return Ground(settings, pool, cancel)


@contextmanager
def blaming(root: Path | bytes | None) -> Iterator[None]:
    """Makes an error of the operating system that nobody else has put into words the volume's: a `VolumeError`."""
    try:
        yield
    except OSError as error:
        shown = visible(os.fsencode(root)) if root else ""
        raise VolumeError(f"the volume {shown}: {system_words(error)}", CHECK) from error


def system_words(error: OSError) -> str:
    """What the operating system says, and of which path: 'Permission denied (/srv/x)'."""
    where = f" ({visible(error.filename)})" if isinstance(error.filename, bytes | str) else ""
    return f"{error.strerror or error}{where}"
