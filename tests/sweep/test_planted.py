"""A control directory full of lies: logs, trees, links and pipes that someone who could write there has planted.

Whatever they say, nothing but the planted trees themselves is ever touched, and everyone else's sweeps still tell what
is wrong.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeper_gui.storage.lock import LockHeld
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Untrusted
from tests.support.forged import forge, records_of
from tests.support.mounts import bind
from tests.support.nobody import NOBODY
from tests.support.trees import fingerprint, make_tree
from tests.sweep.rig import Rig, results

ID = "20260101T000000.000000Z-abcdef"


class Planted:
    """A volume with a live workspace and an orphan, something precious beside it, and a forged sweep in its trash."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        rig.volume.live("live-0", 4)
        rig.volume.deleted("gone-0", 4)
        self.precious = make_tree(rig.volume.root.parent / "precious", 4)
        rig.sweep(rig.plan("gone-0", set_aside=True))  # makes the control directory, with a log to forge from
        (made,) = (rig.control_dir / "sweeps").iterdir()
        self.records = records_of(made / "log.jsonl")
        rig.restore("gone-0")
        self.sweep = rig.control_dir / "sweeps" / ID
        for path in (self.sweep, self.sweep / "whole", self.sweep / "removing"):
            path.mkdir(mode=0o700)
        self._before = self._prints()

    def _prints(self) -> list[str]:
        return [fingerprint(path) for path in (self.rig.volume.root / "live-0", self.precious)]

    def tree(self, place: str = "whole", number: int = 0) -> Path:
        return make_tree(self.sweep / place / str(number), 3)

    def log(self, records: list[dict[str, Any]], *, line: bytes | None = None) -> None:
        """The log tells these, each with its right check; `line` stands in the middle."""
        path = self.sweep / "log.jsonl"
        forge(path, records)
        if line is not None:
            lines = path.read_bytes().splitlines()
            path.write_bytes(b"\n".join([*lines[:3], line, *lines[3:], b""]))
        path.chmod(0o600)

    def forged(self, **changes: Any) -> list[dict[str, Any]]:
        """The records of a sweep that set a workspace aside, changed in its intent."""
        begun, *others = self.records
        return [begun | {"sweep_id": ID}, *(one | (changes if one["type"] == "intent" else {}) for one in others)]

    def check(self) -> None:
        assert self._prints() == self._before

    def use(self) -> None:
        """Everything that reads the trash, and everything that acts on it; what is refused is told in words."""
        names: list[str] = []
        acts: tuple[Callable[[], object], ...] = (
            lambda: names.extend(os.fsdecode(item.name) for item in self.rig.trash()),
            self.rig.history,
            self.rig.rows,
            self.rig.resume,
            lambda: self.rig.restore(*names),
            lambda: self.rig.purge(*names),
            lambda: self.rig.purge(older_than=-1e9),
        )
        for act in acts:
            with contextlib.suppress(VolumeError, Untrusted, LockHeld, OSError):  # what the engine puts into words
                act()
            self.check()


@pytest.fixture
def planted(rig: Rig) -> Planted:
    return Planted(rig)


# --- what a log may say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../precious", "/etc", "a/b", "a\0b", "live-0", ".sweeper", "x" * 300], ids=repr
)
@pytest.mark.parametrize("place", ["whole", "removing"])
def test_a_forged_name_leads_nowhere(planted: Planted, name: str, place: str) -> None:
    planted.tree(place)
    planted.log(planted.forged(name={"text": name}))
    planted.use()
    assert planted.rig.volume.names() <= {"live-0", "gone-0", ".sweeper", name}
    assert not (planted.rig.volume.root.parent / "d000").exists()


def test_a_log_that_calls_a_live_workspace_removable_is_refused_and_it_goes_back(planted: Planted) -> None:
    """Set aside behind the tool's back, with a log that says that it was an orphan."""
    live = planted.rig.volume.root / "live-0"
    before = fingerprint(live)
    inode = live.stat().st_ino
    live.rename(planted.sweep / "whole" / "0")
    planted.log(planted.forged(name={"text": "live-0"}, id="gone-0", treatment="remove", inode=inode))
    assert results(planted.rig.purge("live-0")) == {"live-0": "restored"}
    assert fingerprint(live) == before


def test_a_forged_mode_opens_nothing(planted: Planted) -> None:
    before = planted.tree().stat()
    planted.log(planted.forged(name={"text": "back"}, mode=0o4777, inode=before.st_ino))
    assert results(planted.rig.restore("back")) == {"back": "restored"}
    assert (planted.rig.volume.root / "back").stat().st_mode == before.st_mode


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"intent","x":' + b"[" * 100_000,
        b"9" * 100_000,
        b'{"type":"set-aside","at":1,"number":-1}',
        b'{"type":"set-aside","at":1e999,"number":0}',
        b'{"type":"set-aside","at":NaN,"number":0}',
        b'{"type":"set-aside","at":1e308,"number":0}',
        b'{"type":"removing","at":1,"number":0,"name":{"text":"\\ud800"},"entries":1}',
        b'{"type":"removing","at":1,"number":0,"name":{"text":"a"},"entries":1' + b"0" * 4_000 + b"}",
        b'{"type":"end","type":"intent"}',
        b"\0" * 1_000,
        b"\xff\xfe",
    ],
    ids=[
        "deep", "a number", "negative", "infinite", "no number", "far", "surrogate", "endless", "twice", "zeros",
        "bytes",
    ],
)  # fmt: skip
def test_a_line_that_no_writer_of_ours_writes_is_told_or_harmless(planted: Planted, line: bytes) -> None:
    planted.tree()
    planted.log(planted.forged(), line=line)
    planted.use()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["..", "../precious", "live-0", "gone-0", "remove", "whole", ID]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["text", "raw", "at"]), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def test_whatever_the_fields_of_a_log_hold_nothing_else_is_touched(planted: Planted) -> None:
    fields = sorted({(record["type"], key) for record in planted.records for key in record})

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(fields), _JSON, min_size=1, max_size=4))
    def used(changes: dict[tuple[str, str], Any]) -> None:
        for place in ("whole", "removing"):
            if not (planted.sweep / place / "0").exists():
                planted.tree(place)
        of = {kind: {key: value for (of, key), value in changes.items() if of == kind} for kind, _ in changes}
        planted.log([record | of.get(record["type"], {}) for record in planted.forged()])
        planted.use()

    used()


