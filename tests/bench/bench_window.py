"""How late the window's event loop is while its engine works, how soon it is there, and how long its table takes.

The window is the real one on a display of its own, its engine a process, started by the command line's own way. Each
measure has a control in the same run that shows that it can fail: a listing on the event loop, Qt's proxy model.
"""

import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.columns import COLUMN_OF, COLUMNS
from sweeper_gui.ui.row_filter import RowFilter
from sweeper_gui.ui.table import WorkspaceTable
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.workspace_model import WorkspaceModel
from tests.bench.figures import Figure, tell
from tests.bench.many import make_volume
from tests.bench.slotfs import file_server
from tests.support.display import Display, display
from tests.support.volume import FakeVolume
from tests.ui.rows import realistic_rows

pytest_plugins = ["tests.ui.conftest"]

_SLOTS = 64
_STARTS = 3
_SLOW_REGISTRY = 5


@pytest.fixture
def screen() -> Iterator[Display]:
    with display() as shown:
        yield shown


@contextlib.contextmanager
def _seen_from_here(kind: str, volume: FakeVolume) -> Iterator[Path]:
    """The volume's root: on the local disk, or through a slow file server."""
    if kind == "local":
        yield volume.root
        return
    with file_server(volume.root.parent, slots=_SLOTS) as server:
        yield server.mounts[0] / volume.root.name


def _watched(screen: Display, place: Path, root: Path, registry: str, act: str, impact: str = "fast") -> dict[str, Any]:
    """What `tests.bench.watched` saw of the program."""
    config = place / "sweeper.toml"
    config.write_text(
        f'[volume]\nroot = "{root}"\n[[registry]]\nsource = "{registry}"\ntimeout = "60s"\n'
        f'[policy]\nmin_age = "10ms"\nunsaved_work = "remove"\n[sweep]\nimpact = "{impact}"\n'
    )
    config.chmod(0o600)
    state = place / "state"
    shutil.rmtree(state, ignore_errors=True)
    command = [sys.executable, "-m", "tests.bench.watched", act, str(time.perf_counter()), "--config", str(config)]
    environment = screen.environment | {"SWEEPER_STATE_DIR": str(state)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=170)
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


# --- the event loop ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("impact", ["fast", "gentle"])
@pytest.mark.parametrize("kind", ["local", "slow"])
def bench_event_loop(tmp_path: Path, screen: Display, quick: bool, kind: str, impact: str) -> None:
    """While a volume is measured and swept, and somebody scrolls, sorts and searches all the time."""
    count = 1_000 if quick else 10_000
    volume = make_volume(tmp_path / "volume", count, swept=10, files=200 if quick else 2_000)
    with _seen_from_here(kind, volume) as root:
        seen = _watched(screen, tmp_path, root, volume.source, "use", impact)
        rows = dict(seen["lateness"])
        if (kind, impact) == ("slow", "fast"):
            control = _watched(screen, tmp_path, root, volume.source, "block")["lateness"]
            rows |= {what: late for what, late in control.items() if what not in rows}
    title = f"event-loop delay, {count} workspaces on the {kind} volume, a {impact} sweep"
    tell(title, rows, memory_mib=seen["memory"], sweep_ms=seen["moments"]["sweep"])


# --- the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "slow"])
def bench_start(tmp_path: Path, screen: Display, quick: bool, kind: str) -> None:
    """Milliseconds from the start of the process: the median of a few, one without anything cached, a slow registry."""
    volume = make_volume(tmp_path / "volume", 1_000 if quick else 10_000)
    rows: dict[str, dict[str, Figure]] = {}
    with _seen_from_here(kind, volume) as root:

        def seen(registry: str = volume.source) -> dict[str, Any]:
            return _watched(screen, tmp_path, root, registry, "start")

        warm = [seen() for _ in range(_STARTS)]
        rows["warm"] = _median([one["moments"] for one in warm])
        if _forget_files():
            rows["nothing cached"] = seen()["moments"]
        ids = tmp_path / "ids"
        ids.write_text("session-00001\n")
        ids.chmod(0o644)
        slow = tmp_path / "slow-registry"
        slow.write_text(f"#!/bin/sh\nsleep {_SLOW_REGISTRY}\ncat {ids}\n")
        slow.chmod(0o755)
        rows[f"the registry takes {_SLOW_REGISTRY} s"] = seen(f"exec:{slow}")["moments"]
    for row in rows.values():
        row["first rows after ready"] = round(float(row["first rows"] or 0) - float(row["engine ready"] or 0), 1)
    tell(f"start, {warm[0]['rows']} workspaces on the {kind} volume, ms", rows, memory_mib=warm[0]["memory"])


def _median(moments: list[dict[str, float]]) -> dict[str, Figure]:
    return {name: round(statistics.median(one[name] for one in moments), 1) for name in moments[0]}


def _forget_files() -> bool:
    """Lets the kernel forget what it has cached of all files; whether it could be asked to."""
    subprocess.run(["sync"], check=True)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10_000, 100_000])
def bench_table(look: Look, qtbot: QtBot, quick: bool, count: int) -> None:
    """What each operation takes until it is painted, beside Qt's proxy model over the same rows."""
    model = WorkspaceModel()
    table = WorkspaceTable(model, look)
    qtbot.addWidget(table)
    table.resize(1280, 600)
    table.show()
    rows = realistic_rows(count // 10 if quick else count)
    model.apply([replace(row, usage=None) for row in rows])
    random.Random(1).shuffle(rows)
    QApplication.processEvents()
    bursts = iter([rows[at : at + 1_000] for at in range(0, len(rows), 1_000)])
    ours = {"1,000 sizes come": _painted(lambda: model.apply(next(bursts))), "put in order": _painted(model.settle)}
    model.apply(rows)
    _painted(model.settle)
    for column in COLUMNS:
        number = COLUMN_OF[column.key]
        ours[f"sort by {column.key}"] = _painted(partial(model.sort, number, Qt.SortOrder.AscendingOrder))
    ours["search"] = _painted(lambda: model.set_filter(RowFilter(search="otter")))
    ours["all again"] = _painted(lambda: model.set_filter(RowFilter()))
    ours["only orphans"] = _painted(lambda: model.set_filter(RowFilter(frozenset({Status.ORPHAN}))))
    ours["select all of them"] = _painted(model.select_shown_orphans)
    model.set_filter(RowFilter())
    ours["mark all"] = _painted(table.selectAll)
    ours["sort with all marked"] = _painted(lambda: model.sort(COLUMN_OF["size"], Qt.SortOrder.DescendingOrder))
    theirs = _proxy(model)
    told: dict[str, dict[str, Figure]] = {
        what: {"ms": took, "Qt's proxy, ms": theirs.get(what)} for what, took in ours.items()
    }
    tell(f"table of {len(rows)} rows", told)


def _proxy(model: WorkspaceModel) -> dict[str, float]:
    proxy = QSortFilterProxyModel()
    proxy.setSourceModel(model)
    proxy.setFilterKeyColumn(COLUMN_OF["workspace"])
    try:
        return {
            "sort by owner": _painted(lambda: proxy.sort(COLUMN_OF["owner"], Qt.SortOrder.AscendingOrder)),
            "search": _painted(lambda: proxy.setFilterFixedString("otter")),
        }
    finally:
        proxy.deleteLater()


def _painted(act: Callable[[], object]) -> float:
    """Milliseconds, with what is painted because of it."""
    started = time.perf_counter()
    act()
    QApplication.processEvents()
    return round((time.perf_counter() - started) * 1_000, 1)
