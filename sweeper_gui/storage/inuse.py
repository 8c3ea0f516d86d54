"""Who on this host uses something on the volume: working directories, open and mapped files, bind-mount sources.

Only what this user may see: other users' processes and other hosts stay invisible, which every front end says.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psutil

from sweeper_gui.core.names import visible
from sweeper_gui.storage.mounts import Mount, below, shared_from

_MAPPED_PATH = re.compile(rb"^\S+ \S+ \S+ \S+ \S+\s+(/.*)$", re.MULTILINE)


def uses_below(tops: Sequence[bytes], mounts: Sequence[Mount] = (), own: Mount | None = None) -> dict[bytes, str]:
    """For each absolute path in use at or below one of `tops` (absolute, resolved): by whom, in words.

    With `own`, the mount that the tops lie on, sources of bind mounts count too.
    """
    found: dict[bytes, str] = {}
    for process in psutil.process_iter():
        for path, how in _paths_of(process.pid):
            if path not in found and any(below(path, top) is not None for top in tops):
                found[path] = f"in use: {_name_of(process)} (process {process.pid}) {how}"
    if own is not None:
        for top in tops:
            for inner, point in shared_from(mounts, top, own).items():
                found.setdefault(top + b"/" + inner, f"in use: bind-mounted at {visible(point)}")
    return found


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
