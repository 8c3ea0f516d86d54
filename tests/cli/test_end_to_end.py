"""The contract of the command line, proved by running it on real volumes."""

import base64
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine
from tests.support.slowfs import Fault, slow_volume
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume

WaitFor = Callable[[Callable[[], bool]], None]


@pytest.fixture
def mixed(volume: FakeVolume) -> FakeVolume:
    """One of each kind that matters: live, deleted, unexplained, foreign."""
    volume.live("alive")
    volume.deleted("dead")
    volume.unexplained("odd")
    (volume.root / ".hidden").mkdir()
    return volume


# --- list -----------------------------------------------------------------------------------------------------------


def test_list_tells_the_contract_and_writes_nothing(mixed: FakeVolume, sweeper: CommandLine) -> None:
    before = fingerprint(mixed.root.parent)
    ran = sweeper("list", "--json")
    assert ran.code == 0, ran
    document = ran.json
    assert list(document) == ["schema", "volume", "registry", "workspaces"]
    found = {workspace["name"]: workspace for workspace in document["workspaces"]}
    assert {name: one["status"] for name, one in found.items()} == {
        ".hidden": "foreign",
        "alive": "live",
        "dead": "orphan",
        "odd": "orphan",
    }
    assert list(found["dead"]) == [
        "id", "name", "path", "status", "reason", "doubts", "size_bytes", "apparent_bytes", "entries", "complete",
        "newest_change", "owner", "title",
    ]  # fmt: skip
    assert found["dead"]["doubts"] == []
    assert found["odd"]["doubts"] == ["unexplained"]
    assert found["dead"]["path"] == str(mixed.root / "dead")
    assert found["dead"]["entries"] == 4
    assert found["dead"]["owner"] == "octocat"
    assert time.strptime(found["dead"]["newest_change"], "%Y-%m-%dT%H:%M:%SZ")
    assert document["registry"]["matched_live"] == 1
    assert document["registry"]["matched_deleted"] == 1
    assert fingerprint(mixed.root.parent) == before


def test_list_for_people_names_everything_on_one_line_each_where_there_is_no_terminal(
    mixed: FakeVolume, sweeper: CommandLine
) -> None:
    ran = sweeper("list")
    assert ran.code == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    dead = next(line for line in lines if " dead " in line)
    assert dead.startswith("orphan")
    assert "session deleted" in dead
    assert "\x1b" not in ran.out
    assert "1 of 3 directories has a live session, 1 a deleted one, 1 none" in ran.out


@pytest.mark.parametrize("width", [80, 160])
def test_list_fits_the_width_that_it_is_given(mixed: FakeVolume, sweeper: CommandLine, width: int) -> None:
    mixed.deleted("6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3")
    ran = sweeper("list", environ={"COLUMNS": str(width)})
    table = ran.out[ran.out.index("STATUS") :]
    assert max(map(len, table.splitlines())) <= width
    assert "6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3" in table


def test_list_without_sizes_measures_nothing(mixed: FakeVolume, sweeper: CommandLine) -> None:
    ran = sweeper("list", "--no-size", "--json")
    assert ran.code == 0
    found = {workspace["name"]: workspace for workspace in ran.json["workspaces"]}
    assert found["dead"]["size_bytes"] is None
    assert found["dead"]["status"] == "unmeasured"
    assert found["alive"]["status"] == "live"


def test_a_listing_with_a_broken_registry_is_a_listing(mixed: FakeVolume, sweeper: CommandLine) -> None:
    mixed.database.unlink()
    ran = sweeper("list", "--json")
    assert ran.code == 0
    assert {workspace["status"] for workspace in ran.json["workspaces"]} == {"foreign", "unknown"}
    assert not ran.json["registry"]["trusted"]
    assert "does not exist" in ran.json["registry"]["problems"][0]
    assert "does not exist" in sweeper("list").err


