"""How long it takes from Ctrl-C, or 'Stop' in the window, until nothing more is removed and the report is there.

On a very slow volume, on a local disk at full speed, and under a ceiling of one operation a second. Beside it in the
same run: `rm -rf`, which a signal kills and which tells nothing, and the way of the source system, Node's `rm` in a
server: that can't be cancelled, and lasts until the directory it is in is gone (here a small one).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sweeper_gui.settings import load_settings
from tests.bench import figures
from tests.bench.slotfs import file_server
from tests.bench.trees import make_workspace
from tests.support.volume import FakeVolume
from tests.ui.conftest import Stage, as_shown, until

pytest_plugins = ["tests.ui.conftest"]

_SLOW = 0.02
#: As many as a sweep takes by default.
_TREES = 10
#: What the peers are given, which remove one entry after the other.
_SMALL = 250
_PROJECT = Path(__file__).parents[2]
#: A server waits for what it has begun when it is told to stop.
_NODE = """
process.on('SIGINT', () => {});
require('node:fs/promises').rm(process.argv[1], { recursive: true, force: true });
"""
_PEERS: dict[str, Sequence[str]] = {"rm -rf": ("rm", "-rf"), "node's rm in a server": ("node", "-e", _NODE)}


class Site:
    """A volume of orphans, and the directory that it really is: looking at that costs nothing."""

    def __init__(self, volume: FakeVolume, backing: Path, config: Path) -> None:
        self.volume = volume
        self.backing = backing
        self.config = config

    def removing(self) -> bool:
        """Whether the first tree is being removed."""
        return any(self.backing.glob(".sweeper-workspaces/sweeps/*/removing/*"))


@contextlib.contextmanager
def site(directory: Path, entries: int, *, slow: bool, ceiling: str = "") -> Iterator[Site]:
    """Orphans of so many entries, and a small tree for each peer."""
    backing = directory / "backing"
    backing.mkdir(parents=True)
    with file_server(backing, read=0.0, write=0.0) if slow else contextlib.nullcontext() as server:
        volume = FakeVolume(server.mounts[0] if server else backing, directory / "collab.sqlite3")
        volume.live("alive")
        for number in range(_TREES):
            volume.session(f"gone-{number}", deleted_at=time.time() - 90 * 86_400.0)
            make_workspace(backing / "workspaces" / f"gone-{number}", entries, seed=number)
        for peer in range(len(_PEERS)):
            make_workspace(backing / f"peer-{peer}", _SMALL)
        config = directory / "sweeper.toml"
        config.write_text(volume.settings(min_age="10ms", unsaved_work="remove") + ceiling)
        config.chmod(0o600)
        if server:
            server.set(read=_SLOW, write=_SLOW)
        yield Site(volume, backing, config)
        if server:
            server.set(read=0.0, write=0.0)


def bench_cancel(play_for_real: Callable[..., None], tmp_path: Path, quick: bool) -> None:
    """Prints the seconds of each way, and how much of it was left when the cancel came."""
    local, slow = (800, 200) if quick else (8_000, 1_000)
    rows: dict[str, dict[str, figures.Figure]] = {}
    for where, entries, is_slow in (("20 ms an operation", slow, True), ("local, full speed", local, False)):
        with site(tmp_path / "command" / where, entries, slow=is_slow) as here:
            rows.setdefault("sweeper sweep, Ctrl-C", {})[where] = _command(here, here.removing)
            for number, (peer, command) in enumerate(_PEERS.items()):
                tree = here.volume.root.parent / f"peer-{number}"
                rows.setdefault(peer, {})[where] = _peer([*command, str(tree)])
        with site(tmp_path / "window" / where, entries, slow=is_slow) as here:
            rows.setdefault("window, Stop", {})[where] = _window(play_for_real, here)
    ceiling = "[sweep]\nmax_ops_per_second = 1\n"
    with site(tmp_path / "ceiling", 20, slow=False, ceiling=ceiling) as here:
        began = time.monotonic()
        rows["sweeper sweep, Ctrl-C"]["1 operation/s"] = _command(here, lambda: time.monotonic() > began + 5)
    figures.tell("seconds from a cancel to the end", rows, entries={"slow": slow, "local": local, "peers": _SMALL})


def _command(here: Site, is_time: Callable[[], bool]) -> float:
    command = [sys.executable, "-m", "sweeper_gui", "--config", str(here.config), "sweep", "--yes", "--json"]
    with subprocess.Popen(
        command, cwd=_PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as run:
        while not is_time():
            assert run.poll() is None, run.communicate()
            time.sleep(0.002)
        os.killpg(run.pid, signal.SIGINT)
        took = figures.seconds(run.communicate)
        assert run.returncode == 130
    return took


def _peer(command: Sequence[str]) -> float:
    with subprocess.Popen(command) as run:
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        return figures.seconds(run.wait)


def _window(play_for_real: Callable[..., None], here: Site) -> float:
    took: list[float] = []

    async def scene(stage: Stage) -> None:
        await until(lambda: len(stage.orphans()) == _TREES, 60)
        stage.prompts.confirm = as_shown
        stage.window.actions_["select_orphans"].trigger()
        stage.window.actions_["sweep"].trigger()
        await until(here.removing, 60)
        began = time.perf_counter()
        stage.window.bottom.cancel_asked.emit()
        await until(lambda: stage.prompts.reports, 60)
        took.append(time.perf_counter() - began)

    play_for_real(load_settings(config=here.config), scene)
    return took[0]
