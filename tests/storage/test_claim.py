"""One control directory for a root, whatever the hosts see of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.listing import list_workspaces
from sweeper_gui.storage.lock import Lock
from sweeper_gui.storage.volume import Volume, VolumeError
from tests.support.mounts import bind, tmpfs
from tests.support.slowfs import Fault, slow_volume


@contextmanager
def host(root: Path, **more: object) -> Iterator[tuple[Volume, VolumeSettings]]:
    """A host that sees the root there."""
    settings = VolumeSettings(root=root, **more)  # type: ignore[arg-type]
    with Volume(settings) as volume:
        yield volume, settings


def sweep(root: Path, **more: object) -> bytes:
    """What the preflight does about the control directory; its path."""
    with host(root, **more) as (volume, settings), Control.open_or_create(volume, settings) as control:
        control.claim(volume, "alice@a")
        return control.path


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A file system with a root in it, as a host sees it that mounts the whole."""
    with tmpfs(tmp_path / "whole") as whole:
        (whole / "root").mkdir()
        yield whole


def test_host_that_mounts_the_root_alone_is_refused_after_one_that_mounts_its_parent(
    shared: Path, tmp_path: Path
) -> None:
    assert sweep(shared / "root") == os.fsencode(shared / ".sweeper-root")
    with bind(shared / "root", tmp_path / "alone") as alone:
        for _ in range(2):
            with pytest.raises(VolumeError, match=r"belongs to .* alice@a sees as .*whole/\.sweeper-root"):
                sweep(alone)
        with host(alone) as (volume, settings), pytest.raises(VolumeError, match="belongs to"):
            Control.open_existing(volume, settings)
        assert not (alone / ".sweeper").exists()
    sweep(shared / "root")


def test_host_that_mounts_the_parent_finds_what_one_that_mounts_the_root_alone_has_made(
    shared: Path, tmp_path: Path
) -> None:
    with bind(shared / "root", tmp_path / "alone") as alone:
        sweep(alone)
    assert sweep(shared / "root") == os.fsencode(shared / "root" / ".sweeper")


def test_hosts_that_begin_at_once_do_not_both_get_the_root(shared: Path, tmp_path: Path) -> None:
    with (
        bind(shared / "root", tmp_path / "alone") as alone,
        host(alone) as (there, settings),
        Control.open_or_create(there, settings) as theirs,
        host(shared / "root", control_dir=shared / "ours") as (here, own),
        Control.open_or_create(here, own) as ours,
    ):
        ours.claim(here, "alice@a")
        with pytest.raises(VolumeError, match="alice@a"):
            theirs.claim(there, "bob@b")
        ours.check_unchanged(here)
        with pytest.raises(VolumeError, match="alice@a"):
            theirs.check_unchanged(there)


@pytest.mark.parametrize("begun", [False, True])
def test_host_that_came_second_takes_its_new_control_directory_away_again(
    shared: Path, tmp_path: Path, begun: bool
) -> None:
    inside = shared / "root" / ".sweeper"
    with (
        bind(shared / "root", tmp_path / "alone") as alone,
        host(alone) as (there, settings),
        Control.open_or_create(there, settings) as theirs,
        Lock(theirs, there, "bob@b", "b", "sweep"),
    ):
        winner = shared / ".sweeper-root"
        winner.mkdir(0o700)
        (winner / "identity").write_text('{"id":"1","path":"/x","by":"alice@a","at":1.0}')
        (shared / "root" / ".sweeper-claim").hardlink_to(winner / "identity")
        if begun:
            (inside / "sweeps" / "somebody's").mkdir()
        with pytest.raises(VolumeError, match="alice@a"):
            theirs.claim(there, "bob@b")
    assert inside.exists() == begun
    if begun:
        assert {path.name for path in inside.iterdir()} == {"identity", "lock", "sweeps"}
        return
    assert sweep(shared / "root") == os.fsencode(winner)


def test_control_directory_that_was_there_before_is_not_taken_away(shared: Path) -> None:
    sweep(shared / "root")
    (shared / "root" / ".sweeper-claim").unlink()
    (shared / "root" / ".sweeper-claim").write_text("another one's")
    with host(shared / "root") as (volume, settings), pytest.raises(VolumeError):
        Control.open_or_create(volume, settings)
    assert (shared / ".sweeper-root" / "identity").exists()


def test_root_on_a_file_system_without_hard_links_is_claimed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "backing" / "root").mkdir(parents=True)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", Fault("link", error="EPERM")) as volume:
        root = volume.path / "root"
        sweep(root)
        sweep(root)
        assert (root / ".sweeper-claim").read_bytes() == (volume.path / ".sweeper-root" / "identity").read_bytes()
        assert (root / ".sweeper-claim").stat().st_nlink == 1
        assert not list((volume.path / ".sweeper-root").glob("identity-*"))
        with pytest.raises(VolumeError, match=r"belongs to .* alice@a"):
            sweep(root, control_dir=volume.path / "another")


def test_host_that_is_configured_differently_is_refused(shared: Path) -> None:
    sweep(shared / "root")
    with pytest.raises(VolumeError, match="belongs to"):
        sweep(shared / "root", control_dir=shared / "other")
    assert not (shared / "other").exists()


def test_control_directory_may_move_where_its_path_is_set(shared: Path) -> None:
    sweep(shared / "root")
    (shared / ".sweeper-root").rename(shared / "other")
    sweep(shared / "root", control_dir=shared / "other")
    with pytest.raises(VolumeError, match="belongs to"):
        sweep(shared / "root")


def test_claim_that_was_removed_is_staked_again(shared: Path) -> None:
    sweep(shared / "root")
    (shared / "root" / ".sweeper-claim").unlink()
    sweep(shared / "root")
    assert (shared / "root" / ".sweeper-claim").samefile(shared / ".sweeper-root" / "identity")


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "text"])
def test_claim_that_somebody_planted_lets_nothing_be_swept(shared: Path, kind: str) -> None:
    claim = shared / "root" / ".sweeper-claim"
    (shared / "victim").write_text("precious")
    plant = {
        "link": lambda: claim.symlink_to(shared / "victim"),
        "directory": claim.mkdir,
        "fifo": lambda: os.mkfifo(claim),
        "text": lambda: claim.write_text("\x1b[31m"),
    }
    plant[kind]()
    with pytest.raises(VolumeError) as told:
        sweep(shared / "root")
    assert ".sweeper-claim" in f"{told.value} {told.value.hint}"
    assert (shared / "victim").read_text() == "precious"
    assert not (shared / ".sweeper-root").exists()


def test_listing_writes_no_claim_and_passes_one_over(shared: Path) -> None:
    with host(shared / "root") as (volume, settings):
        assert Control.open_existing(volume, settings) is None
        assert [*list_workspaces(volume, Event())] == []
        assert list((shared / "root").iterdir()) == []
        sweep(shared / "root")
        assert [*list_workspaces(volume, Event())] == []


def test_root_in_which_nothing_can_be_made_is_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(VolumeError, match="sweeper-claim"):
        sweep(shared / "root")
