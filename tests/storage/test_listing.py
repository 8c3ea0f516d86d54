import os
import threading
from pathlib import Path

from sweeper_gui.core.workspace import Kind
from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage.listing import BATCH, list_workspaces, with_attributes
from sweeper_gui.storage.volume import Volume
from tests.support.mounts import tmpfs


def listed(root: Path, **more: object) -> tuple[dict[bytes, tuple[Kind, str | None]], list[str]]:
    with Volume(VolumeSettings(root=root, **more)) as volume:  # type: ignore[arg-type]
        batches = list(list_workspaces(volume, threading.Event()))
    found = {w.name: (w.kind, w.id) for batch in batches for w in batch.workspaces}
    return found, [problem for batch in batches for problem in batch.problems]


def test_tells_every_kind_of_entry_and_gives_ids_to_directories_alone(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "abc")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "not an id").mkdir()
    (tmp_path / os.fsdecode(b"raw-\xff")).mkdir()
    found, problems = listed(tmp_path)
    assert found == {
        b"abc": (Kind.DIRECTORY, "abc"),
        b"file": (Kind.FILE, None),
        b"link": (Kind.SYMLINK, None),
        b"pipe": (Kind.OTHER, None),
        b"not an id": (Kind.DIRECTORY, None),
        b"raw-\xff": (Kind.DIRECTORY, None),
    }
    assert not problems


def test_large_root_comes_in_batches(tmp_path: Path) -> None:
    for number in range(BATCH + 10):
        (tmp_path / f"w{number}").mkdir()
    with Volume(VolumeSettings(root=tmp_path)) as volume:
        sizes = [len(batch.workspaces) for batch in list_workspaces(volume, threading.Event())]
    assert sizes == [BATCH, 10]


def test_cancel_ends_it(tmp_path: Path) -> None:
    for number in range(3 * BATCH):
        (tmp_path / f"w{number}").mkdir()
    cancel = threading.Event()
    with Volume(VolumeSettings(root=tmp_path)) as volume:
        batches = list_workspaces(volume, cancel)
        next(batches)
        cancel.set()
        assert list(batches) == []


def test_shards_hold_the_workspaces_and_other_entries_are_shown_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "aa" / "one").mkdir(parents=True)
    (tmp_path / "aa" / "file").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "aa")
    (tmp_path / ".hidden" / "two").mkdir(parents=True)
    with tmpfs(tmp_path / "mounted"):
        found, problems = listed(tmp_path, depth=2)
    assert found == {
        b"aa/one": (Kind.DIRECTORY, "one"),
        b"aa/file": (Kind.FILE, None),
        b"file": (Kind.FILE, None),
        b"link": (Kind.SYMLINK, None),
        b".hidden": (Kind.DIRECTORY, None),
        b"mounted": (Kind.DIRECTORY, None),
    }
    assert not problems


def test_attributes_are_those_of_the_entry_itself(tmp_path: Path) -> None:
    (tmp_path / "aa" / "one").mkdir(parents=True)
    with Volume(VolumeSettings(root=tmp_path, depth=2)) as volume:
        (batch,) = list_workspaces(volume, threading.Event())
        seen = with_attributes(volume, batch.workspaces[0])
    status = (tmp_path / "aa" / "one").stat()
    assert seen.identity is not None
    assert (seen.identity.inode, seen.identity.ctime_ns, seen.uid) == (status.st_ino, status.st_ctime_ns, 0)
