"""Names as they are typed or listed, and what Sweeper says of a deletion list."""

import os
from pathlib import Path

import pytest

from sweeper_gui.cli.codes import Code, Refusal
from sweeper_gui.cli.compare import compare
from sweeper_gui.cli.names import name_below, names_from, read_names
from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.verdict import Doubt, Status
from tests.cli.samples import row

ROOT = Path("/mnt/efs")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"w1", b"w1"),
        (b"w1/", b"w1"),
        (b"shard/w1", b"shard/w1"),
        (b"/mnt/efs/w1", b"w1"),
        (b"/mnt/efs/shard/w1//", b"shard/w1"),
        (b"/mnt/efs", None),
        (b"/mnt/efs/", None),
        (b"/mnt/efsx/w1", None),
        (b"/elsewhere/w1", None),
        (b"..", b".."),
    ],
)
def test_a_path_stands_for_what_follows_the_root(path: bytes, name: bytes | None) -> None:
    assert name_below(path, [b"/mnt/efs"]) == name


def test_names_are_bytes_each_once_in_their_order() -> None:
    arguments = ["b", "/mnt/efs/a", os.fsdecode(b"caf\xe9"), "a", "b/"]
    assert names_from(arguments, ROOT) == (b"b", b"a", b"caf\xe9")


@pytest.mark.parametrize("argument", ["/etc/passwd", "/mnt/efs", "", "/"])
def test_a_path_outside_the_root_is_refused(argument: str) -> None:
    with pytest.raises(Refusal, match="not below the root") as refused:
        names_from([argument], ROOT)
    assert refused.value.code is Code.USAGE


def test_a_list_is_read_by_lines(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a\n\nb c\ncaf\xe9\na\n")
    assert read_names(str(tmp_path / "list")) == (b"a", b"b c", b"caf\xe9")


def test_a_list_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="No such file") as refused:
        read_names(str(tmp_path / "none"))
    assert refused.value.code is Code.USAGE


def test_a_deletion_list_is_judged_line_by_line() -> None:
    rows = {
        b"orphan": row(b"orphan"),
        b"doubtful": row(b"doubtful", doubts=(Doubt.UNEXPLAINED,), reason="no session of this id"),
        b"live": row(b"live", Status.LIVE, reason="session is live"),
    }
    lines = [b"live", b"/mnt/efs/orphan", b"doubtful", b"gone", b"/etc"]
    found = compare(lines, rows, [b"/mnt/efs"], Policy())
    assert [(one.name, one.verdict, one.status) for one in found] == [
        (b"live", "keep", "live"),
        (b"orphan", "remove", "orphan"),
        (b"doubtful", "set-aside", "orphan"),
        (b"gone", "keep", ""),
        (b"/etc", "keep", ""),
    ]
    assert found[0].reason == "session is live"
    assert found[2].doubts == ("unexplained",)
    lax = compare([b"doubtful"], rows, [b"/mnt/efs"], Policy(unexplained=Treatment.REMOVE))
    assert lax[0].verdict == "remove"
