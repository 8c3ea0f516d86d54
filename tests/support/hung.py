"""A volume that stops answering at a given place of the work, by a daemon that is stopped or killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.slowfs import Fault, SlowVolume, slow_volume
from tests.support.volume import FakeVolume

#: Where the work is when the volume stops: what it hangs in.
PLACES = {
    "listing": Fault("readdir", "workspaces", hang=True),
    "measuring": Fault("opendir", "workspaces/dead/*", hang=True),
    "sweeping": Fault("unlink", "*/removing/*", hang=True, nth=20),
}


class HungVolume(FakeVolume):
    """A live workspace and an orphan on a served volume; the registry lies elsewhere, and always answers."""

    def __init__(self, served: SlowVolume, database: Path) -> None:
        super().__init__(served.path, database)
        self.served = served

    def release(self) -> None:
        """The volume answers again, everything."""
        self.served.thaw()
        self.served.set_plan()


@contextmanager
def hung_volume(directory: Path) -> Iterator[HungVolume]:
    """The volume, answering as yet. What is served stays when it ends: it may be served again."""
    database = directory / "collab.sqlite3"
    fresh = not database.exists()
    with slow_volume(directory / "backing", directory / "mount") as served:
        volume = HungVolume(served, database)
        if fresh:
            volume.live("alive")
            volume.deleted("dead", 60)
        try:
            yield volume
        finally:
            served.thaw()  # or what is stuck in it could not be ended


def is_there(pid: int) -> bool:
    """Whether a process has not ended, be it only in name: one that was killed in a volume that hangs."""
    return psutil.pid_exists(pid)
