"""Qt is the window's alone: everything else runs where Qt can't be imported, as on a host without its libraries."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

_REFUSAL = 'raise ImportError("Qt is not to be had here")\n'

_IMPORT_ALL_BUT_THE_WINDOW = """
import pkgutil, sys
import sweeper_gui
for module in pkgutil.walk_packages(sweeper_gui.__path__, "sweeper_gui."):
    if not module.name.startswith("sweeper_gui.ui.") and module.name != "sweeper_gui.__main__":
        __import__(module.name)
        print(module.name)
"""


@pytest.fixture
def without_qt(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which importing Qt fails, for child processes too."""
    for name in ("PySide6", "shiboken6", "qasync"):
        (tmp_path / f"{name}.py").write_text(_REFUSAL)
    return os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"}


def test_everything_but_the_window_is_imported_without_qt(without_qt: Mapping[str, str]):
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL_BUT_THE_WINDOW], env=without_qt, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    packages = {line.split(".")[1] for line in done.stdout.splitlines()}
    assert packages >= {"cli", "core", "demo", "engine", "registries", "settings", "storage", "sweep"}


def test_the_window_needs_qt(without_qt: Mapping[str, str]):
    """So the environment does what the other tests here rely on."""
    done = subprocess.run(
        [sys.executable, "-c", "import sweeper_gui.ui.app"], env=without_qt, capture_output=True, text=True, check=False
    )
    assert "Qt is not to be had here" in done.stderr


def test_a_volume_is_listed_and_swept_without_qt(without_qt: Mapping[str, str]):
    done = subprocess.run(
        [sys.executable, "-m", "sweeper_gui", "demo", "--headless"],
        env=without_qt,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "removed" in done.stdout
