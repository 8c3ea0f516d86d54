"""The lock of a volume: whom it excludes, whom it names, and how its loss is noticed."""

import errno
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage import lock as lock_module
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.lock import Holder, Keeper, Lock, LockHeld, LockLost, holder_of
from sweeper_gui.storage.volume import Volume, VolumeError
from tests.support.messages import Messages
from tests.support.mounts import tmpfs

_REPO = Path(__file__).parents[2]
_HOLDING = """
import sys, time
from pathlib import Path
from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.lock import Lock
from sweeper_gui.storage.volume import Volume
settings = VolumeSettings(root=Path(sys.argv[1]))
with Volume(settings) as volume, Control.open_or_create(volume, settings) as control:
    lock = Lock(control, volume, "carol", "elsewhere", "sweep 7")
    print("held", flush=True)
    time.sleep(600)
"""


class Place:
    """A volume with its control directory, and the lock file in it."""

    def __init__(self, root: Path) -> None:
        settings = VolumeSettings(root=root)
        self.root = root
        self.volume = Volume(settings)
        self.control = Control.open_or_create(self.volume, settings)
        self.file = Path(os.fsdecode(self.control.path)) / "lock"

    def lock(self, who: str = "alice") -> Lock:
        return Lock(self.control, self.volume, who, "bastion", "sweep")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "root").mkdir()
    place = Place(tmp_path / "root")
    with place.volume, place.control:
        yield place


def test_excludes_names_its_holder_and_is_given_back(place: Place) -> None:
    with place.lock():
        assert "alice on bastion" in (holder_of(place.control) or "")
        with pytest.raises(LockHeld, match=rf"alice on bastion \(process {os.getpid()}\), sweep, since 2.* UTC"):
            place.lock("bob")
    assert holder_of(place.control) is None
    with place.lock("bob") as lock:
        assert lock.found is None


def test_holder_that_was_killed_is_told_and_holds_nobody_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT", 600.0)  # that it is dead is seen, not waited for
    with _holding(place) as process, pytest.raises(LockHeld, match="carol on elsewhere") as held:
        place.lock()
    assert held.value.holder is not None
    assert held.value.holder.pid == process.pid
    with place.lock() as lock:
        assert lock.found is not None
        assert lock.found.who == "carol"
        assert "alice" in (holder_of(place.control) or "")


@contextmanager
def _holding(place: Place, *, mounted_at: Path | None = None) -> "Iterator[subprocess.Popen[str]]":
    """A process that holds the lock, killed at the end of the block; as another host would, with mounts of its own."""
    command = [sys.executable, "-c", _HOLDING, str(place.root)]
    if mounted_at is not None:
        mount = 'mount --bind "$1" "$2" && umount "$1" && shift 2 && exec "$@"'
        command[-1] = str(mounted_at / place.root.name)
        command = [
            "unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh",
            str(place.root.parent), str(mounted_at), *command,
        ]  # fmt: skip
    with subprocess.Popen(command, cwd=_REPO, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_stopped_holder_is_named_with_when_it_was_last_heard_of(place: Place) -> None:
    with _holding(place) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LockHeld, match="last heard of at"):
            place.lock()


def test_excludes_who_mounts_the_volume_elsewhere_and_sees_no_mount_of_ours(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "ours") as ours:
        (ours / "root").mkdir()
        (tmp_path / "theirs").mkdir()
        place = Place(ours / "root")
        with place.volume, place.control:
            with _holding(place, mounted_at=tmp_path / "theirs") as process:
                with pytest.raises(LockHeld, match=rf"carol on elsewhere \(process {process.pid}\), sweep 7"):
                    place.lock()
                assert "carol on elsewhere" in (holder_of(place.control) or "")
            assert not any((tmp_path / "theirs").iterdir())
            with place.lock() as lock:
                assert lock.found is not None
                assert lock.found.who == "carol"


def _elsewhere(renewed: float) -> bytes:
    """What a holder on another host writes."""
    return msgspec.json.encode(Holder("dave", "far", 1, "sweep", 1.0, renewed, home="another boot")) + b"\n"


