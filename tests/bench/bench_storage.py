"""How fast measuring and removing are, beside `du`, `rm -rf` and `shutil.rmtree` in the same run.

    python -m tests.bench.bench_storage [--entries N] [--latency MS] [--directory DIR]

Prints a table and, as the last line, JSON. The tree is made of many small directories and a few large ones, as a
repository with its packages is. With a latency it lies on a FUSE volume that takes so long for each operation (needs
root); such a volume here serves a few thousand operations a second at most, which bounds what parallelism can win.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import Impact, WorkPool
from tests.support.removals import discovered_and_removed, measured
from tests.support.slowfs import slow_volume


def make_workspace(directory: Path, entries: int) -> Path:
    """A tree of about so many entries; the same one for the same number."""
    chance = random.Random(entries)
    directory.mkdir()
    directories = [directory]
    made = 0
    while made < entries:
        part = chance.choice(directories[-200:]) / f"d{len(directories)}"
        part.mkdir()
        directories.append(part)
        files = min(400, int(chance.paretovariate(1.1) * 4))
        for number in range(files):
            (part / f"f{number}.js").write_bytes(b"x" * chance.randint(0, 3_000))
        made += 1 + files
    return directory


def seconds(action: Callable[[], object]) -> float:
    """What it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


@contextlib.contextmanager
def pool_with(impact: Impact) -> Iterator[WorkPool]:
    """A new pool: what it learns about the volume is part of what it takes."""
    pool = WorkPool(impact=impact)
    yield pool
    pool.close()


def measure_with(impact: Impact, tree: Path) -> None:
    """As the listing does it."""
    with pool_with(impact) as pool:
        assert measured(pool, tree).usage.complete


def remove_with(impact: Impact, tree: Path) -> None:
    """The discovery is part of it."""
    with pool_with(impact) as pool:
        assert discovered_and_removed(pool, tree).complete


def run(command: list[str | Path]) -> None:
    """A peer."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def benchmark(volume: Path, make: Callable[[], Path]) -> dict[str, dict[str, float]]:
    """Seconds by what is done and who does it."""
    tree = make()
    run(["du", "-s", tree])  # both find what the kernel has cached
    measuring = {"du": seconds(partial(run, ["du", "-s", tree]))}
    for impact in Impact:
        measuring[f"sweeper, {impact}"] = seconds(partial(measure_with, impact, tree))
    removing = {"rm -rf": seconds(partial(run, ["rm", "-rf", tree]))}
    tree = make()
    removing["shutil.rmtree"] = seconds(partial(shutil.rmtree, tree))
    for impact in Impact:
        tree = make()
        removing[f"sweeper, {impact}"] = seconds(partial(remove_with, impact, tree))
    assert os.listdir(volume) == []
    return {"measure": measuring, "remove": removing}


def table(results: dict[str, dict[str, float]]) -> str:
    """Seconds, and how many times as fast as the first one of its kind."""
    lines = []
    for what, times in results.items():
        first = next(iter(times.values()))
        lines += [f"{what:8} {who:20} {took:8.2f} s {first / took:6.1f} ×" for who, took in times.items()]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds for each operation")
    parser.add_argument("--directory", type=Path, help="where the tree is made; default: the directory for temporaries")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as temporary:
        backing = Path(temporary) / "volume"
        backing.mkdir()

        def make(seen_at: Path) -> Path:
            make_workspace(backing / "workspace", options.entries)
            os.sync()
            return seen_at / "workspace"

        if options.latency:
            with slow_volume(
                backing, Path(temporary) / "mount", latency={"*": options.latency / 1_000}, cache=60.0
            ) as volume:
                results = benchmark(volume.path, lambda: make(volume.path))
        else:
            results = benchmark(backing, lambda: make(backing))
    sys.stdout.write(
        f"{table(results)}\n{json.dumps({'entries': options.entries, 'latency': options.latency, **results})}\n"
    )


def bench_storage(capfd: pytest.CaptureFixture[str]) -> None:
    """The local table of `main`, for ./dev bench."""
    with capfd.disabled():
        main([])


if __name__ == "__main__":
    main(sys.argv[1:])
