"""The entry point: quick, and without what the command does not need."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sweeper_gui", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (
            ("--version",),
            ("PySide6", "qasync", "sqlalchemy", "httpx", "pydantic_settings", "sweeper_gui.engine.engine"),
        ),
        (("--help",), ("PySide6", "qasync", "sqlalchemy", "httpx", "pydantic_settings", "sweeper_gui.engine.engine")),
        (("engine",), ("PySide6", "qasync", "sqlalchemy", "httpx", "typer", "rich", "sweeper_gui.cli")),
    ],
)
def test_a_command_imports_no_more_than_it_needs(arguments: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    modules = imported_by(*arguments)
    assert "sweeper_gui" in modules
    assert not [module for module in modules for name in unwanted if module == name or module.startswith(name + ".")]


@pytest.mark.parametrize("arguments", [["--version"], ["engine"], ["trash", "--root", "/"]])
def test_a_checkout_that_is_not_built_says_what_to_do(arguments: list[str]) -> None:
    unbuilt = (
        "import sys; sys.modules['sweeper_gui.storage._native'] = None; from sweeper_gui.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", f"{unbuilt}; from sweeper_gui.__main__ import main; main()", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert "./dev run" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_trap(closed: str) -> None:
    command = f"exec {sys.executable} -m sweeper_gui trash --root / {closed}"
    ran = subprocess.run(command, shell=True, cwd=ROOT, timeout=60, check=False, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ("root" in ran.stderr) == ("2>&-" not in closed)


def test_an_error_that_should_not_happen_shows_no_trace_and_is_no_success(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import sys\n"
        "from sweeper_gui.cli import commands, app\n"
        "def fails(*_): raise RuntimeError('surprise \\x1b[2J')\n"
        "commands.trash = fails\n"
        "sys.exit(app.main(['trash']))\n",
        encoding="utf-8",
    )
    ran = subprocess.run(
        [sys.executable, str(broken)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "RuntimeError: surprise \\x1b[2J" in ran.stderr
    assert "Traceback" not in ran.stderr
