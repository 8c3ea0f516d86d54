"""Real file systems, mounted for one test: ext4 on a file, tmpfs, bind mounts. Needs root.

Each is unmounted lazily when its block ends, however it ends: a descriptor that is still open keeps nothing mounted.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeper_gui.storage.mounts import read_mounts
from tests.support.root import need_root


@contextmanager
def ext4(directory: Path, megabytes: int = 64, options: str = "") -> Iterator[Path]:
    """A new ext4, on a sparse file beside the mount point `directory`, which is made; `options` as for mount(8)."""
    need_root()
    image = directory.with_name(f"{directory.name}.ext4")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    directory.mkdir()
    with _mounted(directory, "-o", f"loop,{options}" if options else "loop", image):
        yield directory
    image.unlink()


@contextmanager
def tmpfs(directory: Path, megabytes: int = 64, options: str = "") -> Iterator[Path]:
    """A new tmpfs on `directory`, which is made where it is missing."""
    need_root()
    directory.mkdir(exist_ok=True)
    size = f"size={megabytes}m"
    with _mounted(directory, "-t", "tmpfs", "-o", f"{size},{options}" if options else size, "tmpfs"):
        yield directory


@contextmanager
def bind(source: Path, target: Path, options: str = "") -> Iterator[Path]:
    """`source` mounted on `target` too, which is made where it is missing; `options` such as 'ro' apply to it only."""
    need_root()
    if not target.exists():
        target.mkdir()
    with _mounted(target, "--bind", source):
        if options:
            _run("mount", "-o", f"remount,bind,{options}", target)
        yield target


@contextmanager
def moved_mount(source: Path, target: Path) -> Iterator[Path]:
    """The mount on `source` moved to `target`, which is made where it is missing; taken away from there at the end."""
    target.mkdir(exist_ok=True)
    _run("mount", "--move", source, target)
    try:
        yield target
    finally:
        if is_mounted(target):
            unmount(target)


def is_mounted(directory: Path) -> bool:
    """Whether something is mounted on this very path; bind mounts count, which the directory itself does not tell."""
    return any(mount.point == bytes(directory) for mount in read_mounts())


def unmount(directory: Path) -> None:
    """Takes the mount away at once, for every path look-up to come."""
    _run("umount", "--lazy", directory)


@contextmanager
def _mounted(directory: Path, *arguments: str | Path) -> Iterator[None]:
    _run("mount", *arguments, directory)
    try:
        yield
    finally:
        if is_mounted(directory):  # the test may have unmounted it, as its subject
            unmount(directory)


def _run(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {result.stderr.strip()}")
