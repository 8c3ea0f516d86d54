"""The throw-away volume: of every status something, made quickly, gone without a trace."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from sweeper_gui.demo import demo_volume

ROOT = Path(__file__).parents[1]


def sweeper(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeper_gui", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def test_the_demo_has_a_workspace_of_every_kind_and_leaves_nothing() -> None:
    with demo_volume() as demo:
        ran = sweeper("--config", str(demo.config), "list", "--json", SWEEPER_STATE_DIR=str(demo.state_dir))
        assert ran.returncode == 0, ran.stderr
        listing = json.loads(ran.stdout)
        used = sum(path.lstat().st_blocks * 512 for path in demo.directory.rglob("*"))
        assert used < 110_000_000
    statuses = Counter(workspace["status"] for workspace in listing["workspaces"])
    assert statuses == {"foreign": 5, "protected": 2, "live": 14, "in-use": 1, "recent": 3, "orphan": 22}
    doubtful = [workspace for workspace in listing["workspaces"] if workspace["doubts"]]
    assert Counter(doubt for workspace in doubtful for doubt in workspace["doubts"]) == {
        "unexplained": 4,
        "unsaved-work": 1,
    }
    assert any(re.search(r"unsaved work: \S+ main: \d+ untracked files", workspace["reason"]) for workspace in doubtful)
    assert listing["registry"]["sessions_without_directory"] == 3
    entries = [workspace["entries"] for workspace in listing["workspaces"] if workspace["status"] == "live"]
    assert min(entries) > 50
    assert max(entries) > 200
    assert not demo.directory.exists()


def test_the_headless_demo_lists_sweeps_and_goes(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "session").mkdir(parents=True)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # What is set for a real volume must not lead the demo there.
    ran = sweeper(
        "demo", "--headless", TMPDIR=str(temporary), SWEEPER_VOLUME__ROOT=str(precious), SWEEPER_ROOT=str(precious)
    )
    assert ran.returncode == 0, ran.stderr
    assert "10 removed" in ran.stdout
    assert "up to 15 orphans remain" in ran.stdout  # 12, and the 3 recent ones that it had no need to measure
    assert ran.stdout.count("$ sweeper list") == 2
    assert str(precious) not in ran.stdout
    assert (precious / "session").is_dir()
    assert list(temporary.iterdir()) == []


def test_a_demo_that_is_interrupted_cleans_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeper_gui", "demo", "--headless"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("*/workspaces/*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []
