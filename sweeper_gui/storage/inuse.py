"""Who on this host uses something on the volume: working directories, open and mapped files, bind-mount sources.

Only what this user may see: other users' processes and other hosts stay invisible, which every front end says.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from sweeper_gui.core.names import visible
from sweeper_gui.storage.mounts import Mount, below, read_mounts, shared_from

_MAPPED_PATH = re.compile(rb"^\S+ \S+ \S+ \S+ \S+\s+(/.*)$", re.MULTILINE)


def uses_below(tops: Sequence[bytes], own: Mount) -> dict[bytes, str]:
    """For each absolute path in use at or below one of `tops` (absolute, resolved): by whom, in words.

    `own` is the mount that the tops lie on. What is reached through another mount of the same file system, such as one
    in a container, is found all the same, and so are directories that are bind-mounted somewhere.
    """
    mounts = read_mounts()
    namespaces = _Namespaces(own, mounts)
    found: dict[bytes, str] = {}
    for process in psutil.process_iter():
        aliases = namespaces.aliases_for(process.pid)
        for seen, how in _paths_of(process.pid):
            for path in _as_seen_from_here(seen, aliases):
                if path not in found and any(below(path, top) is not None for top in tops):
                    found[path] = f"in use: {_name_of(process)} (process {process.pid}) {how}"
    for top in tops:
        for inner, point in shared_from(mounts, top, own).items():
            found.setdefault(top + b"/" + inner, f"in use: bind-mounted at {visible(point)}")
    return found


class _Alias(NamedTuple):
    """Another mount of our file system: what lies below `point` there lies below `place` here."""

    point: bytes
    place: bytes


class _Namespaces:
    """Where our file system is mounted, by mount namespace: a container has a mount table of its own."""

    def __init__(self, own: Mount, mounts: Sequence[Mount]) -> None:
        self._own = own
        self._ours = _namespace_of("self")
        self._aliases = {self._ours: _aliases(own, mounts, others=False)}

    def aliases_for(self, pid: int) -> Sequence[_Alias]:
        """The other mounts of our file system that a process sees."""
        namespace = _namespace_of(pid) or self._ours
        if namespace not in self._aliases:
            try:
                mounts = read_mounts(Path(f"/proc/{pid}/mountinfo"))
            except OSError:  # ended meanwhile, or another user's
                return ()
            self._aliases[namespace] = _aliases(self._own, mounts, others=True)
        return self._aliases[namespace]


def _namespace_of(pid: int | str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _aliases(own: Mount, mounts: Sequence[Mount], *, others: bool) -> list[_Alias]:
    found = []
    for mount in mounts:
        if mount.device != own.device or (mount.id == own.id and not others):
            continue
        inner = below(mount.root, own.root)
        if inner is not None:
            found.append(_Alias(mount.point, own.point.rstrip(b"/") + (b"/" + inner if inner else b"")))
    return found


def _as_seen_from_here(path: bytes, aliases: Sequence[_Alias]) -> Iterator[bytes]:
    yield path
    for alias in aliases:
        inner = below(path, alias.point)
        if inner is not None:
            yield alias.place + (b"/" + inner if inner else b"")


def user_of(top: bytes, uses: dict[bytes, str]) -> str | None:
    """Who uses something at or below `top`, from what `uses_below` found."""
    return next((words for path, words in uses.items() if below(path, top) is not None), None)


def _name_of(process: psutil.Process) -> str:
    try:
        return visible(process.name())
    except psutil.Error:
        return "a process"


def _paths_of(pid: int) -> Iterator[tuple[bytes, str]]:
    base = f"/proc/{pid}".encode()
    yield from ((path, "has its working directory inside") for path in _links((base + b"/cwd", base + b"/root")))
    descriptors: Iterable[bytes] = ()
    if pid != os.getpid():  # what we have open is what we are measuring
        with contextlib.suppress(OSError):  # ended, or another user's
            descriptors = os.listdir(base + b"/fd")
    yield from ((path, "has a file open inside") for path in _links(base + b"/fd/" + fd for fd in descriptors))
    try:
        maps = Path(os.fsdecode(base + b"/maps")).read_bytes()
    except OSError:
        return
    yield from ((_alive(path), "has a file mapped inside") for path in set(_MAPPED_PATH.findall(maps)))


def _links(paths: Iterable[bytes]) -> Iterator[bytes]:
    for path in paths:
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith(b"/"):
            yield _alive(target)


def _alive(path: bytes) -> bytes:
    """Without the mark of an unlinked file: the directory it was in is in use all the same."""
    return path.removesuffix(b" (deleted)")
