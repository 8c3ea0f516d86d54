"""./dev says what is missing and installs nothing without leave; the installing itself is what CI begins with."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.nobody import POPEN_AS_NOBODY

PROJECT = Path(__file__).parents[1]

_INSTALLED = """Package: {name}
Status: install ok installed
Architecture: amd64
Maintainer: nobody
Version: 1.0
{more}Description: none

"""


@pytest.fixture
def checkout(nobodys: Path) -> Path:
    """A checkout that nobody may use."""
    for name in ("dev", "pyproject.toml"):
        shutil.copy(PROJECT / name, nobodys)
    return nobodys


def run_dev(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [checkout / "dev", *arguments],
        env=kept | {"PATH": "/usr/bin:/bin"} | environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **POPEN_AS_NOBODY,
    )


def packages(directory: Path, installed: Mapping[str, str]) -> str:
    """A package database in which these are installed, each with further fields."""
    directory.mkdir()
    records = "".join(_INSTALLED.format(name=name, more=more) for name, more in installed.items())
    (directory / "status").write_text(records)
    return str(directory)


def test_an_unknown_command_is_refused_with_the_usage(checkout: Path):
    for arguments in ((), ("frobnicate",)):
        done = run_dev(checkout, *arguments)
        assert done.returncode == 2
        assert "usage: ./dev COMMAND" in done.stderr


def test_without_root_the_one_command_to_run_is_told_and_nothing_happens(checkout: Path):
    before = sorted(os.listdir(checkout))
    done = run_dev(checkout, "test", "-k", "nothing", DPKG_ADMINDIR=packages(checkout / "dpkg", {"libgl1": ""}))
    assert done.returncode == 1
    assert "sudo apt-get update && sudo apt-get install" in done.stderr
    assert " libegl1 " in done.stderr
    assert " xvfb " in done.stderr
    assert " gcc " in done.stderr
    assert " libgl1 " not in done.stderr
    assert sorted(os.listdir(checkout)) == sorted([*before, "dpkg"])


def test_a_package_that_another_one_provides_is_not_missing(checkout: Path):
    provides = {"libglib2.0-0t64": "Provides: libglib2.0-0 (= 1.0), something-else\n", "binutils": ""}
    done = run_dev(checkout, "build", DPKG_ADMINDIR=packages(checkout / "dpkg", provides))
    assert " libdbus-1-3 " in done.stderr
    assert "libglib2.0-0" not in done.stderr
    assert "binutils" not in done.stderr


def test_a_terminal_needs_no_library_of_the_window(checkout: Path):
    done = run_dev(checkout, "run", DPKG_ADMINDIR=packages(checkout / "dpkg", {}), SWEEPER_PYTHON="/bin/false")
    assert "no display here" in done.stderr
    assert "libegl1" not in done.stderr


def test_an_interpreter_that_is_too_old_is_named(checkout: Path):
    done = run_dev(checkout, "lint", SWEEPER_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "SWEEPER_PYTHON=/bin/false is no Python 3.11 or later" in done.stderr
