"""`sweeper plan` and `sweeper sweep --plan`: one person proposes, another one approves, each in their own process."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, CommandLine, Ran, without_width
from tests.support.nobody import NOBODY_READING_ALL, nobodys_directory
from tests.support.slowfs import Fault, slow_volume
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture
def mixed(volume: FakeVolume) -> FakeVolume:
    volume.live("alive")
    volume.deleted("dead")
    volume.unexplained("odd")
    return volume


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of nobody's."""
    with nobodys_directory() as directory:
        yield directory


def as_nobody(sweeper: CommandLine, home: Path, *arguments: str) -> Ran:
    """The command, run by another login than the test's."""
    ended = subprocess.run(
        [*NOBODY_READING_ALL, *COMMAND, "--config", str(sweeper.config), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**without_width(os.environ), "SWEEPER_STATE_DIR": str(home / "state"), "HOME": str(home)},
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def test_one_proposes_and_another_approves(mixed: FakeVolume, sweeper: CommandLine, home: Path) -> None:
    sweeper.configure(mixed.settings(min_age="0s") + "[sweep]\ntwo_persons = true\nticket_required = true\n")
    out = home / "p.json"
    before = fingerprint(mixed.root.parent)
    proposed = as_nobody(sweeper, home, "plan", "--max", "5", "--ticket", "OPS-7", "--out", str(out))
    assert proposed.code == 0, proposed
    assert fingerprint(mixed.root.parent) == before
    assert "dead" in proposed.out
    assert stat.S_IMODE(out.stat().st_mode) & 0o133 == 0
    assert sweeper("sweep", "--yes", "--ticket", "OPS-7").code == 2
    shown = sweeper("sweep", "--plan", str(out), "--dry-run")
    assert shown.code == 0, shown
    assert "Proposed by nobody@" in shown.out
    assert "ticket OPS-7" in shown.out
    assert sweeper("sweep", "--plan", str(out)).code == 2  # nobody there to be asked
    assert fingerprint(mixed.root.parent) == before
    assert sweeper("sweep", "--plan", str(out), "--yes", "--ticket", "OPS-8").code == 2
    approved = sweeper("sweep", "--plan", str(out), "--yes", "--json")
    assert approved.code == 0, approved
    assert approved.outcomes() == {"dead": "removed", "odd": "set-aside"}
    (past,) = sweeper("history", "--json").json["sweeps"]
    assert (past["proposed"]["who"]["login"], past["who"]["login"]) == ("nobody", "root")
    assert past["ticket"] == past["proposed"]["ticket"] == "OPS-7"
    assert "proposed by nobody@" in sweeper("history").out


def test_who_proposes_does_not_approve_where_two_are_wanted(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    sweeper.configure(mixed.settings(min_age="0s") + "[sweep]\ntwo_persons = true\n")
    assert sweeper("plan", "--out", str(tmp_path / "p.json")).code == 0
    ran = sweeper("sweep", "--plan", str(tmp_path / "p.json"), "--yes")
    assert ran.code == 2
    assert "may not sweep it (two_persons)" in ran.err
    assert mixed.names() == {"alive", "dead", "odd"}


def test_a_plan_goes_to_the_standard_output_and_nothing_else_does(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    ran = sweeper("plan", "odd", "--remove-doubtful", "--out", "-")
    assert ran.code == 0
    assert ran.json["candidates"][0]["name"] == "odd"
    out = tmp_path / "p.json"
    out.write_text(ran.out, encoding="utf-8")
    out.chmod(0o600)
    assert sweeper("sweep", "--plan", str(out), "--set-aside", "--yes", "--json").outcomes() == {"odd": "set-aside"}


def test_a_plan_is_never_written_over_another_one_but_by_force(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    out.write_text("mine", encoding="utf-8")
    ran = sweeper("plan", "--out", str(out))
    assert ran.code == 2
    assert "exists already" in ran.err
    assert out.read_text(encoding="utf-8") == "mine"
    assert sweeper("plan", "--out", str(out), "--force").code == 0
    assert out.read_text(encoding="utf-8") != "mine"


def test_without_anything_to_propose_no_file_is_written(
    volume: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    volume.live("alive")
    ran = sweeper("plan", "--out", str(tmp_path / "p.json"))
    assert ran.code == 0
    assert "no plan was written" in ran.err
    volume.database.unlink()
    assert sweeper("plan", "--out", str(tmp_path / "p.json")).code == 3
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    "option",
    [("alive",), ("--max", "1"), ("--max-bytes", "1GB"), ("--order", "largest"), ("--remove-doubtful",)],
)
def test_what_the_plan_says_can_not_be_said_again(
    mixed: FakeVolume, sweeper: CommandLine, option: tuple[str, ...]
) -> None:
    ran = sweeper("sweep", "--plan", "p.json", "--yes", *option)
    assert ran.code == 2
    assert mixed.names() == {"alive", "dead", "odd"}


def test_a_changed_workspace_is_skipped_and_the_others_are_swept(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    mixed.deleted("later")
    assert sweeper("plan", "--out", str(out)).code == 0
    (mixed.root / "dead" / "repo" / "new").write_text("somebody works here", encoding="utf-8")
    ran = sweeper("sweep", "--plan", str(out), "--yes", "--json")
    assert ran.code == 0
    assert ran.outcomes() == {"dead": "skipped", "later": "removed", "odd": "set-aside"}
    assert "changed since it was proposed" in next(o["reason"] for o in ran.json["outcomes"] if o["name"] == "dead")
    (past,) = sweeper("history", "--json").json["sweeps"]
    assert {one["name"]: one["outcome"] for one in past["outcomes"]} == ran.outcomes()  # the log tells the refusal too


def test_a_damaged_plan_sweeps_nothing(mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    assert sweeper("plan", "--out", str(out)).code == 0
    out.write_bytes(out.read_bytes().replace(b'"odd"', b'"alive"'))
    before = fingerprint(mixed.root.parent)
    ran = sweeper("sweep", "--plan", str(out), "--yes")
    assert ran.code == 2
    assert "something in it has been changed" in ran.err
    assert sweeper("sweep", "--plan", str(tmp_path / "none"), "--yes").code == 2
    assert fingerprint(mixed.root.parent) == before


def test_a_plan_for_another_volume_is_not_to_be_trusted(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    assert sweeper("plan", "--out", str(out)).code == 0
    other = FakeVolume(tmp_path / "other")
    other.live("alive")
    other.deleted("dead")
    before = fingerprint(other.root.parent)
    sweeper.configure(other.settings(min_age="0s"))
    ran = sweeper("sweep", "--plan", str(out), "--yes")
    assert ran.code == 3
    assert "the plan is for" in ran.err
    assert fingerprint(other.root.parent) == before


def test_names_that_a_terminal_would_obey_are_proposed_and_swept(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    pattern = "[volume]\nid_pattern = '(?P<id>(?s:.+))'"
    sweeper.configure(mixed.settings(min_age="0s").replace("[volume]", pattern))
    name = "café\x1b[2J\n"
    (mixed.root / name / "x").mkdir(parents=True)
    out = tmp_path / "p.json"
    ran = sweeper("plan", name, "--out", str(out))
    assert ran.code == 0, ran
    swept = sweeper("sweep", "--plan", str(out), "--yes")
    assert swept.code == 0, swept
    assert not (mixed.root / name).exists()
    for shown in (ran, swept, sweeper("history", name)):
        assert "\x1b" not in shown.out + shown.err
        assert "café\\x1b[2J\\x0a" in shown.out + shown.err


def test_a_sweep_of_a_plan_that_was_killed_is_resumed(sweeper: CommandLine, tmp_path: Path, wait_for: WaitFor) -> None:
    data = FakeVolume(tmp_path / "data")
    data.live("alive", 5)
    data.deleted("dead", 60)
    before = fingerprint(data.root / "alive")
    sweeper.configure(data.settings(min_age="0s").replace(str(data.root), str(tmp_path / "mount" / data.root.name)))
    out = tmp_path / "p.json"
    with slow_volume(tmp_path / "data", tmp_path / "mount", Fault("unlink", "*", hang=True, nth=20)) as mounted:
        assert sweeper("plan", "--ticket", "OPS-9", "--out", str(out)).code == 0
        running = sweeper.start("sweep", "--plan", str(out), "--yes")
        wait_for(lambda: mounted.hanging() > 0)
        sweeper.engine_of(running).kill()
        running.kill()
        mounted.set_plan()
        sweeper.end(running)
        assert "dead" not in data.names()
        assert sweeper("sweep", "--plan", str(out), "--yes", "--json").outcomes() == {"dead": "skipped"}
        assert sweeper("resume", "--yes", "--json").outcomes() == {"dead": "removed"}
        resumed, died = sweeper("history", "--json").json["sweeps"]
    assert (died["ticket"], died["proposed"]["ticket"], died["ending"]) == ("OPS-9", "OPS-9", None)
    assert died["outcomes"][0]["outcome"] is None
    assert died["outcomes"][0]["evidence"]["removal_at"] is not None
    assert resumed["outcomes"][0]["evidence"]["set_aside_by"] == died["sweep_id"]
    assert fingerprint(data.root / "alive") == before
