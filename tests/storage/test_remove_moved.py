"""A part of the tree that is moved elsewhere while it is removed, and goes on being needed there.

A process that had been at work in a workspace before it was set aside holds directories of it open, and can move them
out of the trash although it can't enter it. The descriptors of the removal go along.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.storage import bulk, remove
from sweeper_gui.storage.discover import Discovery
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.remove import Counters, Removal
from sweeper_gui.storage.tree import Node
from tests.support.mounts import tmpfs
from tests.support.removals import (
    Awaited,
    discovered,
    discovered_and_removed,
    make_deep_tree,
    opened,
    removed,
)
from tests.support.slowfs import SlowVolume, slow_volume

FILES = 40


def make_part(directory: Path) -> Path:
    """A directory with files, and one below it with as many."""
    for part in (directory, directory / "below"):
        part.mkdir(parents=True)
        for number in range(FILES):
            (part / f"f{number}").write_bytes(b"precious")
    return directory


def removed_while(
    pool: WorkPool, top: Path, discovery: Discovery, happens: Callable[[], object], ready: Callable[[Counters], bool]
) -> Removal:
    """The removal, in the midst of which something happens."""
    counters = Counters()
    end = Awaited[Removal]()
    with opened(top.parent) as parent:
        remove.remove(
            pool, parent, os.fsencode(top.name), discovery, cancel=threading.Event(), counters=counters, on_done=end,
            back_off=(0.01,) * 5,
        )  # fmt: skip
        while not ready(counters):
            time.sleep(0.002)
        happens()
        return end.result()


def slowly_removed_while(
    pool: WorkPool, volume: SlowVolume, happens: Callable[[Path], object], ready_after: int = 5
) -> Removal:
    """Unlinks of 10 ms each, in `top/part` and `top/part/below`."""
    top = volume.path / "top"
    discovery = discovered(pool, top)
    volume.set_plan(latency={"unlink": 0.01})
    return removed_while(pool, top, discovery, lambda: happens(top), lambda counters: counters.entries >= ready_after)


@pytest.mark.parametrize("moved", ["part", "part/below", "."])
def test_what_is_moved_into_a_live_workspace_is_left_alone_from_then_on(
    pool: WorkPool, tmp_path: Path, moved: str
) -> None:
    """But for the entry that each directory's thread has in hand at that moment."""
    make_part(tmp_path / "backing" / "top" / "part")
    live = tmp_path / "backing" / "live"
    live.mkdir()
    left: list[int] = []

    def move(top: Path) -> None:
        (top / moved).rename(top.parent / "live" / "moved")
        left.append(len([path for path in live.rglob("f*") if path.is_file()]))

    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        slowly_removed_while(pool, volume, move)
    directories = 1 if moved == "part/below" else 2
    assert left[0] > FILES / 2
    survivors = [path for path in live.rglob("f*") if path.is_file()]
    assert len(survivors) >= left[0] - directories
    assert all(path.read_bytes() == b"precious" for path in survivors)
    assert (live / "moved" / "below").is_dir() or moved != "part"


def test_what_is_moved_within_the_tree_is_removed_where_it_is_then(pool: WorkPool, tmp_path: Path) -> None:
    make_part(tmp_path / "backing" / "top" / "part")
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        result = slowly_removed_while(pool, volume, lambda top: (top / "part" / "below").rename(top / "elsewhere"))
        again = result if result.complete else discovered_and_removed(pool, volume.path / "top")
    assert again.complete
    assert os.listdir(tmp_path / "backing") == []


def test_a_moved_directory_that_comes_back_is_removed_too(pool: WorkPool, tmp_path: Path) -> None:
    make_part(tmp_path / "backing" / "top" / "part")

    def move_and_return(top: Path) -> None:
        (top / "part").rename(top.parent / "away")
        (top.parent / "away").rename(top / "part")

    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        result = slowly_removed_while(pool, volume, move_and_return)
        assert result.complete or discovered_and_removed(pool, volume.path / "top").complete
    assert os.listdir(tmp_path / "backing") == []


def test_empty_directories_are_not_removed_from_where_they_were_moved_to(
    pool: WorkPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent is moved when its children have been emptied, right before they are removed from it."""
    top, live = tmp_path / "top", tmp_path / "live"
    for number in range(10):
        (top / "part" / f"d{number}").mkdir(parents=True)
    live.mkdir()
    discovery = discovered(pool, top)
    original = remove._Removing._remove_each

    def remove_each(self: remove._Removing, *arguments: object) -> None:
        if (top / "part").exists():
            (top / "part").rename(live / "part")
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(remove._Removing, "_remove_each", remove_each)
    removed(pool, top, discovery)
    assert len(os.listdir(live / "part")) == 10


def is_in_place(node: Node, descriptor: int) -> bool:
    """Whether something might be removed from it."""
    found = set()
    for remove_names in (bulk.unlink, bulk.rmdir):
        try:
            found.add(remove_names(descriptor, [], 0, bulk.ONE, node.place).error is None)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            found.add(False)
    [answer] = found
    return answer


@pytest.mark.parametrize("depth", [1, 2, 1_299, 1_300, 1_301, 3_000])
def test_place_is_known_at_any_depth(pool: WorkPool, tmp_path: Path, depth: int) -> None:
    with tmpfs(tmp_path / "volume") as volume:  # which goes as a whole, however the test ends
        make_deep_tree(volume / "top", depth)
        node = discovered(pool, volume / "top").top
        assert node is not None
        while node.children:
            node = node.children[0]
        with opened(volume) as parent:
            node.tree.moved(parent, b"top")
            with pool.descriptors.pinned(node) as descriptor:
                assert is_in_place(node, descriptor)
                (volume / "live").mkdir()
                (volume / "top" / "level").rename(volume / "live" / "level")
                assert not is_in_place(node, descriptor)
                (volume / "live" / "level").rename(volume / "level")
                assert not is_in_place(node, descriptor)
                (volume / "level").rename(volume / "top" / "level")
                assert is_in_place(node, descriptor)
                (volume / "top").rename(volume / "live" / "top")
                assert not is_in_place(node, descriptor)
        pool.descriptors.forget(node.tree)


def test_place_is_known_without_asking_the_volume(pool: WorkPool, tmp_path: Path) -> None:
    make_part(tmp_path / "backing" / "top" / "part")
    with slow_volume(tmp_path / "backing", tmp_path / "mount") as volume:
        top = discovered(pool, volume.path / "top").top
        assert top is not None
        below = top.children[0].children[0]
        with opened(volume.path) as parent:
            below.tree.moved(parent, b"top")
            with pool.descriptors.pinned(below) as descriptor:
                volume.forget_calls()
                assert is_in_place(below, descriptor)
                assert volume.calls() == []
        pool.descriptors.forget(below.tree)
