"""How long listing and sweeping take as a user sees it, beside du and rm on the same trees.

Run with ./dev bench. Nothing is asserted: figures from a shared machine are for reading.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.bench.figures import tell
from tests.support.slowfs import slow_volume
from tests.support.trees import make_tree
from tests.support.volume import FakeVolume

#: Seconds per operation of a made-up network volume. Python serves it: a few thousand operations a second at most.
_LATENCY = {"getattr": 0.001, "opendir": 0.001, "readdir": 0.001, "unlink": 0.0027, "rmdir": 0.0027, "rename": 0.0027}


def timed(command: Sequence[str | Path]) -> tuple[float, str]:
    """How many seconds a command took, and what it printed."""
    started = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.monotonic() - started, done.stdout


def sweeper(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "sweeper_gui", *arguments]


@pytest.mark.parametrize(
    ("kind", "workspaces", "entries"), [("local", 4, 5_000), ("slow", 4, 1_000)], ids=["local", "slow"]
)
def bench_list_and_sweep(tmp_path: Path, kind: str, workspaces: int, entries: int):
    volume = FakeVolume(tmp_path / "efs")
    volume.live("live")
    for number in range(workspaces):
        volume.deleted(f"orphan-{number}", entries)
        make_tree(tmp_path / "efs" / "same" / str(number), entries)
    (tmp_path / "sweeper.toml").write_text(volume.settings(min_age="0s"))
    root = volume.root
    mounted = slow_volume(tmp_path / "efs", tmp_path / "mount", latency=_LATENCY) if kind == "slow" else nullcontext()
    with mounted:
        base = tmp_path / "mount" if kind == "slow" else tmp_path / "efs"
        options: list[str | Path] = ["--config", tmp_path / "sweeper.toml", "--root", base / root.name]
        du, _ = timed(["du", "-s", base / "same"])
        listing, _ = timed(sweeper(*options, "list", "--json"))
        rm, _ = timed(["rm", "-rf", base / "same"])
        sweep, printed = timed(sweeper(*options, "sweep", "--yes", "--json"))
    report = json.loads(printed)
    assert [outcome["outcome"] for outcome in report["outcomes"]] == ["removed"] * workspaces, report
    tell(
        f"list and sweep {workspaces} workspaces of {entries} entries with the command, {kind}",
        {
            "du -s": {"seconds": du},
            "sweeper list": {"seconds": listing},
            "rm -rf": {"seconds": rm},
            "sweeper sweep": {"seconds": sweep, "of it the sweep": report["seconds"]},
        },
    )
