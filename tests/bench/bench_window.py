"""How late the window's event loop is while a slow volume is swept, beside the blocking way on the same volume.

The blocking way is the one that took the source system down: a recursive delete on the event loop. It is here to show
that the measure can fail.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from sweeper_gui.settings import Settings
from sweeper_gui.ui.heartbeat import Lateness
from tests.support.slowfs import slow_volume
from tests.support.volume import FakeVolume
from tests.ui.conftest import Stage, as_shown, until

pytest_plugins = ["tests.ui.conftest"]

#: 20 ms for each operation, as on a very slow network volume.
_LATENCY = dict.fromkeys(("getattr", "unlink", "rmdir", "rename", "mkdir", "create", "opendir"), 0.02)
_ENTRIES = 5_000
#: The blocking way takes so long that a part of the tree is enough.
_ENTRIES_FOR_BLOCKING = 100


def bench_event_loop_while_a_slow_volume_is_swept(play_for_real: Callable[..., None], tmp_path: Path) -> None:
    """Prints the lateness of both ways and their ratio."""
    backing = FakeVolume(tmp_path / "backing")
    backing.deleted("orphan", _ENTRIES)
    blocked = backing.workspace("blocking", _ENTRIES_FOR_BLOCKING)
    late: dict[str, Lateness] = {}
    with slow_volume(tmp_path / "backing", tmp_path / "mount", latency=_LATENCY) as slow:
        root = slow.path / "workspaces"

        async def scene(stage: Stage) -> None:
            heartbeat = stage.controller.heartbeat
            await until(lambda: b"orphan" in stage.orphans(), 50)
            stage.prompts.confirm = as_shown
            heartbeat.reset()
            stage.model.select([b"orphan"])
            stage.window.actions_["sweep"].trigger()
            await until(lambda: stage.prompts.reports, 100)
            late["sweeper"] = heartbeat.measured()
            heartbeat.reset()
            shutil.rmtree(root / blocked.name)
            await until(lambda: heartbeat.measured().beats > 1)
            late["blocking"] = heartbeat.measured()

        settings = {
            "volume": {"root": str(root)},
            "registry": [{"source": backing.source}],
            "policy": {"min_age": "10ms"},
        }
        play_for_real(Settings.model_validate(settings), scene)
    print()
    for who, lateness in late.items():
        print(
            f"{who:8}  late by {lateness.max * 1_000:7.1f} ms at most, p99 {lateness.p99 * 1_000:6.1f} ms, "
            f"{lateness.beats} beats"
        )
    figures = {who: {"max_ms": round(one.max * 1e3, 1), "p99_ms": round(one.p99 * 1e3, 1)} for who, one in late.items()}
    ratio = late["blocking"].max / late["sweeper"].max
    print(json.dumps({"benchmark": "event loop", **figures, "ratio_of_max": round(ratio, 1)}))
