"""What this user's machine remembers of a volume: pins, and which ids were live at the last trusted read.

Kept in the user's state directory, because listing must not write to the volume. The ids are only there to notice a
registry that suddenly lost many, and losing them is harmless. Pins keep workspaces from being removed: they are a file
of their own, read anew whenever they are asked for, and where they can't be read nothing may be judged.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.storage.private import Exposed, append_private, read_private, replace_private
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.words import words_of

#: Larger than the ids and pins of any volume.
_MAX_SIZE = 256 << 20
_ELSEWHERE = "mend that, or set SWEEPER_STATE_DIR to a directory that only you can change"
#: What reading a file can end with: it may hold anything.
_UNREADABLE = (OSError, msgspec.MsgspecError, RecursionError)


class _Ids(msgspec.Struct):
    root: str
    live_ids: list[str]


class _Pins(msgspec.Struct):
    root: str
    pinned: list[bytes]


class LocalState:
    """The memory of one volume, named by its resolved root."""

    def __init__(self, directory: Path, root: bytes) -> None:
        self.directory = directory / "volumes" / hashlib.sha256(root).hexdigest()[:16]
        self._ids_path = self.directory / "live-ids.json"
        self._pins_path = self.directory / "pins.json"
        self._root = visible(root)
        #: why the ids could not be read or written, for a warning
        self.problem = ""

    # --- pins -------------------------------------------------------------------------------------------------------

    @property
    def pinned(self) -> frozenset[bytes]:
        """Names that the user marked to be kept, as they are now. Raises `VolumeError` where that can't be told."""
        try:
            content = read_private(self._pins_path, _MAX_SIZE)
            return frozenset(msgspec.json.decode(content, type=_Pins).pinned)
        except FileNotFoundError:
            return frozenset()
        except _UNREADABLE as error:
            raise VolumeError(
                f"the pins in {_shown(self._pins_path)} can't be read: {words_of(error)}",
                _ELSEWHERE if isinstance(error, Exposed) else "mend the file, or remove it and pin again",
            ) from error

    def pin(self, name: bytes, pinned: bool) -> None:
        """Marks a name to be kept, or takes the mark away. Raises `VolumeError`."""
        try:
            with self._one_at_a_time():
                names = set(self.pinned)
                (names.add if pinned else names.discard)(name)
                replace_private(self._pins_path, msgspec.json.encode(_Pins(self._root, sorted(names))))
        except OSError as error:
            raise VolumeError(
                f"the pins in {_shown(self._pins_path)} can't be written: {words_of(error)}",
                _ELSEWHERE if isinstance(error, Exposed) else "look at that directory",
            ) from error

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        descriptor = append_private(self.directory / "lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # --- ids --------------------------------------------------------------------------------------------------------

    @property
    def live_ids(self) -> frozenset[str] | None:
        """The ids that were live at the last trusted read, None where there was none that can be read."""
        try:
            return frozenset(msgspec.json.decode(read_private(self._ids_path, _MAX_SIZE), type=_Ids).live_ids)
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            self.problem = f"the ids of the last read in {_shown(self._ids_path)} can't be read: {words_of(error)}"
            return None

    def remember_live(self, ids: frozenset[str]) -> None:
        """Keeps the live ids of a trusted read."""
        if self.live_ids == ids:
            return
        try:
            replace_private(self._ids_path, msgspec.json.encode(_Ids(self._root, sorted(ids))))
        except OSError as error:
            self.problem = f"the ids of this read can't be kept in {_shown(self._ids_path)}: {words_of(error)}"


def _shown(path: Path) -> str:
    return visible(os.fsencode(path))
