"""Files and directories beneath a descriptor, read within the time that one workspace may take.

Every operation is counted on the work pool, so that a hung volume is told and the limit applies. Whatever goes wrong
becomes `Unreadable`, with the place in words.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from sweeper_gui.core.names import visible
from sweeper_gui.storage import files
from sweeper_gui.storage.opened import Opened
from sweeper_gui.storage.queue import Kind, WorkPool

#: No file but packs and the work tree's own is read beyond this many bytes.
MAX_FILE = 64 << 20
#: So much of a file is read at once: between two reads a cancel is noticed.
CHUNK = 1 << 20
#: A longer listing belongs to no repository that we could tell about in time.
MAX_NAMES = 1 << 20


class Unreadable(Exception):
    """What a repository holds can't be told; the text says why."""


class NotRegular(Unreadable):
    """What should be a file is something else: a link, a pipe, a device."""


class OutOfTime(Unreadable):
    """The time for this workspace's repositories is used up."""


class Stopped(Exception):
    """The walk was cancelled: nothing is told any more."""


class Budget:
    """How long the repositories of one workspace may be read: seconds in which at least one thread does so.

    Waiting in the pool's queue does not count: that is the volume's or other workspaces' time.
    """

    def __init__(self, seconds: float, stopping: Callable[[], bool]) -> None:
        self.seconds = seconds
        self._stopping = stopping
        self._lock = threading.Lock()
        self._busy = 0
        self._since = self._spent = 0.0

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Around work on repositories, in any thread."""
        with self._lock:
            if not self._busy:
                self._since = monotonic()
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    self._spent += monotonic() - self._since

    def check(self) -> None:
        """Raises `Stopped` or `OutOfTime`. Cheap enough for every step of a loop."""
        if self._stopping():
            raise Stopped
        if self._spent + (monotonic() - self._since if self._busy else 0.0) > self.seconds:
            raise OutOfTime(f"could not be read in {self.seconds:g} s")


class Access:
    """What all reading of one workspace's repositories shares."""

    def __init__(self, pool: WorkPool, budget: Budget) -> None:
        self.budget = budget
        self._pool = pool

    @contextmanager
    def operation(self, shown: str, kind: Kind = Kind.READ) -> Iterator[None]:
        """Around one operation on the volume; its OSErrors become `Unreadable`, but for a missing entry."""
        self.budget.check()
        try:
            with self._pool.operation(kind):
                yield
        except FileNotFoundError:
            raise
        except files.CrossesMount:
            raise Unreadable(f"{shown} is a mount point") from None
        except files.NotRegular:
            raise NotRegular(f"{shown} is no regular file") from None
        except NotADirectoryError:
            raise Unreadable(f"{shown} is no directory") from None
        except OSError as error:
            raise Unreadable(f"{shown}: {error.strerror or error}") from error


class _Opened(Opened):
    """Something open of which the reading is counted, and which has a name for messages."""

    def __init__(self, access: Access, descriptor: int, shown: str) -> None:
        super().__init__(descriptor)
        self._access = access
        self._shown = shown


class File(_Opened):
    """A regular file, open for reading. `size` is in bytes, as of when it was opened."""

    def __init__(self, access: Access, descriptor: int, shown: str) -> None:
        super().__init__(access, descriptor, shown)
        try:
            status = os.fstat(descriptor)
        except OSError:
            self.close()
            raise
        self.size = status.st_size
        self.mtime_ns = status.st_mtime_ns
        self.mode = status.st_mode

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from there, fewer at the end of the file."""
        parts: list[bytes] = []
        while length > 0:
            with self._access.operation(self._shown, Kind.OTHER):
                part = os.pread(self.descriptor, min(length, CHUNK), offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def whole(self, most: int = MAX_FILE) -> bytes:
        """All of it. Raises `Unreadable` where that is more than `most` bytes, whatever the size said."""
        content = self.read(0, min(self.size, most) + 1)
        if len(content) > most:
            raise Unreadable(f"{self._shown} is larger than {most >> 10:,} KiB")
        return content


class Folder(_Opened):
    """A directory, open. Names are single components."""

    @classmethod
    def lent(cls, access: Access, descriptor: int, shown: str) -> "Folder":
        """The directory that somebody else has open; not to be listed, for its reading position is shared."""
        return cls(access, os.dup(descriptor), shown)

    def folder(self, *names: bytes) -> "Folder | None":
        """The directory below, None where there is none. Raises `Unreadable` for a link or anything else."""
        descriptor, shown = self.descriptor, self._shown
        for name in names:
            shown = f"{shown}/{visible(name)}"
            try:
                with self._access.operation(shown):
                    below = files.open_directory(name, descriptor)
            except FileNotFoundError:
                return None
            finally:
                if descriptor != self.descriptor:
                    os.close(descriptor)
            descriptor = below
        return Folder(self._access, descriptor if names else os.dup(descriptor), shown)

    def file(self, name: bytes) -> File | None:
        """The regular file of this name, None where there is none. Raises `Unreadable` for anything else."""
        shown = f"{self._shown}/{visible(name)}"
        try:
            with self._access.operation(shown):
                return File(self._access, files.open_regular(name, self.descriptor), shown)
        except FileNotFoundError:
            return None

    def read(self, name: bytes, most: int = MAX_FILE) -> bytes | None:
        """The whole content of a regular file, None where there is none."""
        found = self.file(name)
        if found is None:
            return None
        with found:
            return found.whole(most)

    def link(self, name: bytes) -> bytes | None:
        """What a symbolic link holds, None where there is none."""
        try:
            with self._access.operation(f"{self._shown}/{visible(name)}"):
                return os.readlink(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None

    def entries(self) -> list[tuple[bytes, bool]]:
        """The names in it, in no order, and which are those of directories."""
        found: list[tuple[bytes, bool]] = []
        os.lseek(self.descriptor, 0, os.SEEK_SET)  # the walk may have listed what it lent
        with self._access.operation(self._shown, Kind.OTHER), os.scandir(self.descriptor) as entries:
            for entry in entries:
                if len(found) == MAX_NAMES:
                    raise OSError(errno.EFBIG, "too many entries")
                if len(found) % 1024 == 0:
                    self._access.budget.check()
                found.append((os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)))
        return found

    def names(self) -> list[bytes]:
        """The names in it, in no order."""
        return [name for name, _ in self.entries()]
