"""What two hosts see of one export."""

import os

from tests.sweep.rig import Rig, results


def test_a_volume_is_listed_measured_and_swept(a: Rig):
    a.volume.live("live-1", 5)
    a.volume.deleted("gone-1", 30)
    a.volume.unexplained("lost-1", 5)
    rows = a.rows()
    assert {name: str(row.verdict.status) for name, row in rows.items()} == {
        "live-1": "live", "gone-1": "orphan", "lost-1": "orphan",
    }  # fmt: skip
    report = a.sweep(a.plan(cap=10))
    assert results(report) == {"gone-1": "removed", "lost-1": "set-aside"}, report
    assert results(a.restore("lost-1")) == {"lost-1": "restored"}
    assert a.volume.names() == {"live-1", "lost-1"}


def test_the_same_directory_has_one_inode_and_two_devices(a: Rig, b: Rig):
    here, there = os.stat(a.volume.deleted("gone-1")), os.stat(b.volume.root / "gone-1")
    assert here.st_ino == there.st_ino
    assert here.st_dev != there.st_dev
