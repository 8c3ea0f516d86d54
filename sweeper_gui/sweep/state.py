"""What this user's machine remembers of a volume: pins, and which ids were live at the last trusted read.

Kept in the user's state directory, because listing must not write to the volume. The ids are only there to notice a
registry that suddenly lost many, and losing them is harmless. Pins keep workspaces from being removed: they are a file
of their own, read anew whenever they are asked for, and where they can't be read nothing may be judged.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.storage.volume import VolumeError


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
            return frozenset(msgspec.json.decode(self._pins_path.read_bytes(), type=_Pins).pinned)
        except FileNotFoundError:
            return frozenset()
        except (OSError, msgspec.MsgspecError) as error:
            raise VolumeError(
                f"the pins in {self._pins_path} can't be read: {error}", "mend the file, or remove it and pin again"
            ) from error

    def pin(self, name: bytes, pinned: bool) -> None:
        """Marks a name to be kept, or takes the mark away. Raises `VolumeError`."""
        try:
            with self._one_at_a_time():
                names = set(self.pinned)
                (names.add if pinned else names.discard)(name)
                self._write(self._pins_path, msgspec.json.encode(_Pins(self._root, sorted(names))))
        except OSError as error:
            raise VolumeError(
                f"the pins in {self._pins_path} can't be written: {error.strerror}", "look at that directory"
            ) from error

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
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
            return frozenset(msgspec.json.decode(self._ids_path.read_bytes(), type=_Ids).live_ids)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            self.problem = f"the ids of the last read in {self._ids_path} can't be read: {error}"
            return None

    def remember_live(self, ids: frozenset[str]) -> None:
        """Keeps the live ids of a trusted read."""
        if self.live_ids == ids:
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._ids_path, msgspec.json.encode(_Ids(self._root, sorted(ids))))
        except OSError as error:
            self.problem = f"the ids of this read can't be kept in {self._ids_path}: {error.strerror}"

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        """Puts the whole new content in the place of the old."""
        new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            new.write_bytes(content)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
