"""The user's own state: reached by no way that another user could bend, whatever the environment says of the place."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper_gui.storage.private import (
    Exposed,
    append_private,
    begin_private,
    private_directory,
    read_private,
    replace_private,
)
from tests.support.nobody import NOBODY, as_nobody, nobodys_directory
from tests.support.root import need_root


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of ours below /tmp, where anyone may make entries and nobody may change another one's."""
    with nobodys_directory() as directory:
        os.chown(directory, 0, 0)
        yield directory


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_what_it_makes_is_for_its_owner_only_whatever_the_umask(place: Path) -> None:
    replace_private(place / "a" / "b" / "file", b"content")
    os.close(append_private(place / "a" / "b" / "log", os.O_WRONLY))
    os.close(begin_private(place / "a" / "b" / "begun", b""))
    assert read_private(place / "a" / "b" / "file", 10) == b"content"
    assert {mode_of(place / "a"), mode_of(place / "a" / "b")} == {0o700}
    assert {mode_of(path) for path in (place / "a" / "b").iterdir()} == {0o600}


def owned_by_another(path: Path) -> None:
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)


def writable_by_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def writable_by_a_group(path: Path) -> None:
    path.mkdir()
    os.chown(path, 0, NOBODY)
    path.chmod(0o770)


def link_of_another(path: Path) -> None:
    (path.parent / "goal").mkdir()
    path.symlink_to(path.parent / "goal")
    os.lchown(path, NOBODY, NOBODY)


SPOILT: list[tuple[Callable[[Path], None], str]] = [
    (owned_by_another, "belongs to user nobody"),
    (writable_by_all, "anyone may change it: chmod go-w"),
    (writable_by_a_group, "its group may change it: chmod go-w"),
    (link_of_another, "a link of user nobody"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("below", ["", "parent/"], ids=["itself", "a parent"])
def test_a_place_that_another_user_can_bend_is_refused(
    place: Path, spoil: Callable[[Path], None], words: str, below: str
) -> None:
    need_root()
    spoil(place / "spoilt")
    directory = place / "spoilt" / below
    with pytest.raises(Exposed, match=words), private_directory(directory, make=True):
        raise AssertionError("it has been entered")
    with pytest.raises(Exposed, match=words):
        read_private(directory / "file", 10)
    with pytest.raises(Exposed, match=words):
        replace_private(directory / "file", b"")
    assert [entry for entry in (place / "spoilt").iterdir() if entry.name != "goal"] == []


def test_links_of_ones_own_lead_on_but_never_to_the_end(place: Path) -> None:
    """A home that root has moved and linked is everyday; a link where the state should be is not."""
    (place / "moved").mkdir(mode=0o700)
    (place / "home").symlink_to("moved")
    (place / "moved" / "back").symlink_to("../moved")
    replace_private(place / "home" / "back" / "state" / "file", b"x")
    assert (place / "moved" / "state" / "file").read_bytes() == b"x"
    (place / "moved" / "link").symlink_to("state")
    with pytest.raises(Exposed, match="it is a link"):
        read_private(place / "moved" / "link" / "file", 10)
    (place / "circle").symlink_to("circle")
    with pytest.raises(Exposed, match="it is a link"):
        read_private(place / "circle" / "x" / "file", 10)


def a_link(path: Path) -> None:
    (path.parent / "secret").write_text("secret")
    path.symlink_to(path.parent / "secret")


def a_hard_link(path: Path) -> None:
    (path.parent / "precious").write_text("secret")
    path.hardlink_to(path.parent / "precious")


def anothers_file(path: Path) -> None:
    path.write_text("secret")
    os.chown(path, NOBODY, NOBODY)


def a_file_for_all(path: Path) -> None:
    path.write_text("secret")
    path.chmod(0o666)


@pytest.mark.parametrize(
    "plant", [a_link, a_hard_link, anothers_file, a_file_for_all, os.mkfifo, os.mkdir], ids=lambda plant: plant.__name__
)
def test_a_file_that_is_not_simply_ours_is_neither_read_nor_written(place: Path, plant: Callable[[Path], None]) -> None:
    need_root()
    plant(place / "file")
    with pytest.raises(OSError, match=r"\[Errno "):
        read_private(place / "file", 10)
    with pytest.raises(OSError, match=r"\[Errno "):
        append_private(place / "file", os.O_WRONLY | os.O_APPEND)
    for victim in (place / "secret", place / "precious"):
        assert not victim.exists() or victim.read_text() == "secret"


def test_a_file_that_is_larger_than_any_of_ours_is_not_read(place: Path) -> None:
    with (place / "file").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_private(place / "file", 10)


def test_only_a_group_of_ones_own_may_write(place: Path, nobodys: Path) -> None:
    """Many systems give each user a group of his own and a umask that lets it write."""
    (place / "state").mkdir()
    (place / "state").chmod(0o770)
    replace_private(place / "state" / "file", b"root's group has nobody but root")

    (nobodys / "state").mkdir()
    os.chown(nobodys / "state", NOBODY, NOBODY)
    (nobodys / "state").chmod(0o775)

    def written() -> bytes:
        replace_private(nobodys / "state" / "file", b"mine")
        return read_private(nobodys / "state" / "file", 10)

    with pytest.raises(Exposed, match="its group may change it"):  # nogroup is everybody's who has none
        as_nobody(written)
    (nobodys / "state").chmod(0o755)
    assert as_nobody(written) == b"mine"


def test_what_is_missing_is_missing_and_is_not_made_by_looking(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(place / "none" / "file", 10)
    assert list(place.iterdir()) == []
