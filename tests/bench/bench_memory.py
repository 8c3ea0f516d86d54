"""How much memory, and time, measuring, discovering and removing a very large tree takes.

    python -m tests.bench.bench_memory [--entries N] [--directory DIR]

Two shapes: all in one directory, and twenty in each of many. The growth is that of the largest resident size, in a
process of its own. Prints a table and JSON. On a tmpfs (/dev/shm) it is the program that is measured
and not a disk; a million entries take about 1 GB there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sweeper_gui.storage.queue import WorkPool
from tests.bench.figures import Figure, tell
from tests.support.removals import discovered, fill, measured, peak_memory, removed

T = TypeVar("T")
PER_DIRECTORY = 19
#: Bytes that a million entries may take on a tmpfs.
_ROOM = 2 * 2**30


def make_one(directory: Path, entries: int) -> None:
    """All in one directory."""
    fill(directory, entries)


def make_many(directory: Path, entries: int) -> None:
    """Directories of nineteen files, forty to a directory."""
    directory.mkdir()
    for number in range(entries // (PER_DIRECTORY + 1)):
        part = directory / f"p{number // 40}"
        part.mkdir(exist_ok=True)
        fill(part / f"d{number}", PER_DIRECTORY)


SHAPES: dict[str, Callable[[Path, int], None]] = {"one directory": make_one, "many directories": make_many}


def go_through(tree: Path) -> dict[str, list[float]]:
    """For each step: seconds, and MiB that the process has grown since its start."""
    before = peak_memory()
    figures: dict[str, list[float]] = {}
    pool = WorkPool()

    def step(name: str, action: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = action()
        figures[name] = [round(time.perf_counter() - began, 2), round((peak_memory() - before) / 1024, 1)]
        return result

    usage = step("measure", lambda: measured(pool, tree)).usage
    discovery = step("discover", lambda: discovered(pool, tree))
    assert discovery.entries == usage.entries
    assert step("remove", lambda: removed(pool, tree, discovery)).entries_removed == usage.entries
    pool.close()
    return figures


def main(arguments: list[str]) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, help="where the tree is made; default: the directory for temporaries")
    parser.add_argument("--tree", type=Path, help="go through this tree, which is removed, and print the figures")
    options = parser.parse_args(arguments)
    if options.tree is not None:
        print(json.dumps(go_through(options.tree)))
        return
    rows: dict[str, dict[str, Figure]] = {}
    for shape, make in SHAPES.items():
        with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
            tree = Path(temporary) / "tree"
            make(tree, options.entries)
            command = [sys.executable, "-m", "tests.bench.bench_memory", "--tree", os.fspath(tree)]
            figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows |= {
            f"{shape}, {step}": {"seconds": took, "MiB of growth": grown} for step, (took, grown) in figures.items()
        }
    tell(f"memory for {options.entries:,} entries", rows)


def bench_memory(quick: bool) -> None:
    """For ./dev bench: in memory, where there is room, since it is not a disk that is looked at."""
    shared = Path("/dev/shm")
    place = ["--directory", os.fspath(shared)] if shared.is_dir() and shutil.disk_usage(shared).free > _ROOM else []
    main(["--entries", "25000" if quick else "1000000", *place])


if __name__ == "__main__":
    main(sys.argv[1:])
