"""A run that dies: `python -m tests.support.dying DIRECTORY STEP [WHAT]` sweeps the volume there and dies at a step.

WHAT is sweep (everything), restore, purge (both: everything set aside) or resume.

The steps are everything that changes something outside the process, counted in the order in which it happens: each
rename, unlink, rmdir, mkdir, open for writing, write, fsync, truncation and change of mode. It dies by SIGKILL right
before the step; with STEP 0 it goes through and prints how many there were.
"""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper_gui.storage import files
from sweeper_gui.storage.queue import WorkPool
from tests.sweep.rig import Rig

_lock = threading.Lock()
_steps = itertools.count(1)


def _counted(function: Callable[..., Any], last: int, *, matters: Callable[..., bool] = lambda *_, **__: True) -> Any:
    def step(*arguments: Any, **keywords: Any) -> Any:
        if matters(*arguments, **keywords):
            with _lock:
                if next(_steps) == last:
                    os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **keywords)

    return step


def _writes(_path: object, flags: int, *_: object, **__: object) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main(directory: Path, last: int, what: str) -> None:
    """Runs it on everything there is."""
    for name in ("rename", "unlink", "rmdir", "mkdir", "write", "pwrite", "fsync", "ftruncate", "fchmod"):
        setattr(os, name, _counted(getattr(os, name), last))
    os.open = _counted(os.open, last, matters=_writes)
    files.rename_exclusively.__globals__["_libc"] = _Library(files.rename_exclusively.__globals__["_libc"], last)
    pool = WorkPool(4)
    rig = Rig(directory, pool)
    lying = [os.fsdecode(item.name) for item in rig.trash()]
    runs = {
        "sweep": lambda: rig.sweep(rig.plan(cap=100)),
        "restore": lambda: rig.restore(*lying),
        "purge": lambda: rig.purge(*lying),
        "resume": rig.resume,
    }
    runs[what]()
    sys.stdout.write(f"{next(_steps) - 1}\n")
    sys.stdout.flush()
    os._exit(0)


class _Library:
    """The C library with its rename counted."""

    def __init__(self, library: Any, last: int) -> None:
        self.syscall = library.syscall
        self.renameat2 = _counted(library.renameat2, last)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "sweep")
