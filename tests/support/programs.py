"""The standalone programs, built from the sources as they are now, at most once."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DISTRIBUTION = PROJECT / "dist"

#: Every program that `sweeper.spec` makes, below `dist`.
PROGRAMS = ("sweeper/sweeper", "sweeper-onefile")

_INPUTS = ("sweeper.spec", "pyproject.toml", "sweeper_gui/**/*.py", "resources/**/*")


def built_programs() -> Path:
    """The directory of the programs; builds them where the sources have changed. Raises AssertionError if it can't."""
    (PROJECT / "build").mkdir(exist_ok=True)
    with (PROJECT / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the suite runs in several processes
        stamp = DISTRIBUTION / "stamp"
        sources = _digest()
        if not stamp.exists() or stamp.read_text() != sources:
            _build()
            stamp.write_text(sources)
    return DISTRIBUTION


def _build() -> None:
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN", "sweeper.spec"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _digest() -> str:
    total = hashlib.sha256(sys.version.encode())
    for pattern in _INPUTS:
        for path in sorted(PROJECT.glob(pattern)):
            if path.is_file():
                total.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return total.hexdigest()
