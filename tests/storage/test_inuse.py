import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeper_gui.storage.files import mount_id
from sweeper_gui.storage.inuse import user_of, uses_below
from sweeper_gui.storage.mounts import Mount, read_mounts, with_id
from tests.support.mounts import bind

_HOLDS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
{what}
print("ready", flush=True)
sys.stdin.read()
"""


def mount_of(path: Path) -> Mount:
    """The mount that a directory lies on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        mount = with_id(read_mounts(), mount_id(descriptor))
    finally:
        os.close(descriptor)
    assert mount is not None
    return mount


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
        uses = uses_below([os.fsencode(tmp_path / "w1")], mount_of(tmp_path))
    words = user_of(os.fsencode(tmp_path / "w1"), uses)
    assert words is not None
    assert how in words
    assert user_of(os.fsencode(tmp_path / "w1x"), uses) is None


def test_nobody_uses_what_nobody_uses(tmp_path: Path) -> None:
    assert uses_below([os.fsencode(tmp_path)], mount_of(tmp_path)) == {}


def test_use_through_another_mount_of_the_file_system_is_seen(tmp_path: Path) -> None:
    (tmp_path / "root" / "w1").mkdir(parents=True)
    alias = tmp_path / "alias"
    with bind(tmp_path / "root", alias), holder(f"os.chdir({str(alias / 'w1')!r})", tmp_path.parent):
        uses = uses_below([os.fsencode(tmp_path / "root")], mount_of(tmp_path / "root"))
    assert "working directory" in (user_of(os.fsencode(tmp_path / "root" / "w1"), uses) or "")


def test_use_in_a_container_that_mounts_it_elsewhere_is_seen(tmp_path: Path) -> None:
    (tmp_path / "root" / "w1").mkdir(parents=True)
    (tmp_path / "inner").mkdir()
    script = 'mount --bind "$1" "$2" && cd "$2/w1" && echo ready && exec sleep 60'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path / "root", tmp_path / "inner"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        uses = uses_below([os.fsencode(tmp_path / "root")], mount_of(tmp_path / "root"))
        process.kill()
    assert "sleep" in (user_of(os.fsencode(tmp_path / "root" / "w1"), uses) or "")


def test_directory_that_is_bind_mounted_elsewhere_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "root" / "w1" / "inner").mkdir(parents=True)
    with bind(tmp_path / "root" / "w1" / "inner", tmp_path / "elsewhere"):
        uses = uses_below([os.fsencode(tmp_path / "root")], mount_of(tmp_path / "root"))
    assert "bind-mounted" in (user_of(os.fsencode(tmp_path / "root" / "w1"), uses) or "")
