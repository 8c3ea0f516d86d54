"""How late the window's event loop is while a slow volume is swept, and how long its table takes.

Each beside another way in the same run. For the event loop that is a recursive delete on it, the way that took the
source system down: it shows that the measure can fail.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSortFilterProxyModel, Qt
from pytestqt.qtbot import QtBot

from sweeper_gui.engine.heartbeat import Lateness
from sweeper_gui.settings import Settings
from sweeper_gui.ui.columns import COLUMN_OF
from sweeper_gui.ui.row_filter import RowFilter
from sweeper_gui.ui.table import WorkspaceTable
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.workspace_model import WorkspaceModel
from tests.support.slowfs import slow_volume
from tests.support.volume import FakeVolume
from tests.ui.conftest import Stage, as_shown, until
from tests.ui.rows import realistic_rows

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


def bench_table_of_ten_thousand_rows(look: Look, qtbot: QtBot) -> None:
    """Sorting and filtering by the model itself, beside Qt's proxy model over the same rows."""
    model = WorkspaceModel()
    table = WorkspaceTable(model, look)
    qtbot.addWidget(table)
    table.show()
    model.apply(realistic_rows(10_000))
    table.selectAll()
    proxy = QSortFilterProxyModel()
    proxy.setSourceModel(model)
    proxy.setFilterKeyColumn(COLUMN_OF["workspace"])
    owner = COLUMN_OF["owner"]
    ours = {
        "sort": _milliseconds(lambda: model.sort(owner, Qt.SortOrder.AscendingOrder)),
        "filter": _milliseconds(lambda: model.set_filter(RowFilter(search="otter"))),
    }
    model.set_filter(RowFilter())
    theirs = {
        "sort": _milliseconds(lambda: proxy.sort(owner, Qt.SortOrder.AscendingOrder)),
        "filter": _milliseconds(lambda: proxy.setFilterFixedString("otter")),
    }
    proxy.deleteLater()
    print()
    for what, took in ours.items():
        ratio = theirs[what] / took
        print(f"{what:6}  sweeper {took:7.1f} ms   QSortFilterProxyModel {theirs[what]:7.1f} ms   {ratio:5.1f} x")
    print(json.dumps({"benchmark": "table", "rows": 10_000, "sweeper_ms": ours, "proxy_ms": theirs}))


def _milliseconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return round((time.perf_counter() - started) * 1_000, 1)
