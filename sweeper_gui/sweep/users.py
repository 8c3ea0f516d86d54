"""Who uses what has been set aside: a process that had a workspace open before the rename has it open still."""

import threading
import time

from sweeper_gui.storage.control import SWEEPS
from sweeper_gui.storage.inuse import user_of, uses_below
from sweeper_gui.storage.mounts import Mount, below, read_mounts


class TrashUsers:
    """Looks at all processes for the whole trash at once, and again when the last look is too old. Thread-safe."""

    def __init__(self, control_path: bytes, own: Mount) -> None:
        self._sweeps = control_path + b"/" + SWEEPS
        self._own = own
        self._lock = threading.Lock()
        self._uses: dict[bytes, str] = {}
        self._looked_at = float("-inf")

    def user_of(self, place: bytes, looked_within: float) -> str | None:
        """Who uses a tree at `<sweep>/whole/<n>` or the like, by a look at most so many seconds ago.

        What is mounted inside counts too.
        """
        path = self._sweeps + b"/" + place
        with self._lock:
            if time.monotonic() - self._looked_at >= looked_within:
                self._looked_at = time.monotonic()
                self._uses = uses_below([self._sweeps], self._own)
            uses = self._uses
        if any(below(mount.point, path) is not None for mount in read_mounts()):
            return "in use: something is mounted inside"
        return user_of(path, uses)
