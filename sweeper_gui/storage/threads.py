"""Starting threads, which a host may refuse: its limits (RLIMIT_NPROC, a container's pids.max) are an error as any."""

import errno
import threading
from collections.abc import Callable


def started(target: Callable[[], None], name: str) -> threading.Thread:
    """A daemon thread that runs `target`. Raises OSError (EAGAIN) where this host starts no more of them."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "this host starts no more threads for us: raise its limit of tasks") from error
    return thread
