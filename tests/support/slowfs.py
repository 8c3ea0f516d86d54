"""A volume that is slow, fails or hangs on demand: a FUSE pass-through to a directory, driven from the test.

    with slow_volume(backing, mount_point, latency={"unlink": 0.02}) as volume:
        volume.set_plan(Fault("unlink", "a/b/*", error="EIO", times=2))
        ...
        assert volume.counts()["unlink"] == 5

Inode numbers, times, owners and modes are those of the backing directory, nothing is cached by the kernel unless asked
for, and RENAME_NOREPLACE is refused as NFS refuses it. The operations are those of FUSE: `getattr` (look-ups too),
`opendir`, `readdir`, `open`, `create`, `read`, `write`, `truncate`, `fsync`, `fsyncdir`, `unlink`, `rmdir`, `mkdir`,
`rename`, `link`, `symlink`, `readlink`, `chmod`, `chown`, `utimens`, `statfs`, `access`; `*` stands for all.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.mounts import unmount
from tests.support.root import need_root

_PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """What goes wrong, where, and how often.

    `operation` and `path` are matched as fnmatch does, the path being the one below the mount point (for a rename both
    the old and the new one are tried). The fault happens from the `nth` matching call on, `times` times or for ever.
    `error` is the name of an errno (where it is ESTALE, the kernel itself tries once more); `hang` holds the call until
    the next plan or the end; `delay` is in seconds. With `after` the operation is carried out first, as when only the
    answer got lost.
    """

    operation: str
    path: str = "*"
    error: str = ""
    hang: bool = False
    delay: float = 0.0
    nth: int = 1
    times: int | None = None
    after: bool = False


class SlowVolume:
    """A mounted volume and the process that serves it."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self.path = path
        self._process = process

    @property
    def pid(self) -> int:
        """The process that serves the volume."""
        return self._process.pid

    def set_plan(self, *faults: Fault, latency: Mapping[str, float] | None = None) -> None:
        """Replaces the faults, and the seconds per operation where given; calls that hang go on."""
        self._ask(
            {
                "do": "plan",
                "faults": [asdict(fault) for fault in faults],
                "latency": None if latency is None else dict(latency),
            }
        )

    def counts(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(operation for operation, _ in self.calls())

    def calls(self) -> list[tuple[str, str]]:
        """Every (operation, path below the mount point) so far, in the order in which they arrived."""
        return [(operation, path) for operation, path in self._ask({"do": "calls"})]

    def forget_calls(self) -> None:
        """Starts counting anew."""
        self._ask({"do": "forget"})

    def hanging(self) -> int:
        """How many calls hang at this moment."""
        return int(self._ask({"do": "hanging"}))

    def strikes(self) -> int:
        """How often the faults of this plan have happened."""
        return int(self._ask({"do": "strikes"}))

    def freeze(self) -> None:
        """Stops serving: everything that touches the volume waits, and its threads survive even SIGKILL."""
        self._process.send_signal(signal.SIGSTOP)
        while not all(state == "T" for state in self._thread_states()):  # the signal arrives in its own time
            time.sleep(0.001)

    def thaw(self) -> None:
        """Serves again."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the serving process: what waits fails, and so does everything that follows (ENOTCONN)."""
        self._process.kill()
        self._process.wait()

    def _thread_states(self) -> list[str]:
        states = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
                states.append(task.joinpath("stat").read_text().rpartition(")")[2].split()[0])
        return states

    def _ask(self, message: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise OSError("the process that serves the slow volume has ended")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        # The process first: an unmount would ask it, and it may be hanging.
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        with contextlib.suppress(OSError):
            unmount(self.path)


@contextmanager
def slow_volume(
    backing: Path,
    mount_point: Path,
    *faults: Fault,
    latency: Mapping[str, float] | None = None,
    cache: float = 0.0,
    rename_flags: bool = False,
    check_permissions: bool = False,
    owner: tuple[int, int] | None = None,
    silly_rename: bool = False,
) -> Iterator[SlowVolume]:
    """`backing` served on `mount_point`; both are made where they are missing. Needs root.

    `latency` is in seconds per operation. `cache` is for how many seconds the kernel keeps entries and attributes.
    `rename_flags` lets RENAME_NOREPLACE work as it does locally. `check_permissions` has the kernel compare owners and
    modes. New files belong to the caller, or to `owner` as behind an EFS access point. `silly_rename` keeps unlinked
    open files under a hidden name in their directory, as NFS does.
    """
    need_root()
    backing.mkdir(exist_ok=True)
    mount_point.mkdir(exist_ok=True)
    options = {
        "backing": str(backing),
        "mount_point": str(mount_point),
        "cache": cache,
        "rename_flags": rename_flags,
        "check_permissions": check_permissions,
        "owner": owner,
        "silly_rename": silly_rename,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.slowfs_server", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_PROJECT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    with SlowVolume(mount_point, process) as volume:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise OSError("the slow volume could not be mounted; its reason is on standard error")
        volume.set_plan(*faults, latency=latency or {})
        yield volume
