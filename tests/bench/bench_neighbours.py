"""What removing costs the neighbours on the same file server, by impact and by how much the server bears at once.

Rows that are 'told' have a limit that knows the number of slots at any time: no controller can do better than that.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import Impact
from tests.bench import engine
from tests.bench.figures import Figure, tell
from tests.bench.neighbour import make_files
from tests.bench.peers import xargs
from tests.bench.slotfs import FileServer, file_server
from tests.bench.trees import make_workspaces

_ALONE = 4.0
#: Seconds between two changes of the number of slots.
_CHANGE_EVERY = 1.5

Work = Callable[[FileServer, Sequence[Path]], object]


@pytest.mark.parametrize("slots", [4, 16, 64, 0], ids=["4", "16", "64", "unlimited"])
def bench_neighbours(tmp_path: Path, quick: bool, slots: int) -> None:
    """A neighbour's look-ups while 4 × 3,000 files are removed."""
    _compare(tmp_path, f"a server of {slots or 'any number of'} slots", 300 if quick else 3_000, slots)


def bench_neighbours_of_a_server_that_changes(tmp_path: Path, quick: bool) -> None:
    """16 slots, then 4, then 32, and again."""

    def change(server: FileServer, ended: threading.Event) -> None:
        slots = [16, 4, 32]
        while not ended.wait(_CHANGE_EVERY):
            slots = [*slots[1:], slots[0]]
            server.set(slots=slots[0])

    _compare(tmp_path, "a server of 16, 4 and 32 slots in turn", 300 if quick else 6_000, 16, change)


def _compare(
    tmp_path: Path,
    title: str,
    files: int,
    slots: int,
    meanwhile: Callable[[FileServer, threading.Event], object] = lambda _server, _ended: None,
) -> None:
    works: dict[str, Work] = {
        "alone": lambda _server, _trees: time.sleep(_ALONE),
        "xargs -P64 rm -rf": lambda _server, trees: xargs(trees),
    }
    limits: dict[str, list[int]] = {}
    rows: dict[str, dict[str, Figure]] = {}
    for impact in reversed(Impact):
        works[f"sweeper, {impact}"] = partial(_swept, impact, limits.setdefault(f"sweeper, {impact}", []))
        works[f"told, {impact}"] = partial(_told, impact)
    for who, work in works.items():
        rows[who] = _beside_neighbour(tmp_path / who, files, slots, work, meanwhile)
        if limits.get(who):
            seen = sorted(limits[who])
            rows[who]["usual limit"] = seen[len(seen) // 2]
    alone = float(rows["alone"]["p95"] or 1)
    for row in rows.values():
        row["p95 / alone"] = float(row["p95"] or 0) / alone
        if "seconds" in row:
            row["seconds / fast"] = float(row["seconds"] or 0) / float(rows[f"sweeper, {Impact.FAST}"]["seconds"] or 1)
    del rows["alone"]["seconds / fast"]
    tell(f"a neighbour's look-ups on {title}", rows)


def _told(impact: Impact, server: FileServer, trees: Sequence[Path]) -> None:
    engine.remove(impact, trees, partial(engine.tell_slots, server))


def _swept(impact: Impact, seen: list[int], _server: FileServer, trees: Sequence[Path]) -> None:
    with engine.limits_of(seen) as watch:
        engine.remove(impact, trees, watch)


def _beside_neighbour(
    place: Path, files: int, slots: int, work: Work, meanwhile: Callable[[FileServer, threading.Event], object]
) -> dict[str, Figure]:
    backing = place / "backing"
    backing.mkdir(parents=True)
    names = make_workspaces(backing, 4, files)
    make_files(backing / "neighbour")
    with file_server(backing, mounts=2, slots=slots) as server:
        ours, theirs = server.mounts
        ended = threading.Event()
        other = threading.Thread(target=meanwhile, args=[server, ended])
        # As the server, the neighbour is another machine: it must not wait for our processors.
        command = ["nice", "-n", "-15", sys.executable, "-m", "tests.bench.neighbour", str(theirs / "neighbour")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as neighbour:
            other.start()
            began = time.perf_counter()
            work(server, [ours / name for name in names])
            took = time.perf_counter() - began
            told, _ = neighbour.communicate("end\n")
        ended.set()
        other.join()
    return {"seconds": took, **json.loads(told)}
