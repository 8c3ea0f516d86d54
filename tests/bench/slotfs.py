"""A simulated file server for benchmarks: slotfs.c, built on demand, mounted any number of times."""

import contextlib
import mmap
import os
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SOURCE = Path(__file__).with_name("slotfs.c")
#: The words of `struct settings` in their order, then how often each operation was done.
_WORDS = ("read_ns", "write_ns", "slots", "cache_ms", "with_attributes", "served", "most_served", "most_waiting")
OPERATIONS = ("look-up", "opendir", "list", "unlink", "rmdir", "rename", "make", "change", "data")
_SIZE = 8 * (len(_WORDS) + len(OPERATIONS))
#: Answering threads a mount: more than any client here has in flight.
_THREADS = 128


class FileServer:
    """The running server. `mounts` are its clients; what `set` changes takes effect at once."""

    def __init__(self, memory: mmap.mmap, mounts: tuple[Path, ...]) -> None:
        self._memory = memory
        self.mounts = mounts

    def set(self, *, slots: int | None = None, read: float | None = None, write: float | None = None) -> None:
        """Service slots (0: any number), and seconds that a reading or a changing operation is served."""
        values = {"slots": slots, "read_ns": _ns(read), "write_ns": _ns(write)}
        for name, value in values.items():
            if value is not None:
                struct.pack_into("Q", self._memory, 8 * _WORDS.index(name), value)

    @property
    def slots(self) -> int:
        """Service slots, 0 for any number."""
        return int(struct.unpack_from("Q", self._memory, 8 * _WORDS.index("slots"))[0])

    @property
    def counts(self) -> dict[str, int]:
        """How often each operation was done since the start or the last `forget_counts`."""
        counted = struct.unpack_from(f"{len(OPERATIONS)}Q", self._memory, 8 * len(_WORDS))
        return dict(zip(OPERATIONS, counted, strict=True))

    @property
    def most_served(self) -> int:
        """How many operations were served at once, at most."""
        return int(struct.unpack_from("Q", self._memory, 8 * _WORDS.index("most_served"))[0])

    def forget_counts(self) -> None:
        """Begins to count anew."""
        first = _WORDS.index("most_served")
        nothing = [0] * (len(_WORDS) - first + len(OPERATIONS))
        struct.pack_into(f"{len(nothing)}Q", self._memory, 8 * first, *nothing)


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)


@contextlib.contextmanager
def file_server(
    backing: Path,
    *,
    mounts: int = 1,
    slots: int = 0,
    read: float = 0.001,
    write: float = 0.0027,
    cache: float = 3.0,
    with_attributes: bool = False,
) -> Iterator[FileServer]:
    """Serves the directory `backing` for as long as the block runs. Needs root and libfuse3-dev.

    `read` and `write` are seconds of service, `cache` is how long clients keep names and attributes.
    """
    with tempfile.TemporaryDirectory(prefix="slotfs-") as temporary:
        place = Path(temporary)
        program = build(place)
        settings = place / "settings"
        settings.write_bytes(struct.pack(
            f"{_SIZE // 8}Q", _ns(read) or 0, _ns(write) or 0, slots, round(cache * 1000), with_attributes,
            *[0] * (_SIZE // 8 - 5),
        ))  # fmt: skip
        paths = tuple(place / f"client-{number}" for number in range(mounts))
        for path in paths:
            path.mkdir()
        # The server and its network are no part of this host: they must not wait for its processors.
        command: list[str | Path] = ["nice", "-n", "-15", program, settings, backing, str(_THREADS), *paths]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)
        assert server.stdout is not None
        try:
            if server.stdout.readline() != b"ready\n":
                raise RuntimeError("the simulated file server did not start")
            with settings.open("r+b") as file, mmap.mmap(file.fileno(), _SIZE) as memory:
                yield FileServer(memory, paths)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            server.stdout.close()
            for path in paths:
                if os.path.ismount(path):
                    subprocess.run(["umount", "--lazy", path], check=False)


def build(place: Path) -> Path:
    """Compiles the server into a directory."""
    for tool in ("cc", "pkg-config"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is missing: ./dev bench installs what benchmarks need")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "fuse3"], check=True, capture_output=True, text=True
    ).stdout
    program = place / "slotfs"
    subprocess.run(["cc", "-O2", "-rdynamic", "-o", program, _SOURCE, *shlex.split(flags), "-lpthread"], check=True)
    return program
