"""A run of another host: `python -m tests.nfs.holding DIRECTORY DATABASE` holds the lock of the volume there.

It says 'held', and then, for each line that it reads, whether it may change something by now, or why not.
"""

import sys
import tempfile
from pathlib import Path

from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.site import open_site
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig


def main(directory: Path, database: Path) -> None:
    """Until its standard input ends."""
    with tempfile.TemporaryDirectory() as own:
        rig = Rig(Path(own), WorkPool(2), FakeVolume(directory, database))
        with rig.ground() as ground, open_site(ground, "sweep", {}) as site:
            print("held", flush=True)
            for _ in sys.stdin:
                try:
                    site.about_to_change()
                    print("it may", flush=True)
                except VolumeError as error:
                    print(error, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
