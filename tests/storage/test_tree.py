"""Nodes of a pinned tree: opened again component by component, never mistaken, and few at a time."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper_gui.storage.files import CrossesMount
from sweeper_gui.storage.tree import DescriptorCache, Node, Tree, TreeChanged
from tests.support.mounts import bind, tmpfs
from tests.support.removals import opened


class Rig:
    """A tree below `top` and its nodes."""

    def __init__(self, top: Path, parent_fd: int, cache: DescriptorCache) -> None:
        self.path = top
        self.tree = Tree(parent_fd, os.fsencode(top.name))
        self.top, _ = cache.open_top(self.tree, lambda status: Node(self.tree, None, b"", status.st_ino))

    def node(self, parent: Node, name: str) -> Node:
        path = self.path / os.fsdecode(parent.path(os.fsencode(name)))
        return Node(self.tree, parent, os.fsencode(name), path.lstat().st_ino)


@pytest.fixture
def cache() -> Iterator[DescriptorCache]:
    cache = DescriptorCache(capacity=8)
    yield cache
    cache.close()
    assert cache.open_now == 0


@pytest.fixture
def rig(tmp_path: Path, cache: DescriptorCache) -> Iterator[Rig]:
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "top" / "a" / "b" / "here").touch()
    with opened(tmp_path) as parent:
        yield Rig(tmp_path / "top", parent, cache)


def test_a_node_is_opened_through_its_ancestors(rig: Rig, cache: DescriptorCache) -> None:
    b = rig.node(rig.node(rig.top, "a"), "b")
    with cache.pinned(b) as descriptor:
        assert os.listdir(descriptor) == ["here"]
    assert (b.path(), b.path(b"x"), rig.top.path(), rig.top.shown()) == (b"a/b", b"a/b/x", b"", ".")


def test_a_descriptor_is_kept_and_used_again(rig: Rig, cache: DescriptorCache) -> None:
    a = rig.node(rig.top, "a")
    with cache.pinned(a) as first:
        pass
    shutil.rmtree(rig.path / "a")  # what is open needs no name any more
    with cache.pinned(a) as second:
        assert second == first


def test_another_directory_of_the_same_name_is_refused(rig: Rig, cache: DescriptorCache) -> None:
    b = rig.node(rig.node(rig.top, "a"), "b")
    (rig.path / "a").rename(rig.path / "moved")
    (rig.path / "a" / "b").mkdir(parents=True)
    with pytest.raises(TreeChanged, match="a is another directory than before"), cache.pinned(b):
        pass


def test_a_link_in_place_of_a_directory_is_refused(rig: Rig, cache: DescriptorCache) -> None:
    b = rig.node(rig.node(rig.top, "a"), "b")
    (rig.path / "a").rename(rig.path / "moved")
    (rig.path / "a").symlink_to("moved")
    with pytest.raises(NotADirectoryError), cache.pinned(b):
        pass


def test_a_mount_in_place_of_a_directory_is_refused(rig: Rig, cache: DescriptorCache) -> None:
    """Even where it shows the very same directory, so that device and inode are as before."""
    b = rig.node(rig.node(rig.top, "a"), "b")
    with bind(rig.path / "a", rig.path / "a"), pytest.raises(CrossesMount), cache.pinned(b):
        pass


def test_what_is_gone_is_said_to_be_gone(rig: Rig, cache: DescriptorCache) -> None:
    b = rig.node(rig.node(rig.top, "a"), "b")
    shutil.rmtree(rig.path / "a")
    with pytest.raises(FileNotFoundError), cache.pinned(b):
        pass
    assert cache.open_now == 1  # the top: a failure leaves nothing pinned
    cache.close()
    assert cache.open_now == 0


def test_a_tree_is_found_again_where_its_top_was_renamed_to(rig: Rig, cache: DescriptorCache, tmp_path: Path) -> None:
    a = rig.node(rig.top, "a")
    rig.path.rename(tmp_path / "elsewhere")
    cache.forget(rig.tree)
    rig.tree.moved(rig.tree.parent_fd, b"elsewhere")
    with cache.pinned(a) as descriptor:
        assert os.listdir(descriptor) == ["b"]


def test_the_way_to_a_node_can_be_walked_anew_while_it_is_in_use(rig: Rig, cache: DescriptorCache) -> None:
    a = rig.node(rig.top, "a")
    with cache.pinned(a) as before:
        cache.forget_way(a)
        with cache.pinned(a) as after:
            assert after != before
            assert os.listdir(before) == os.listdir(after) == ["b"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)


def test_three_thousand_levels_with_sixty_descriptors(tmp_path: Path) -> None:
    cache = DescriptorCache(capacity=60)
    with tmpfs(tmp_path / "volume") as volume, opened(volume) as parent:
        (volume / "top").mkdir()
        rig = Rig(volume / "top", parent, cache)
        node = rig.top
        for _ in range(3_000):
            with cache.pinned(node) as descriptor:
                os.mkdir("d", dir_fd=descriptor)
                inode = os.stat("d", dir_fd=descriptor).st_ino
            node = Node(rig.tree, node, b"d", inode)
            assert cache.open_now <= 61
        assert len(node.path()) == 2 * 3_000 - 1
        assert len(node.shown()) < 300
        cache.forget(rig.tree)
        with cache.pinned(node) as descriptor:
            assert os.listdir(descriptor) == []
        cache.close()
    assert cache.open_now == 0


def test_many_threads_get_the_right_directories_and_leave_few_open(tmp_path: Path) -> None:
    cache = DescriptorCache(capacity=5)
    names = [f"{x}{y}" for x in "abcdef" for y in "0123456789"]
    for name in names:
        (tmp_path / "top" / name[0] / name).mkdir(parents=True)
    wrong: list[str] = []
    with opened(tmp_path) as parent:
        rig = Rig(tmp_path / "top", parent, cache)
        letters = {letter: rig.node(rig.top, letter) for letter in "abcdef"}
        nodes = {name: rig.node(letters[name[0]], name) for name in names}

        def use(offset: int) -> None:
            for round_ in range(300):
                name = names[(offset * 7 + round_ * (offset + 1)) % len(names)]
                if round_ % 50 == 0:
                    cache.forget_way(nodes[name])
                with cache.pinned(nodes[name]) as descriptor:
                    if os.fstat(descriptor).st_ino != nodes[name].inode:
                        wrong.append(name)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert cache.open_now <= 5
    cache.close()
    assert cache.open_now == 0
