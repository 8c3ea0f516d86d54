"""Everything that a run changes outside the process, step by step, and something done right before one of the steps.

The steps are counted in the order in which they happen: each rename, unlink, rmdir, mkdir, open for writing, write,
fsync, truncation and change of mode. Where many names are removed in one call they are removed one by one.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from sweeper_gui.storage import bulk, files
from tests.support.pieces import one_by_one

_FUNCTIONS = ("rename", "unlink", "rmdir", "mkdir", "write", "pwrite", "fsync", "ftruncate", "fchmod")


class Steps:
    """Calls `act` right before step number `at`, counted from 1; `names` are the steps that were begun."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self._at = at
        self._act = act
        self._lock = threading.Lock()
        self.names: list[str] = []

    def step(self, name: str) -> None:
        """A step that begins now. All others wait while `act` runs."""
        with self._lock:
            self.names.append(name)
            if len(self.names) == self._at:
                self._act()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts while the block runs, in all threads of this process."""
        library = files.rename_exclusively.__globals__["_libc"]
        functions: dict[str, Any] = {name: self._counting(name, getattr(os, name)) for name in _FUNCTIONS}
        functions["open"] = self._counting("open", os.open, matters=_writes)
        removals: dict[str, Any] = {
            name: one_by_one(getattr(bulk, name), lambda *_, name=name: self.step(name)) for name in ("unlink", "rmdir")
        }
        with (
            mock.patch.multiple(os, **functions),
            mock.patch.multiple(bulk, **removals),
            mock.patch.dict(files.rename_exclusively.__globals__, {"_libc": _Library(library, self)}),
        ):
            yield

    def _counting(
        self, name: str, function: Callable[..., Any], *, matters: Callable[..., bool] = lambda *_, **__: True
    ) -> Callable[..., Any]:
        def step(*arguments: Any, **keywords: Any) -> Any:
            if matters(*arguments, **keywords):
                self.step(name)
            return function(*arguments, **keywords)

        return step


def _writes(_path: object, flags: int, *_: object, **__: object) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


class _Library:
    """The C library with its rename counted."""

    def __init__(self, library: Any, steps: Steps) -> None:
        self._library = library
        self.renameat2 = steps._counting("rename", library.renameat2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)
