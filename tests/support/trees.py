"""Trees of files: made quickly, and compared by everything that makes them what they are."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def make_tree(directory: Path, entries: int, *, per_directory: int = 50, size: int = 100) -> Path:
    """A tree of exactly so many entries below `directory`, which is made; files of `size` bytes, two levels deep."""
    directory.mkdir(parents=True, exist_ok=True)
    content = b"x" * size
    left = entries
    number = 0
    while left > 0:
        part = directory / f"d{number // 20:03}" / f"d{number:05}"
        if number % 20 == 0:
            part.parent.mkdir()
            left -= 1
        number += 1
        if left > 0:
            part.mkdir()
            left -= 1
        for index in range(min(per_directory, left)):
            (part / f"f{index}").write_bytes(content)
        left -= min(per_directory, left)
    return directory


def fingerprint(directory: Path) -> str:
    """A hash of every name, kind, mode, owner, mtime, link target and content below `directory`, itself included."""
    total = hashlib.sha256()
    for line in _lines(os.fsencode(directory), b"."):
        total.update(line + b"\0")
    return total.hexdigest()


def _lines(path: bytes, shown: bytes) -> Iterator[bytes]:
    status = os.lstat(path)
    facts = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink)
    yield shown + b"\0" + repr(facts).encode()
    if stat.S_ISLNK(status.st_mode):
        yield os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            yield hashlib.file_digest(file, "sha256").digest()
    elif stat.S_ISDIR(status.st_mode):
        for name in sorted(os.listdir(path)):
            yield from _lines(path + b"/" + name, shown + b"/" + name)
