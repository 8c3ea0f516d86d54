"""Removing, beside other tools in the same run: on a simulated file server, and on a local ext4.

./dev bench -k removal              all tables; the slow tools take minutes
./dev bench -k removal --quick      smaller trees
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import Impact
from tests.bench import engine
from tests.bench.bound import bound_of
from tests.bench.figures import Figure, seconds, tell
from tests.bench.peers import get_ready, removers
from tests.bench.slotfs import FileServer, file_server
from tests.bench.trees import fullest_of, make_workspaces
from tests.support.mounts import ext4

#: What an operation on EFS takes.
_READ, _WRITE = 0.001, 0.0027
_IN_FLIGHT = 64
#: Those that take minutes with more files than these.
_PATIENT = 4 * 3_000
_SLOW = ("rm -rf", "shutil.rmtree", "node, one by one", "rimraf")

Remover = Callable[[Sequence[Path]], object]


def all_removers(packages: Path, fullest: Mapping[str, int]) -> dict[str, Remover]:
    """Peers, then Sweeper with each impact. A workspace is never swept unmeasured: the `fullest` are known by name."""
    get_ready(packages)
    ours = {f"sweeper, {impact}": partial(engine.remove, impact, fullest=fullest) for impact in Impact}
    return {**removers(packages), **ours}


def times(rows: dict[str, dict[str, Figure]]) -> dict[str, dict[str, Figure]]:
    """With how many times as fast each is as the first."""
    first = next(iter(rows.values()))["seconds"]
    assert isinstance(first, float)
    return {who: {**row, "times as fast": first / float(row["seconds"] or 1)} for who, row in rows.items()}


@pytest.mark.parametrize(("workspaces", "files"), [(4, 3_000), (10, 5_000)], ids=["4x3000", "10x5000"])
def bench_removal_on_a_file_server(tmp_path: Path, packages: Path, quick: bool, workspaces: int, files: int) -> None:
    """1 ms a read, 2.7 ms a change, any number at once; Sweeper's bound is the largest of three."""
    files = files // 10 if quick else files
    backing = tmp_path / "backing"
    backing.mkdir()
    rows: dict[str, dict[str, Figure]] = {}
    with file_server(backing, read=_READ, write=_WRITE) as server:
        names = make_workspaces(backing, workspaces, files)
        trees = [backing / name for name in names]
        fullest = {tree.name: fullest_of(tree) for tree in trees}
        bound = bound_of(trees, _READ, _WRITE, _IN_FLIGHT)
        server.set(read=0, write=0)
        without_latency = seconds(partial(engine.remove, Impact.FAST, [server.mounts[0] / name for name in names]))
        server.set(read=_READ, write=_WRITE)
        for who, remove in all_removers(packages, fullest).items():
            if who in _SLOW and workspaces * files > _PATIENT:
                continue
            rows[who] = _timed(server, backing, workspaces, files, remove)
    least = max(bound.seconds, without_latency)
    for row in rows.values():
        row["times the bound"] = float(row["seconds"] or 0) / least
    tell(
        f"remove {workspaces} × {files} files on a file server of 1 ms / 2.7 ms",
        times(rows),
        chain=bound.chain,
        work=bound.work,
        without_latency=without_latency,
    )


def _timed(server: FileServer, backing: Path, workspaces: int, files: int, remove: Remover) -> dict[str, Figure]:
    names = make_workspaces(backing, workspaces, files)
    server.forget_counts()
    took = seconds(lambda: remove([server.mounts[0] / name for name in names]))
    assert list(backing.iterdir()) == []
    return {"seconds": took, "operations": sum(server.counts.values()), "most at once": server.most_served}


def bench_removal_on_a_local_disk(tmp_path: Path, packages: Path, quick: bool) -> None:
    """80,000 files on ext4."""
    files = 2_000 if quick else 20_000
    rows: dict[str, dict[str, Figure]] = {}
    with ext4(tmp_path / "disk", megabytes=2_048) as disk:
        volume = disk / "volume"
        volume.mkdir()
        names = make_workspaces(volume, 4, files)
        fullest = {name: fullest_of(volume / name) for name in names}
        shutil.rmtree(volume)
        volume.mkdir()
        for who, remove in all_removers(packages, fullest).items():
            names = make_workspaces(volume, 4, files)
            rows[who] = {"seconds": seconds(partial(remove, [volume / name for name in names]))}
            assert list(volume.iterdir()) == []
    tell(f"remove 4 × {files} files on a local ext4", times(rows))
