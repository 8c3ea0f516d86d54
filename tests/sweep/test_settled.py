"""A tree's way to its removal is on the disk before its first entry is gone, whatever order a volume keeps."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sweeper_gui.storage import bulk, files
from tests.support.pieces import one_by_one
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, outcome_of, results


@pytest.fixture
def filled(rig: Rig) -> Rig:
    rig.volume.live("live-0", 3)
    rig.volume.deleted("gone-0", 6)
    return rig


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Each rename, fsync and unlink, with the directory it concerns."""
    done: list[tuple[str, str]] = []

    def note_unlink(directory: int, name: bytes) -> None:
        done.append(("unlink", os.readlink(f"/proc/self/fd/{directory}")))

    def noting(name: str, function: Any) -> Any:
        def act(*arguments: Any, **keywords: Any) -> Any:
            descriptor = arguments[-1 if name == "fsync" else 3]
            done.append((name, os.readlink(f"/proc/self/fd/{descriptor}")))
            return function(*arguments, **keywords)

        return act

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(bulk, "unlink", one_by_one(bulk.unlink, note_unlink))
    monkeypatch.setattr(files, "rename_exclusively", noting("rename", files.rename_exclusively))
    return done


def _check_order(rig: Rig, acts: list[tuple[str, str]]) -> None:
    first = next(index for index, (act, where) in enumerate(acts) if act == "unlink" and "/removing/" in where)
    renamed = max([index for index, (act, _) in enumerate(acts[:first]) if act == "rename"], default=-1)
    settled = {where for act, where in acts[renamed + 1 : first] if act == "fsync"}
    root = str(rig.volume.root)
    assert root in settled
    assert {Path(where).name for where in settled} >= {"removing", "whole"}


def test_renames_are_on_the_disk_before_the_first_unlink(filled: Rig, acts: list[tuple[str, str]]) -> None:
    plan = filled.plan("gone-0")
    acts.clear()
    assert results(filled.sweep(plan)) == {"gone-0": "removed"}
    _check_order(filled, acts)


def test_a_resume_does_not_rely_on_the_run_that_died(
    filled: Rig, acts: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = filled.plan("gone-0")
    with monkeypatch.context() as patch:
        _fail_settling(patch, filled)
        filled.sweep(plan)
    acts.clear()
    assert results(filled.resume()) == {"gone-0": "removed"}
    _check_order(filled, acts)


def _fail_settling(monkeypatch: pytest.MonkeyPatch, rig: Rig, code: int = errno.EIO) -> None:
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(rig.volume.root):
            raise OSError(code, os.strerror(code))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_where_that_fails_nothing_is_unlinked(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, before = filled.plan("gone-0"), fingerprint(filled.volume.root / "gone-0")
    _fail_settling(monkeypatch, filled)
    report = filled.sweep(plan)
    assert results(report) == {"gone-0": "partly-removed"}
    assert "could not begin" in outcome_of(report, "gone-0").reason
    [tree] = filled.control_dir.glob("sweeps/*/removing/*")
    assert fingerprint(tree) == before


def test_a_file_system_without_such_a_call_is_swept_all_the_same(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = filled.plan("gone-0")
    _fail_settling(monkeypatch, filled, errno.EINVAL)
    assert results(filled.sweep(plan)) == {"gone-0": "removed"}
