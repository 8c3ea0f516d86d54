"""What this user's machine remembers of a volume: pins, and which ids were live at the last trusted read.

Kept in the user's state directory, because listing must not write to the volume. Losing it is harmless: pins are
also settings (`protect`), and the ids are only there to notice a registry that suddenly lost many.
"""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

import msgspec


class _Memory(msgspec.Struct):
    root: str = ""
    pinned: list[bytes] = []
    live_ids: list[str] | None = None


class LocalState:
    """The memory of one volume, named by its resolved root."""

    def __init__(self, directory: Path, root: bytes) -> None:
        self.directory = directory / "volumes" / hashlib.sha256(root).hexdigest()[:16]
        self._path = self.directory / "memory.json"
        self._root = os.fsdecode(root).encode("utf-8", "backslashreplace").decode()
        #: why the memory could not be read or written, for a warning
        self.problem = ""
        self._memory = self._read()

    def _read(self) -> _Memory:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Memory)
        except FileNotFoundError:
            return _Memory(root=self._root)
        except (OSError, msgspec.MsgspecError) as error:
            self.problem = f"the local memory {self._path} can't be read ({error}): pins are forgotten"
            return _Memory(root=self._root)

    def _write(self) -> None:
        new = self._path.with_name(f".{self._path.name}-{secrets.token_hex(4)}")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.encode(self._memory))
            new.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            self.problem = f"the local memory {self._path} can't be written: {error.strerror}"

    @property
    def pinned(self) -> frozenset[bytes]:
        """Names that the user marked to be kept."""
        return frozenset(self._memory.pinned)

    def pin(self, name: bytes, pinned: bool) -> None:
        """Marks a name to be kept, or takes the mark away."""
        names = set(self._memory.pinned)
        (names.add if pinned else names.discard)(name)
        self._memory.pinned = sorted(names)
        self._write()

    @property
    def live_ids(self) -> frozenset[str] | None:
        """The ids that were live at the last trusted read, None where there was none."""
        return None if self._memory.live_ids is None else frozenset(self._memory.live_ids)

    def remember_live(self, ids: frozenset[str]) -> None:
        """Keeps the live ids of a trusted read."""
        if self.live_ids != ids:
            self._memory.live_ids = sorted(ids)
            self._write()
