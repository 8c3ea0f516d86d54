"""Python's garbage, collected in the window's thread only.

The collector runs in whichever thread happens to allocate. Qt objects that are part of a cycle, such as a closed
dialog, would then be destroyed in the engine client's thread, which Qt does not allow.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QObject, QTimer

#: Milliseconds between two looks at how much there is.
_EVERY = 1_000


@contextmanager
def collected_here() -> Iterator[None]:
    """Automatic collection is off, and a timer of this thread does it instead.

    What is there already, mostly modules, stays for good: it is not looked through each time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    owner = QObject()
    timer = QTimer(owner)
    timer.setInterval(_EVERY)
    timer.timeout.connect(collect_due)
    timer.start()
    try:
        yield
    finally:
        timer.stop()
        owner.deleteLater()
        gc.unfreeze()
        gc.collect()
        if was_enabled:
            gc.enable()


def collect_due() -> None:
    """Collects the oldest generation whose threshold is passed, as the automatic collector would."""
    counts, thresholds = gc.get_count(), gc.get_threshold()
    due = [
        generation for generation in range(3) if thresholds[generation] and counts[generation] > thresholds[generation]
    ]
    if due:
        gc.collect(due[-1])
