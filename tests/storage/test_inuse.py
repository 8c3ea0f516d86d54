import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeper_gui.storage.inuse import user_of, uses_below

_HOLDS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
{what}
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(what: str, cwd: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS.format(what=what)], cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("os.chdir({inside!r})", "working directory"),
        ("file = open({inside!r} + '/file')", "file open"),
        ("file = os.open({inside!r}, os.O_RDONLY)", "file open"),
        ("file = open({inside!r} + '/file'); os.unlink({inside!r} + '/file')", "file open"),
        (
            "fd = os.open({inside!r} + '/file', os.O_RDONLY); libc.mmap(None, 4096, 1, 2, fd, 0); os.close(fd)",
            "file mapped",
        ),
    ],
)
def test_every_way_of_using_a_workspace_is_seen(tmp_path: Path, what: str, how: str) -> None:
    inside = tmp_path / "w1" / "repo"
    inside.mkdir(parents=True)
    (inside / "file").write_text("content")
    (tmp_path / "w1x").mkdir()
    with holder(what.format(inside=str(inside)), tmp_path.parent):
        uses = uses_below([os.fsencode(tmp_path / "w1")])
    words = user_of(os.fsencode(tmp_path / "w1"), uses)
    assert words is not None
    assert how in words
    assert user_of(os.fsencode(tmp_path / "w1x"), uses) is None


def test_nobody_uses_what_nobody_uses(tmp_path: Path) -> None:
    assert uses_below([os.fsencode(tmp_path)]) == {}