def test_name_left_on_another_host_is_overwritten_after_a_while(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT", 0.02)
    place.file.write_bytes(_elsewhere(1.0))
    with place.lock() as lock:
        assert lock.found is not None
        assert lock.found.who == "dave"


def test_lock_that_does_not_exclude_its_other_holder_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that end at the host, as with 'nolock': the other one goes on writing its name."""
    monkeypatch.setattr(lock_module, "BEAT", 0.2)
    place.file.write_bytes(_elsewhere(1.0))
    ended = threading.Event()

    def go_on() -> None:
        number = 2.0
        while not ended.wait(0.01):
            place.file.write_bytes(_elsewhere(number))
            number += 1

    other = threading.Thread(target=go_on)
    other.start()
    try:
        with pytest.raises(VolumeError, match=r"do not exclude.*dave on far"):
            place.lock()
    finally:
        ended.set()
        other.join()


@pytest.mark.parametrize("option", ["nolock", "local_lock=all", "local_lock=flock"])
def test_mount_whose_locks_stay_on_this_host_is_refused(place: Place, option: str) -> None:
    place.volume.mount = msgspec.structs.replace(
        place.volume.mount, fs_type="nfs", options=frozenset({"rw", "vers=3", option})
    )
    with pytest.raises(VolumeError, match=f"this host only.*{option}"):
        place.lock()
    assert not place.file.exists()


def _replaced(file: Path) -> None:
    file.rename(file.with_name("stolen"))
    file.write_text("")


_LOSSES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unlinked": (Path.unlink, "No such file"),
    "replaced": (_replaced, "replaced"),
    "truncated": (lambda file: os.truncate(file, 0), "has been changed"),
    "written by another": (lambda file: file.write_bytes(_elsewhere(5.0)), "written by dave on far"),
    "scribbled on": (lambda file: file.write_bytes(b"\xff\x00garbage"), "has been changed"),
}


@pytest.mark.parametrize("loss", _LOSSES)
def test_lost_lock_is_noticed_and_its_new_holder_left_alone(place: Place, loss: str) -> None:
    lose, words = _LOSSES[loss]
    with place.lock() as lock:
        lock.renew()
        lose(place.file)
        after = place.file.read_bytes() if place.file.exists() else None
        with pytest.raises(LockLost, match=words):
            lock.renew()
    assert (place.file.read_bytes() if place.file.exists() else None) == after


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOLCK])
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_lock_that_can_not_be_renewed_is_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    with place.lock() as lock, monkeypatch.context() as patch:
        patch.setattr(os, call, _raising(code))
        with pytest.raises(LockLost, match="may be lost"):
            lock.renew()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["pwrite", "ftruncate", "fsync"])
def test_full_volume_takes_no_lock_away(place: Place, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
    with place.lock() as lock:
        with monkeypatch.context() as patch:
            patch.setattr(os, call, _raising(code))
            lock.renew()
            lock.renew()
        lock.renew()
    assert holder_of(place.control) is None


def _raising(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_keeper_renews_and_tells_of_the_loss_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT", 0.01)
    told: list[LockLost] = []
    known = threading.Event()

    def lost(error: LockLost) -> None:
        told.append(error)
        known.set()

    with place.lock() as lock:
        keeper = Keeper(lock, lost)
        before = place.file.read_bytes()
        while place.file.read_bytes() == before:
            time.sleep(0.001)
        assert told == []
        place.file.unlink()
        assert known.wait(60)
        keeper.close()
    assert len(told) == 1


def test_keeper_that_fails_in_another_way_tells_of_a_loss_too(
    place: Place, monkeypatch: pytest.MonkeyPatch, messages: Messages
) -> None:
    """Nothing may be removed for hours under a lock that nobody renews."""
    monkeypatch.setattr(lock_module, "BEAT", 0.01)
    messages.expect("renewing the lock failed")
    told: queue.SimpleQueue[LockLost] = queue.SimpleQueue()
    with place.lock() as lock:
        monkeypatch.setattr(lock, "renew", lambda: 1 // 0)
        keeper = Keeper(lock, told.put)
        assert "ZeroDivisionError" in str(told.get(timeout=60))
        keeper.close()


def test_lock_that_is_no_regular_file_is_refused(place: Place) -> None:
    os.mkfifo(place.file)
    with pytest.raises(VolumeError, match="lock"):
        place.lock()


@pytest.mark.parametrize("kind", ["hard link", "pipe", "link", "directory"])
def test_what_somebody_has_planted_in_its_place_is_neither_written_nor_shared(place: Place, kind: str) -> None:
    """A member of a team could make the next run write over any file of the volume."""
    precious = place.root.parent / "precious"
    precious.write_text("precious")
    before = precious.stat()
    if kind == "hard link":
        place.file.hardlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(place.file)
    elif kind == "link":
        place.file.symlink_to(precious)
    else:
        place.file.mkdir()
    with pytest.raises(VolumeError, match="the lock of") as told:
        place.lock()
    assert told.value.hint
    assert precious.read_text() == "precious"
    assert precious.stat().st_mode == before.st_mode


def test_a_holder_that_is_nested_without_end_is_one_who_left_no_name(place: Place) -> None:
    with place.lock():
        place.file.write_bytes(b'{"who":' + b"[" * 4_000)
        assert holder_of(place.control) == "someone who left no name"
        with pytest.raises(LockHeld, match="someone who left no name"):
            place.lock("bob")
