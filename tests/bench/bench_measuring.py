"""Measuring, beside other tools in the same run: on a simulated file server, and of local trees that are cached."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sweeper_gui.storage.queue import Impact
from tests.bench import engine
from tests.bench.figures import Figure, seconds, tell
from tests.bench.peers import get_ready, measurers
from tests.bench.slotfs import file_server
from tests.bench.trees import make_workspaces

Measurer = Callable[[Sequence[Path]], object]


def _all(packages: Path) -> dict[str, Measurer]:
    get_ready(packages)
    return {**measurers(), **{f"sweeper, {impact}": partial(engine.measure, impact) for impact in Impact}}


def bench_measuring_on_a_file_server(tmp_path: Path, packages: Path, quick: bool) -> None:
    """4 × 3,000 files at 1 ms; each tool has a client of its own, so that nobody finds what another has cached."""
    backing = tmp_path / "backing"
    backing.mkdir()
    names = make_workspaces(backing, 4, 300 if quick else 3_000)
    rows: dict[str, dict[str, Figure]] = {}
    tools = _all(packages)
    with file_server(backing, mounts=len(tools), read=0.001) as server:
        for mount, (who, measure) in zip(server.mounts, tools.items(), strict=True):
            server.forget_counts()
            took = seconds(partial(measure, [mount / name for name in names]))
            rows[who] = {"seconds": took, "operations": sum(server.counts.values())}
    first = float(rows["du"]["seconds"] or 0)
    tell(
        "measure on a file server of 1 ms",
        {who: {**row, "times as fast": first / float(row["seconds"] or 1)} for who, row in rows.items()},
    )


def bench_measuring_of_cached_local_trees(tmp_path: Path, packages: Path, quick: bool) -> None:
    """4 trees, 110,000 entries together; the best of five rounds, in which the tools take turns."""
    names = make_workspaces(tmp_path, 4, 2_600 if quick else 26_000)
    trees = [tmp_path / name for name in names]
    tools = _all(packages)
    best: dict[str, float] = {}
    for _ in range(5):
        for who, measure in tools.items():
            took = seconds(partial(measure, trees))
            best[who] = min(took, best.get(who, took))
    fastest = min(best.values())
    tell(
        "measure cached local trees",
        {who: {"seconds": took, "times the fastest": took / fastest} for who, took in best.items()},
    )