# --- what may lie there instead ---------------------------------------------------------------------------------------


def log_is_a_pipe(planted: Planted) -> None:
    os.mkfifo(planted.sweep / "log.jsonl")


def log_is_a_directory(planted: Planted) -> None:
    (planted.sweep / "log.jsonl").mkdir()


def log_is_a_device_without_end(planted: Planted) -> None:
    os.mknod(planted.sweep / "log.jsonl", 0o600 | 0o020000, os.makedev(1, 5))


def log_is_a_link(planted: Planted) -> None:
    (planted.sweep / "log.jsonl").symlink_to(planted.precious)


def log_is_endless(planted: Planted) -> None:
    with (planted.sweep / "log.jsonl").open("wb") as file:
        file.truncate(1 << 40)


def tree_is_a_link(planted: Planted) -> None:
    (planted.sweep / "whole" / "0").rename(planted.sweep / "whole" / "gone")
    (planted.sweep / "whole" / "0").symlink_to(planted.precious)


def half_removed_tree_is_a_link(planted: Planted) -> None:
    (planted.sweep / "removing" / "0").symlink_to(planted.rig.volume.root / "live-0")


def trees_are_elsewhere(planted: Planted) -> None:
    (planted.sweep / "whole").rename(planted.sweep / "gone")
    (planted.sweep / "whole").symlink_to(planted.precious)


def removed_ones_are_the_workspaces(planted: Planted) -> None:
    (planted.sweep / "removing").rmdir()
    (planted.sweep / "removing").symlink_to(planted.rig.volume.root)


def sweep_is_another_users(planted: Planted) -> None:
    os.chown(planted.sweep, NOBODY, NOBODY)


def sweep_is_a_link(planted: Planted) -> None:
    planted.sweep.rename(planted.sweep.with_name("moved"))
    planted.sweep.symlink_to("moved")


def binding_is_a_pipe(planted: Planted) -> None:
    (planted.rig.control_dir / "binding.json").unlink()
    os.mkfifo(planted.rig.control_dir / "binding.json")


def binding_is_deep(planted: Planted) -> None:
    (planted.rig.control_dir / "binding.json").write_bytes(b'{"x":' + b"[" * 60_000)


def lock_is_a_pipe(planted: Planted) -> None:
    (planted.rig.control_dir / "lock").unlink()
    os.mkfifo(planted.rig.control_dir / "lock")


def lock_is_a_directory(planted: Planted) -> None:
    (planted.rig.control_dir / "lock").unlink()
    (planted.rig.control_dir / "lock").mkdir()


@pytest.mark.parametrize(
    "plant",
    [
        log_is_a_pipe, log_is_a_directory, log_is_a_device_without_end, log_is_a_link, log_is_endless, tree_is_a_link,
        half_removed_tree_is_a_link, trees_are_elsewhere, removed_ones_are_the_workspaces, sweep_is_another_users,
        sweep_is_a_link, binding_is_a_pipe, binding_is_deep, lock_is_a_pipe, lock_is_a_directory,
    ],
    ids=lambda plant: plant.__name__,
)  # fmt: skip
def test_whatever_lies_in_the_place_of_ours_leads_nowhere(planted: Planted, plant: Callable[[Planted], None]) -> None:
    planted.tree()
    if "log_is" not in plant.__name__:
        planted.log(planted.forged())
    plant(planted)
    began = time.monotonic()
    planted.use()
    assert time.monotonic() - began < 100
    assert planted.rig.volume.names() <= {"live-0", "gone-0"}


@pytest.mark.parametrize("kind", ["deep", "a pipe", "a link", "a directory", "somebody's"])
def test_a_claim_that_anyone_could_have_put_into_the_root_stops_in_words(planted: Planted, kind: str) -> None:
    claim = planted.rig.volume.root / ".sweeper-claim"
    claim.unlink()
    if kind == "a pipe":
        os.mkfifo(claim)
    elif kind == "a link":
        claim.symlink_to(planted.precious)
    elif kind == "a directory":
        claim.mkdir()
    else:
        claim.write_bytes(b"[" * 16_000 if kind == "deep" else b'{"id":"x","path":"\\u001b","by":"b","at":1}')
    with pytest.raises(VolumeError) as told:
        planted.rig.resume()
    assert told.value.hint
    assert str(told.value).isprintable()
    planted.check()


def test_a_mount_in_the_place_of_a_tree_is_not_entered(planted: Planted) -> None:
    planted.log(planted.forged())
    with bind(planted.precious, planted.sweep / "removing" / "0"):
        planted.use()
