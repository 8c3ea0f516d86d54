"""A run that dies: `python -m tests.support.dying DIRECTORY STEP [WHAT]` sweeps the volume there and dies at a step.

WHAT is sweep (everything), restore, purge (both: everything set aside) or resume.

It dies by SIGKILL right before the step (see tests/support/steps.py); with STEP 0 it goes through and prints how many
there were.
"""

import os
import signal
import sys
from pathlib import Path

from sweeper_gui.storage.queue import WorkPool
from tests.support.steps import Steps
from tests.sweep.rig import Rig


def main(directory: Path, last: int, what: str) -> None:
    """Runs it on everything there is."""
    steps = Steps(last, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with steps.counted():
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
    sys.stdout.write(f"{len(steps.names)}\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "sweep")
