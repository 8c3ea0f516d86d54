"""Unsaved work from the disk to the trash: what the listing says of it, and what a sweep, a purge and a word do."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.storage.repositories.rig import Repo, clone, make_upstream
from tests.support.volume import FakeVolume


@pytest.fixture
def repos(volume: FakeVolume, tmp_path: Path) -> dict[str, Repo]:
    """Three orphans with a clone each: nothing new, a file that was not committed, and one that can't be read."""
    upstream = make_upstream(tmp_path / "upstream.git")
    volume.live("alive")
    repos = {}
    for name in ("clean", "dirty", "damaged"):
        shutil.rmtree(volume.deleted(name))
        repos[name] = clone(f"file://{upstream.path}", volume.root / name / "web", "--depth=1")
    repos["dirty"].write("README.md", "# What nobody else has\n")
    repos["damaged"].write(".git/index", b"DIRC")
    return repos


def test_unsaved_work_is_listed_with_its_reason(repos: dict[str, Repo], sweeper: CommandLine) -> None:
    ran = sweeper("list", "--json")
    assert ran.code == 0, ran
    found = {workspace["name"]: workspace for workspace in ran.json["workspaces"]}
    assert {name: (found[name]["status"], found[name]["doubts"]) for name in repos} == {
        "clean": ("orphan", []),
        "dirty": ("orphan", ["unsaved-work"]),
        "damaged": ("orphan", ["unsaved-work"]),
    }
    assert "unsaved work: web main: 1 uncommitted file; " in found["dirty"]["reason"]
    assert "unsaved work: web main: its index is damaged; " in found["damaged"]["reason"]
    assert "unsaved" not in found["clean"]["reason"]


def test_unsaved_work_is_only_ever_set_aside(repos: dict[str, Repo], sweeper: CommandLine, volume: FakeVolume) -> None:
    ran = sweeper("sweep", "--yes", "--json")
    assert ran.outcomes() == {"clean": "removed", "dirty": "set-aside", "damaged": "set-aside"}, ran
    assert volume.names() == {"alive"}
    ran = sweeper("purge", "--older-than", "0s", "--yes", "--json")
    assert ran.outcomes() == {"dirty": "skipped", "damaged": "skipped"}, ran
    ran = sweeper("restore", "dirty", "--json")
    assert ran.outcomes() == {"dirty": "restored"}, ran
    assert (repos["dirty"].path / "README.md").read_text() == "# What nobody else has\n"
    ran = sweeper("sweep", "dirty", "--remove-doubtful", "--yes", "--json")
    assert ran.outcomes() == {"dirty": "removed"}, ran
    ran = sweeper("purge", "damaged", "--yes", "--json")
    assert ran.outcomes() == {"damaged": "removed"}, ran


def test_the_policy_and_the_time_are_settings(repos: dict[str, Repo], sweeper: CommandLine, volume: FakeVolume) -> None:
    sweeper.configure(volume.settings(min_age="0s", unsaved_work_budget="0s"))
    found = {workspace["name"]: workspace for workspace in sweeper("list", "--json").json["workspaces"]}
    assert "web: could not be read in 0 s" in found["clean"]["reason"]
    sweeper.configure(volume.settings(min_age="0s", unsaved_work="remove"))
    ran = sweeper("sweep", "--yes", "--json")
    assert set(ran.outcomes().values()) == {"removed"}, ran