def test_compare_judges_the_list_of_another_tool(mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path) -> None:
    listed = tmp_path / "to-delete"
    listed.write_text(f"{mixed.root}/dead\nalive\nodd\ngone\n", encoding="utf-8")
    ran = sweeper("list", "--compare", str(listed), "--json")
    assert ran.code == 0
    assert [(one["name"], one["verdict"]) for one in ran.json["compare"]] == [
        ("dead", "remove"),
        ("alive", "keep"),
        ("odd", "set-aside"),
        ("gone", "keep"),
    ]
    assert ran.json["compare"][1]["reason"] == "session is live, owner octocat"
    shown = sweeper("list", "--compare", str(listed))
    assert "Of 4 names Sweeper would keep 2, set aside 1 and remove 1." in shown.out
    listed.write_text("dead\n", encoding="utf-8")
    assert "Of 1 name Sweeper would keep 0, " in sweeper("list", "--compare", str(listed)).out


def test_names_that_are_not_utf8_are_listed_and_refused_by_name(mixed: FakeVolume, sweeper: CommandLine) -> None:
    name = b"caf\xe9\x1b[2J"
    os.mkdir(os.fsencode(mixed.root) + b"/" + name)
    (workspace,) = [one for one in sweeper("list", "--json").json["workspaces"] if "name_bytes" in one]
    assert base64.b64decode(workspace["name_bytes"]) == name
    assert workspace["status"] == "foreign"
    ran = sweeper("sweep", name, "--yes", "--json")
    assert ran.code == 0
    assert base64.b64decode(ran.json["outcomes"][0]["name_bytes"]) == name
    assert ran.json["outcomes"][0]["outcome"] == "skipped"
    assert "\x1b" not in sweeper("list").out


