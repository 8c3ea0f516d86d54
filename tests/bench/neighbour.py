"""A neighbour on the same file server: looks files up that it has not seen for a while, one after the other.

    python -m tests.bench.neighbour DIRECTORY

Ends when its standard input does, and prints what the look-ups took, in milliseconds, as JSON.
"""

import json
import os
import select
import sys
import time
from pathlib import Path

FILES = 8_000
_LOOK_EVERY = 50


def make_files(directory: Path) -> None:
    """What it looks up: so many that none is still cached when its turn comes again."""
    directory.mkdir()
    for number in range(FILES):
        (directory / f"f{number}").touch()


def main(directory: str) -> None:
    """Runs it."""
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    took: list[float] = []
    while len(took) % _LOOK_EVERY or not select.select([sys.stdin], [], [], 0)[0]:
        began = time.perf_counter()
        os.stat(f"f{len(took) % FILES}", dir_fd=parent)
        took.append(1_000 * (time.perf_counter() - began))
    took.sort()
    figures = {
        name: round(took[int(share * (len(took) - 1))], 3)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    sys.stdout.write(json.dumps({"look-ups": len(took), **figures}))


if __name__ == "__main__":
    main(sys.argv[1])
