"""The steps of a run in this process, each known by what it does, and something done right before one of them.

A step is whatever a run does to the volume that can be told apart from outside: each rename, unlink, rmdir, mkdir,
open for writing, write, fsync, truncation and change of mode, and each directory that is opened. Its label says what
is done to what ('mkdir whole', 'write log.jsonl'), so that a step is the n-th of its label whatever the order in which
the threads of a run come to it.
"""

import ctypes
import errno
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sweeper_gui.storage import bulk, files
from tests.support.pieces import one_by_one

_CALLS = ("rename", "unlink", "rmdir", "mkdir", "write", "pwrite", "fsync", "ftruncate", "fchmod", "link")
_NEED_SPACE = ("rename", "renameat2", "mkdir", "write", "pwrite", "fsync", "link", "open")
#: Names that differ from run to run.
_RANDOM = re.compile(r"[0-9]{8}T\S*|(?<=-)[0-9a-f]{8,}|(?<=probe-).*|(?<=binding-).*")

Step = tuple[str, int]


class NamedSteps:
    """Counts the steps while its monkeypatch lasts; `act` is called once, right before the step `at`."""

    def __init__(
        self, patch: pytest.MonkeyPatch, below: str, at: Step | None = None, act: Callable[[], None] | None = None
    ) -> None:
        """Only what lies below the path `below` counts."""
        self._below = below
        self._at = at
        self._act = act
        self._seen: Counter[str] = Counter()
        self._lock = threading.RLock()
        #: the thread that makes the change: what it does is no step
        self._acting = 0
        #: all steps in their order
        self.taken: list[Step] = []
        #: how many of them had been taken when `act` was called, None before that
        self.acted: int | None = None
        #: what every further step that writes fails with; one that needs space only, where it is for want of space
        self.failing = 0
        for name in _CALLS:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))
        for name in ("unlink", "rmdir"):
            patch.setattr(bulk, name, one_by_one(getattr(bulk, name), self._counted_in(name)))
        patch.setattr(os, "open", self._counted("open", os.open, matters=_writes))
        for name in ("open_directory", "open_identified"):
            patch.setattr(files, name, self._counted("enter", getattr(files, name)))
        library = files.rename_exclusively.__globals__["_libc"]
        patch.setitem(files.rename_exclusively.__globals__, "_libc", _Library(library, self._counted))

    def _counted(
        self, name: str, function: Callable[..., Any], *, matters: Callable[..., bool] = lambda *_, **__: True
    ) -> Callable[..., Any]:
        def step(*arguments: Any, **keywords: Any) -> Any:
            if self._acting != threading.get_ident() and matters(*arguments, **keywords):
                label = self._label(name, arguments, keywords)
                if label is not None:
                    self._count(label)
                    if self._fails(name):
                        return self._fail(name)
            return function(*arguments, **keywords)

        return step

    def _counted_in(self, name: str) -> Callable[[int, bytes], None]:
        """The step of removing one of many names in a directory."""
        step = self._counted(name, lambda *_, **__: None)
        return lambda directory, entry: step(entry, dir_fd=directory)

    def _count(self, label: str) -> None:
        with self._lock:
            self._seen[label] += 1
            step = label, self._seen[label]
            if step == self._at and self._act is not None and self.acted is None:
                self.acted = len(self.taken)
                self._acting = True
                try:
                    self._act()
                finally:
                    self._acting = 0
            self.taken.append(step)

    def _fails(self, name: str) -> bool:
        if self.failing in (errno.ENOSPC, errno.EDQUOT):
            return name in _NEED_SPACE
        return bool(self.failing) and name != "enter"

    def _fail(self, name: str) -> int:
        if name == "renameat2":
            ctypes.set_errno(self.failing)
            return -1
        raise OSError(self.failing, os.strerror(self.failing))

    def _label(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str | None:
        where = self._place(name, arguments, keywords)
        if where is None or not f"{where}/".startswith(f"{self._below}/"):
            return None
        return f"{name} {_short(where)}"

    @staticmethod
    def _place(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str | None:
        """The absolute path of what is changed, the new name for a rename."""
        if name == "renameat2":
            parent, entry = arguments[2], arguments[3]
        elif name in ("rename", "link"):
            parent, entry = keywords.get("dst_dir_fd"), arguments[1]
        elif name == "enter":
            parent, entry = arguments[1], arguments[0]
        elif isinstance(arguments[0], int):
            return _path_of(arguments[0])
        else:
            parent, entry = keywords.get("dir_fd"), arguments[0]
        entry = os.fsdecode(entry)
        if parent is None or entry.startswith("/"):
            return str(entry)
        directory = _path_of(parent)
        return None if directory is None else f"{directory}/{entry}"

    def after(self, prefix: str) -> list[Step]:
        """The steps with such a label since `act` was called."""
        return [step for step in self.taken[self.acted or 0 :] if step[0].startswith(prefix)]


def _writes(_path: object, flags: int, *_: object, **__: object) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _path_of(descriptor: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
    except OSError:
        return None


def _short(path: str) -> str:
    """Where below a sweep's directory it is, else its name: 'whole/', 'removing/…', 'log.jsonl'."""
    for place in ("whole", "removing"):
        top, found, inner = path.rpartition(f"/{place}/")
        number, _, further = inner.partition("/")
        if found and "/sweeps/" in top and number.isdigit():
            return f"{place}/N" + ("/…" if further else "")
    return _RANDOM.sub("X", path.rpartition("/")[2])


class _Library:
    """The C library with its rename counted."""

    def __init__(self, library: Any, counted: Callable[..., Any]) -> None:
        self._library = library
        self.renameat2 = counted("renameat2", library.renameat2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)
