"""How many files the engine's process may have open: each directory that is worked on is one."""

import contextlib
import resource

from sweeper_gui.engine.messages import Failure

#: More are never needed: a descriptor cache of 256, the threads' own, and the registries'.
_ENOUGH = 4096
#: With fewer a large volume makes directories fail for no fault of their own.
_LEAST = 512


def raise_open_files() -> None:
    """Raises this process's limit as far as it may, and as far as it is of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def too_few_open_files() -> Failure | None:
    """Why no volume can be worked on in this process, None where it can."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _LEAST:
        return None
    return Failure(
        "usage",
        f"this process may open {soft} files at once, and the engine needs {_LEAST}",
        f"raise the limit: 'ulimit -n {_ENOUGH}', LimitNOFILE= in a systemd unit, or limits.conf",
    )