def test_a_reader_that_goes_away_is_no_error(mixed: FakeVolume, sweeper: CommandLine) -> None:
    process = sweeper.start("list", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    ran = process.communicate(timeout=60)
    assert process.returncode == 0
    assert ran[1] == b""


# --- sweep ----------------------------------------------------------------------------------------------------------


def test_the_next_orphans_are_swept_up_to_the_cap(volume: FakeVolume, sweeper: CommandLine) -> None:
    volume.live("alive")
    for number in range(5):
        volume.deleted(f"dead{number}")
    before = fingerprint(volume.root / "alive")
    ran = sweeper("sweep", "--max", "2", "--yes", "--json")
    assert ran.code == 0, ran
    assert ran.outcomes() == {"dead0": "removed", "dead1": "removed"}
    assert ran.json["remaining_orphans"] == 3
    assert ran.json["bytes_freed"] > 0
    assert ran.json["outcomes"][0]["entries_removed"] == 4
    assert volume.names() == {"alive", "dead2", "dead3", "dead4"}
    assert fingerprint(volume.root / "alive") == before


def test_the_cap_is_ten_unless_set_and_bytes_bound_it_too(volume: FakeVolume, sweeper: CommandLine) -> None:
    volume.live("alive")
    for number in range(12):
        volume.deleted(f"dead{number:02}")
    size = next(one["size_bytes"] for one in sweeper("list", "--json").json["workspaces"] if one["name"] == "dead00")
    assert len(sweeper("sweep", "--max-bytes", str(2 * size), "--yes", "--json").outcomes()) == 2
    assert len(sweeper("sweep", "--yes", "--json").outcomes()) == 10


def test_named_ones_are_swept_and_what_is_no_orphan_is_skipped(mixed: FakeVolume, sweeper: CommandLine) -> None:
    ran = sweeper("sweep", "alive", str(mixed.root / "dead"), "gone", "--yes", "--json")
    assert ran.code == 0
    assert ran.outcomes() == {"alive": "skipped", "dead": "removed", "gone": "skipped"}
    reasons = {outcome["name"]: outcome["reason"] for outcome in ran.json["outcomes"]}
    assert reasons["alive"] == "live: session is live, owner octocat"
    assert mixed.names() == {"alive", "odd", ".hidden"}


def test_only_skipped_names_are_a_report_too(mixed: FakeVolume, sweeper: CommandLine) -> None:
    ran = sweeper("sweep", "alive", "--yes", "--json")
    assert ran.code == 0
    assert ran.outcomes() == {"alive": "skipped"}


def test_a_dry_run_changes_nothing_and_needs_no_consent(mixed: FakeVolume, sweeper: CommandLine) -> None:
    before = fingerprint(mixed.root.parent)
    ran = sweeper("sweep", "--dry-run", "--json")
    assert ran.code == 0
    assert ran.json["dry_run"] is True
    assert set(ran.outcomes()) == {"dead", "odd"}
    assert ran.json["bytes_freed"] == 0
    assert "would be removed" in sweeper("sweep", "--dry-run").out
    assert fingerprint(mixed.root.parent) == before


def test_without_consent_and_terminal_nothing_is_even_opened(mixed: FakeVolume, sweeper: CommandLine) -> None:
    before = fingerprint(mixed.root.parent)
    for command in (("sweep",), ("sweep", "dead"), ("purge",), ("resume",)):
        ran = sweeper(*command)
        assert ran.code == 2
        assert "--yes" in ran.err
        assert ran.out == ""
    assert fingerprint(mixed.root.parent) == before


def test_a_doubtful_one_is_set_aside_unless_its_name_says_remove(mixed: FakeVolume, sweeper: CommandLine) -> None:
    assert sweeper("sweep", "odd", "--yes", "--json").outcomes() == {"odd": "set-aside"}
    assert sweeper("restore", "odd", "--json").outcomes() == {"odd": "restored"}
    assert sweeper("sweep", "odd", "--remove-doubtful", "--yes", "--json").outcomes() == {"odd": "removed"}
    assert sweeper("sweep", "dead", "--set-aside", "--yes", "--json").outcomes() == {"dead": "set-aside"}


def test_what_is_set_aside_is_shown_restored_and_purged(mixed: FakeVolume, sweeper: CommandLine) -> None:
    before = fingerprint(mixed.root / "dead")
    assert sweeper("sweep", "--set-aside", "--yes").code == 0
    assert mixed.names() == {"alive", ".hidden"}
    items = sweeper("trash", "--json").json["items"]
    assert {item["name"]: item["state"] for item in items} == {"dead": "whole", "odd": "whole"}
    assert sweeper("restore", "dead").code == 0
    assert fingerprint(mixed.root / "dead") == before
    assert "odd" in sweeper("trash").out
    assert sweeper("purge", "--older-than", "1h", "--yes", "--json").json["outcomes"] == []
    assert sweeper("purge", "--yes", "--json").outcomes() == {"odd": "removed"}
    assert "Nothing is set aside" in sweeper("trash").out
    history = sweeper("history", "--json").json["sweeps"]
    assert [sweep["kind"] for sweep in history][-2:] == ["restore", "sweep"]
    assert sweeper("history").out.count("\n") == len(history) + 1


def test_history_tells_an_auditor_everything(mixed: FakeVolume, sweeper: CommandLine) -> None:
    assert sweeper("sweep", "dead", "odd", "--yes", "--ticket", "OPS-123").code == 0
    assert sweeper("purge", "odd", "--yes", "--ticket", "OPS-124").code == 0
    purge, sweep = sweeper("history", "--json").json["sweeps"]
    assert list(sweep) == [
        "sweep_id", "kind", "started_at", "ended_at", "ending", "who", "ticket", "proposed", "root", "registry",
        "options", "clock_skew", "version", "problem", "notes", "outcomes",
    ]  # fmt: skip
    assert (sweep["ticket"], purge["ticket"], sweep["proposed"]) == ("OPS-123", "OPS-124", None)
    assert sweep["who"]["login"] == pwd.getpwuid(os.getuid()).pw_name
    odd = next(outcome for outcome in sweep["outcomes"] if outcome["name"] == "odd")
    assert (odd["outcome"], odd["evidence"]["doubts"], odd["evidence"]["treatment"]) == (
        "set-aside", ["unexplained"], "set-aside",
    )  # fmt: skip
    assert odd["evidence"]["registry_read_at"] <= odd["evidence"]["confirmed_read_at"]
    assert purge["outcomes"][0]["evidence"]["set_aside_by"] == sweep["sweep_id"]
    assert sweeper("history", "--json", "--ticket", "OPS-124").json["sweeps"] == [purge]
    assert sweeper("history", "--json", "--sweep", sweep["sweep_id"]).json["sweeps"] == [sweep]
    assert sweeper("history", "--json", "--since", "2100-01-01").json["sweeps"] == []
    assert sweeper("history", "--json", "--since", "1h").json["sweeps"] == [purge, sweep]
    assert sweeper("history", "--since", "lately").code == 2
    shown = sweeper("history", f"{mixed.root}/odd").out
    assert "doubts: unexplained" in shown
    assert " dead " not in shown
    assert f"set aside by sweep {sweep['sweep_id']}" in shown
    assert "ticket OPS-123" in sweeper("history").out


def test_history_of_a_volume_whose_control_directory_is_gone_says_so(mixed: FakeVolume, sweeper: CommandLine) -> None:
    assert sweeper("sweep", "dead", "--yes").code == 0
    shutil.rmtree(mixed.root.with_name(f".sweeper-{mixed.root.name}"))
    ran = sweeper("history", "--json")
    assert (ran.code, ran.json["sweeps"]) == (0, [])
    assert "belongs to the control directory" in ran.err
    assert "remove .sweeper-claim" in ran.err


@pytest.mark.parametrize("command", [("sweep",), ("restore", "odd"), ("purge", "odd"), ("resume",)])
def test_nothing_is_changed_without_the_ticket_that_the_settings_want(
    mixed: FakeVolume, sweeper: CommandLine, command: tuple[str, ...]
) -> None:
    sweeper.configure(mixed.settings(min_age="0s") + '[sweep]\nticket_required = true\nticket_pattern = "OPS-[0-9]+"\n')
    yes = () if command[0] == "restore" else ("--yes",)
    before = fingerprint(mixed.root.parent)
    for given in ((), ("--ticket", "ops-1"), ("--ticket", "OPS-1\nOPS-2")):
        ran = sweeper(*command, *yes, *given)
        assert ran.code == 2, ran
        assert "ticket" in ran.err
    assert fingerprint(mixed.root.parent) == before
    assert sweeper(*command, *yes, "--ticket", "OPS-1").code == 0


def test_a_syslog_daemon_is_told_and_one_that_is_missing_is_a_warning(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    place = tmp_path / "log"
    sweeper.configure(mixed.settings(min_age="0s") + f'[sweep]\nsyslog = "{place}"\n')
    syslog = {check["title"]: check["state"] for check in sweeper("doctor", "--json").json["checks"]}["syslog"]
    assert syslog == "warning"
    ran = sweeper("sweep", "odd", "--yes", "--json")
    assert ran.code == 0
    assert f"could not be forwarded to {place}" in ran.json["notes"][0]
    assert ran.json["notes"][0] in ran.err
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as daemon:
        daemon.bind(str(place))
        daemon.settimeout(30)
        ran = sweeper("sweep", "dead", "--yes", "--json", "--ticket", "OPS-1")
        assert (ran.code, ran.json["notes"]) == (0, [])
        told = daemon.recv(65_536).decode()
        assert f"sweep={ran.json['sweep_id']} kind=sweep" in told
        assert "ticket=OPS-1 event=begun" in told


def test_an_empty_registry_is_allowed_by_name_and_sets_aside(volume: FakeVolume, sweeper: CommandLine) -> None:
    volume.unexplained("odd")
    assert sweeper("sweep", "odd", "--yes").code == 3
    ran = sweeper("sweep", "--allow-empty-registry", "odd", "--yes", "--json")
    assert ran.code == 0, ran
    assert ran.outcomes() == {"odd": "set-aside"}


# --- exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("lists",),
        ("list", "--nonsense"),
        ("list", "--compare", "/nowhere"),
        ("sweep", "--max", "0", "--yes"),
        ("sweep", "--max-bytes", "much", "--yes"),
        ("sweep", "--order", "random", "--yes"),
        ("sweep", "--remove-doubtful", "--yes"),
        ("sweep", "--allow-empty-registry", "--yes"),
        ("sweep", "dead", "--remove-doubtful", "--set-aside", "--yes"),
        ("sweep", "/etc", "--yes"),
        ("sweep", "--defer", "soon", "--yes"),
        ("restore",),
        ("purge", "dead", "--older-than", "7d", "--yes"),
        ("list", "--root", "/"),
        ("list", "--min-age", "old"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(
    mixed: FakeVolume, sweeper: CommandLine, arguments: tuple[str, ...]
) -> None:
    before = fingerprint(mixed.root.parent)
    ran = sweeper(*arguments)
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.strip()
    assert "Traceback" not in ran.err
    assert fingerprint(mixed.root.parent) == before


def test_a_bad_configuration_is_2_and_names_key_and_line(mixed: FakeVolume, sweeper: CommandLine) -> None:
    sweeper.configure(mixed.settings(min_age="soon"))
    ran = sweeper("list")
    assert ran.code == 2
    assert "policy.min_age" in ran.err
    assert f"{sweeper.config}:" in ran.err


@pytest.mark.parametrize("names", [(), ("dead",)])
def test_a_broken_registry_stops_a_sweep_with_3(
    mixed: FakeVolume, sweeper: CommandLine, names: tuple[str, ...]
) -> None:
    mixed.database.unlink()
    before = fingerprint(mixed.root.parent)
    ran = sweeper("sweep", *names, "--yes", "--json")
    assert ran.code == 3, ran
    assert ran.json["ending"] == "stopped"
    assert "does not exist" in ran.json["problem"]
    assert "does not exist" in ran.err
    assert fingerprint(mixed.root.parent) == before


def test_an_empty_root_is_asked_about_as_an_unmounted_volume_would_look_so(
    volume: FakeVolume, sweeper: CommandLine
) -> None:
    ran = sweeper("list")
    assert ran.code == 0
    assert f"nothing lies in {volume.root}: is the volume mounted?" in ran.err


def test_an_empty_registry_stops_a_sweep_with_3(volume: FakeVolume, sweeper: CommandLine) -> None:
    volume.unexplained("odd")
    ran = sweeper("sweep", "--yes")
    assert ran.code == 3
    assert "empty" in ran.err
    assert volume.names() == {"odd"}


def test_a_volume_that_is_not_there_is_3(mixed: FakeVolume, sweeper: CommandLine) -> None:
    ran = sweeper("sweep", "--root", str(mixed.root / "nowhere"), "--yes")
    assert ran.code == 3
    assert "nowhere" in ran.err


def test_a_workspace_that_fails_is_1_and_the_others_are_swept(
    mixed: FakeVolume, sweeper: CommandLine, volume: FakeVolume
) -> None:
    volume.deleted("other")
    assert sweeper("sweep", "dead", "--set-aside", "--yes").code == 0
    mixed.workspace("dead")
    ran = sweeper("restore", "dead", "--json")
    assert ran.code == 1, ran
    assert ran.outcomes() == {"dead": "conflict"}
    assert sweeper("sweep", "other", "--yes").code == 0


def test_a_held_lock_is_4(slow: "SlowSweep", wait_for: WaitFor) -> None:
    slow.volume.deleted("other")
    running = slow.start("dead0", "dead1", "dead2")
    wait_for(slow.removing)
    engine = slow.sweeper.engine_of(running)
    engine.suspend()  # it keeps the lock for as long as the other one takes
    ran = slow.sweeper("sweep", "other", "--yes")
    assert ran.code == 4, ran
    assert f"a SIGTERM to process {engine.pid}" in ran.err
    engine.resume()
    running.send_signal(signal.SIGTERM)
    assert slow.sweeper.end(running).code == 130


def test_a_killed_sweep_that_is_stuck_in_the_volume_keeps_the_lock_until_that_answers(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    hang = Fault("unlink", "*/removing/*", hang=True)
    with slow_volume(tmp_path / "backing", tmp_path / "mount", hang) as slow:
        volume = FakeVolume(slow.path, tmp_path / "collab.sqlite3")
        volume.live("alive")
        volume.deleted("dead", 20)
        volume.deleted("other")
        with contextlib.closing(CommandLine(volume, tmp_path)) as sweeper:
            stuck = sweeper.start("sweep", "dead", "--yes")
            wait_for(lambda: slow.hanging() > 0)
            engine = sweeper.engine_of(stuck)
            engine.kill()
            stuck.kill()
            for command in (("sweep", "other", "--yes"), ("resume", "--yes")):
                ran = sweeper(*command)
                assert ran.code == 4, ran
                assert f"process {engine.pid}" in ran.err
                assert "last heard of" in ran.err
            assert volume.names() == {"alive", "other"}
            slow.set_plan()
            engine.wait(60)
            ran = sweeper("resume", "--yes", "--json")
            assert (ran.code, ran.outcomes()) == (0, {"dead": "removed"})
            assert sweeper("sweep", "other", "--yes").code == 0
        assert volume.names() == {"alive"}


# --- cancelling -----------------------------------------------------------------------------------------------------


class SlowSweep:
    """A sweep of three large orphans on a volume that is allowed few operations a second."""

    ENTRIES = 600

    def __init__(self, volume: FakeVolume, sweeper: CommandLine) -> None:
        self.volume = volume
        self.sweeper = sweeper
        volume.live("alive")
        for number in range(3):
            volume.deleted(f"dead{number}", self.ENTRIES)
        limits = "[sweep]\nmax_ops_per_second = 900\nmax_in_flight = 2\n"
        sweeper.configure(volume.settings(min_age="0s") + limits)
        self.control = volume.root.parent / ".sweeper-workspaces"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self.sweeper.start("sweep", "--yes", "--json", *arguments, group=True)

    def removing(self) -> bool:
        """Whether a removal has begun, and has unlinked something."""
        return any(
            1 < sum(1 for _ in tree.rglob("*")) < self.ENTRIES for tree in self.control.glob("sweeps/*/removing/*")
        )


@pytest.fixture
def slow(volume: FakeVolume, sweeper: CommandLine) -> SlowSweep:
    return SlowSweep(volume, sweeper)


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["command", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_is_130_and_the_report_tells_each_fate(
    slow: SlowSweep, wait_for: WaitFor, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    """A terminal or a service manager tells all processes at once, the engine too."""
    running = slow.start()
    wait_for(slow.removing)
    send(running.pid, number)
    signalled = time.monotonic()
    ran = slow.sweeper.end(running)
    assert ran.code == 130, ran
    assert time.monotonic() - signalled < 5
    document = ran.json
    assert document["ending"] == "cancelled"
    outcomes = ran.outcomes()
    assert "partly-removed" in outcomes.values()
    untouched = {one["name"] for one in document["untouched"]}
    assert set(outcomes) | untouched == {"dead0", "dead1", "dead2"}
    whole = {name for name, outcome in outcomes.items() if outcome in ("restored", "skipped")} | untouched
    assert slow.volume.names() == {"alive", *whole}
    partly = [outcome for outcome in document["outcomes"] if outcome["outcome"] == "partly-removed"]
    assert max(outcome["entries_removed"] for outcome in partly) > 0
    assert all(outcome["entries_removed"] <= SlowSweep.ENTRIES for outcome in partly)
    assert "Traceback" not in ran.err

    slow.sweeper.configure(slow.volume.settings(min_age="0s"))
    resumed = slow.sweeper("resume", "--yes", "--json")
    assert resumed.code == 0, resumed
    assert set(resumed.outcomes().values()) == {"removed"}
    assert slow.volume.names() == {"alive", *whole}


def test_a_signal_to_the_engine_alone_cancels_too(slow: SlowSweep, wait_for: WaitFor) -> None:
    running = slow.start()
    wait_for(slow.removing)
    slow.sweeper.engine_of(running).terminate()
    ran = slow.sweeper.end(running)
    assert (ran.code, ran.json["ending"]) == (130, "cancelled")
    assert "partly-removed" in ran.outcomes().values()


def test_an_engine_that_is_killed_is_a_failure_in_words(slow: SlowSweep, wait_for: WaitFor) -> None:
    running = slow.start()
    wait_for(slow.removing)
    slow.sweeper.engine_of(running).kill()
    ran = slow.sweeper.end(running)
    assert ran.code == 1
    assert "the engine was killed by SIGKILL" in ran.err
    assert "sweeper trash" in ran.err
    slow.sweeper.configure(slow.volume.settings(min_age="0s"))
    assert set(slow.sweeper("resume", "--yes", "--json").outcomes().values()) == {"removed"}


def test_a_stopped_engine_is_given_up_after_a_signal(slow: SlowSweep, wait_for: WaitFor) -> None:
    running = slow.start()
    wait_for(slow.removing)
    engine = slow.sweeper.engine_of(running)
    engine.suspend()
    running.send_signal(signal.SIGINT)
    ran = slow.sweeper.end(running)
    assert ran.code == 130, ran
    assert f"the engine (process {engine.pid}) does not answer" in ran.err
    assert not engine.is_running()


def test_what_is_cancelled_for_people_names_what_is_half_done(slow: SlowSweep, wait_for: WaitFor) -> None:
    running = slow.sweeper.start("sweep", "--yes")
    wait_for(slow.removing)
    running.send_signal(signal.SIGINT)
    ran = slow.sweeper.end(running)
    assert ran.code == 130
    assert "partly-removed" in ran.out
    assert "Cancelled: " in ran.out
    assert "cancelling; " in ran.err


def test_a_deferred_sweep_holds_nothing_and_a_signal_ends_it_at_once(
    mixed: FakeVolume, sweeper: CommandLine, wait_for: WaitFor
) -> None:
    before = fingerprint(mixed.root.parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        waiting = sweeper.start("sweep", "--defer", "90", "--yes")
        assert waiting.stderr is not None
        assert b"waiting 90 s" in waiting.stderr.readline()
        held = {os.readlink(link) for link in Path(f"/proc/{waiting.pid}/fd").iterdir()}
        assert not {path for path in held if str(mixed.root.parent) in path}
        assert sweeper("list").code == 0
        waiting.send_signal(number)
        signalled = time.monotonic()
        ran = sweeper.end(waiting)
        assert ran.code == 130
        assert time.monotonic() - signalled < 2
        assert ran.out == ""
    assert fingerprint(mixed.root.parent) == before


def test_a_deferred_sweep_sweeps_in_the_end(mixed: FakeVolume, sweeper: CommandLine) -> None:
    started = time.monotonic()
    ran = sweeper("sweep", "dead", "--defer", "1s", "--yes", "--json")
    assert time.monotonic() - started >= 1
    assert ran.outcomes() == {"dead": "removed"}


# --- common options, doctor, the rest -------------------------------------------------------------------------------


def test_common_options_stand_before_or_after_the_command(mixed: FakeVolume, sweeper: CommandLine) -> None:
    sweeper.configure("")
    options = ("--root", str(mixed.root), "--registry", mixed.source, "--min-age", "0s")
    for arguments in ((*options, "list", "--json"), ("list", "--json", *options)):
        ran = sweeper(*arguments)
        assert ran.code == 0, ran
        assert len(ran.json["workspaces"]) == 4
    ran = sweeper("--root", "/nowhere", *options[2:], "list", "--json", "--root", str(mixed.root))
    assert ran.json["volume"]["root"] == str(mixed.root)


def test_min_age_and_control_dir_come_from_their_options(
    mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path
) -> None:
    statuses = {one["status"] for one in sweeper("list", "--json", "--min-age", "24h").json["workspaces"]}
    assert statuses == {"foreign", "live", "recent"}
    elsewhere = mixed.root.parent / "elsewhere"
    assert sweeper("sweep", "odd", "--yes", "--control-dir", str(elsewhere)).code == 0
    assert stat.S_ISDIR(elsewhere.stat().st_mode)
    assert sweeper("trash", "--json", "--control-dir", str(elsewhere)).json["path"] == str(elsewhere)


def test_doctor_says_what_to_mend(mixed: FakeVolume, sweeper: CommandLine) -> None:
    ran = sweeper("doctor", "--json")
    assert ran.code == 0, ran
    assert {check["state"] for check in ran.json["checks"]} <= {"ok", "warning"}
    assert ran.json["checks"][-1]["title"] == "responsiveness"
    assert 0 <= ran.json["event_loop"]["p99_ms"] <= ran.json["event_loop"]["max_ms"]
    assert ran.json["event_loop"]["beats"] > 0
    mixed.database.unlink()
    ran = sweeper("doctor")
    assert ran.code == 3
    assert "does not exist" in ran.out
    sweeper.configure("[volume]\nroot = '/'\nnonsense = 1\n")
    ran = sweeper("doctor", "--json")
    assert ran.code == 2
    assert {check["state"] for check in ran.json["checks"]} == {"error"}
    assert ran.json["event_loop"] is None
    assert any("volume.nonsense" in check["title"] for check in ran.json["checks"])


def test_bind_accepts_another_registry(mixed: FakeVolume, sweeper: CommandLine, tmp_path: Path) -> None:
    assert sweeper("sweep", "odd", "--yes").code == 0
    moved = mixed.database.with_name("moved.sqlite3")
    mixed.database.rename(moved)
    other = ("--registry", f"sqlite:///{moved}")
    assert sweeper("sweep", "dead", "--yes", *other).code == 3
    assert sweeper("bind", *other).code == 0
    assert sweeper("sweep", "dead", "--yes", "--json", *other).outcomes() == {"dead": "removed"}


def test_the_version_is_quick_and_help_knows_every_command(sweeper: CommandLine) -> None:
    assert sweeper("--version").out.startswith("sweeper ")
    help_text = sweeper("--help").out
    for command in "list sweep plan trash restore purge resume history bind doctor demo engine".split():
        assert command in help_text
        ran = sweeper(command, "--help")
        assert "list[" not in ran.out
        assert ran.code == 0
        assert max(map(len, ran.out.splitlines())) <= 100


def test_without_a_display_the_window_says_so(mixed: FakeVolume, sweeper: CommandLine) -> None:
    nothing = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": ""}
    for arguments in ((), ("demo",)):
        ran = sweeper(*arguments, environ=nothing)
        assert ran.code == 2
        assert "no display" in ran.err


def test_json_is_ascii_on_any_locale(mixed: FakeVolume, sweeper: CommandLine) -> None:
    mixed.deleted("größe")
    ran = sweeper("list", "--json", environ={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert ran.code == 0, ran
    assert "größe" in {workspace["name"] for workspace in json.loads(ran.out)["workspaces"]}
    shown = sweeper("list", environ={"PYTHONIOENCODING": "ascii"})
    assert shown.code == 0, shown
