"""Telling a syslog daemon and journald: what arrives, what can't be smuggled in, and that nothing waits for them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Ending, Result
from sweeper_gui.sweep import evidence as evidence_module
from sweeper_gui.sweep import forward
from sweeper_gui.sweep.forward import Forwarder, connection_problem, in_one_line, socket_of
from sweeper_gui.sweep.log import Closed, Ended, Name, SetAside
from tests.support.telling import BEGUN, EVIL, INTENT
from tests.sweep.rig import Rig, results


class Daemon:
    """A datagram socket that somebody listens to, or not."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(place))
        self.socket.settimeout(30)

    def lines(self) -> list[str]:
        """What has arrived by now."""
        self.socket.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(65_536).decode("utf-8"))
        return found

    def close(self) -> None:
        self.socket.close()
        self.place.unlink(missing_ok=True)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "log")
    yield made
    made.close()


@pytest.fixture
def filled(rig: Rig, daemon: Daemon) -> Rig:
    rig.volume.live("live-0")
    for number in range(3):
        rig.volume.deleted(f"gone-{number}")
    rig.volume.unexplained("lost-0")
    _ = rig.settings
    rig.write_settings = False
    forward_to(rig, str(daemon.place))
    return rig


def forward_to(rig: Rig, target: str) -> None:
    text = rig.volume.settings(min_age="0s") + f'[sweep]\nsyslog = "{target}"\n'
    rig.config.write_text(text, encoding="utf-8")


def removed(name: str) -> Ended:
    return Ended(1.0, Name.of(name.encode()), Result.REMOVED, "")


def events(lines: list[str]) -> list[str]:
    return [line.partition("event=")[2].partition(" ")[0] for line in lines]


# --- what arrives ---------------------------------------------------------------------------------------------------


def test_every_step_of_a_sweep_is_told_and_each_line_says_of_which_sweep_by_whom(filled: Rig, daemon: Daemon) -> None:
    report = filled.sweep(filled.plan("gone-0", "lost-0", "live-0"))
    lines = daemon.lines()
    assert sorted(events(lines)) == sorted(
        ["begun", "outcome", "setting-aside", "setting-aside", "outcome", "removing", "outcome", "end"]
    )
    for line in lines:
        assert line.startswith(("<14>", "<12>"))
        assert f"sweeper[{os.getpid()}]: sweep={report.sweep_id} kind=sweep who=" in line
    (aside,) = [line for line in lines if "event=setting-aside" in line and "workspace=lost-0" in line]
    assert "doubts=unexplained treatment=set-aside" in aside
    assert 'reason="no session of this id' in aside
    end = lines[-1]
    assert "ending=done" in end
    assert "removed=1" in end
    assert report.notes == ()


def test_restore_purge_and_bind_are_told_too(filled: Rig, daemon: Daemon) -> None:
    filled.sweep(filled.plan("gone-0", "lost-0", set_aside=True))
    daemon.lines()
    told = []
    for run in (lambda: filled.restore("lost-0"), lambda: filled.purge("gone-0"), filled.bind):
        run()
        lines = daemon.lines()
        told.append((lines[0].partition("kind=")[2].partition(" ")[0], events(lines)))
    assert told == [
        ("restore", ["begun", "restoring", "outcome", "end"]),
        ("purge", ["begun", "removing", "outcome", "end"]),
        ("bind", ["begun", "end"]),
    ]


def test_a_dry_run_tells_nobody(filled: Rig, daemon: Daemon) -> None:
    filled.rehearse(filled.plan("gone-0"))
    assert daemon.lines() == []


def test_ticket_and_proposer_are_in_every_line(daemon: Daemon) -> None:
    forwarder = Forwarder(str(daemon.place))
    forwarder.send(BEGUN, INTENT, Ended(1.0, Name.of(b"w"), Result.FAILED, "denied"))
    forwarder.send(SetAside(1.0, 0), Closed(1.0, Ending.STOPPED, {"failed": 1}, 0, 1.5, "lost"))
    assert forwarder.finish() == ""
    forwarder.close()
    lines = daemon.lines()
    assert events(lines) == ["begun", "setting-aside", "outcome", "end"]
    for line in lines:
        assert 'who="sue (as root)@bastion" ticket=OPS-1 proposed_by=amelie@laptop' in line
    assert [line[:4] for line in lines] == ["<14>", "<14>", "<12>", "<12>"]  # what somebody should look at is a warning


# --- what can't be smuggled in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("journald", [False, True])
def test_no_name_and_no_reason_can_end_its_line_or_make_a_field(daemon: Daemon, journald: bool) -> None:
    forwarder = Forwarder(str(daemon.place), journald=journald)
    forwarder.send(BEGUN, INTENT)
    forwarder.close()
    _, told = daemon.lines()
    lines = told.splitlines()
    assert all(line.isprintable() for line in lines)
    if not journald:
        assert len(lines) == 1
        assert told.count(" event=") == 1
        return
    fields = dict(line.split("=", 1) for line in lines)
    assert len(fields) == len(lines)
    assert all(name.replace("_", "").isupper() for name in fields)
    assert fields["SWEEPER_EVENT"] == "setting-aside"
    assert fields["SWEEPER_WORKSPACE"].startswith("a\\x0aSweeper: all is well\\x00")
    assert fields["SYSLOG_IDENTIFIER"] == "sweeper"
    assert fields["PRIORITY"] == "6"


def test_a_value_that_holds_what_looks_like_a_field_is_quoted() -> None:
    assert in_one_line({"a": "x b=y", "c": 'q"\\', "d": "", "e": "plain", "f": "ä"}) == (
        'a="x b=y" c="q\\"\\\\" e=plain f="ä"'
    )


def test_a_message_stays_small(daemon: Daemon) -> None:
    long = Ended(1.0, Name.of(b"\xff" * 4_000), Result.REMOVED, "r" * 100_000)
    forwarder = Forwarder(str(daemon.place))
    forwarder.send(BEGUN, long)
    forwarder.close()
    assert len(daemon.lines()[1].encode()) < 8_192


# --- nobody waits ---------------------------------------------------------------------------------------------------


def test_a_missing_daemon_is_told_once_and_stops_nothing(filled: Rig, daemon: Daemon) -> None:
    daemon.close()
    report = filled.sweep(filled.plan("gone-0"))
    assert results(report) == {"gone-0": "removed"}
    (note,) = report.notes
    assert "5 of 5 messages could not be forwarded" in note
    assert "No such file or directory" in note
    assert filled.history()[0].notes == report.notes


def test_a_hung_daemon_does_not_hold_a_sweep_up(filled: Rig, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full from the start: whoever blocked here would stay for ever."""
    monkeypatch.setattr(forward, "_PATIENCE", 0.05)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.setblocking(False)
        other.connect(str(daemon.place))
        with contextlib.suppress(BlockingIOError):
            while True:
                other.send(b"noise")
    report = filled.sweep(filled.plan("gone-0", "gone-1"))
    assert set(results(report).values()) == {"removed"}
    assert "it does not answer" in report.notes[0]


def test_a_daemon_that_is_behind_gets_everything_in_order(daemon: Daemon) -> None:
    forwarder = Forwarder(str(daemon.place))
    forwarder.send(BEGUN, *(removed(f"w{number}") for number in range(200)))
    found = daemon.lines()
    assert 1 < len(found) < 201  # its queue holds fewer: the rest is kept
    while not any("workspace=w199 " in line for line in found):
        forwarder.send(removed("more"))
        found += daemon.lines()
    names = [line.partition("workspace=")[2].partition(" ")[0] for line in found if "workspace=w" in line]
    assert names == [f"w{number}" for number in range(200)]
    forwarder.close()


def test_what_is_kept_for_it_is_bounded(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_MOST_KEPT", 10)
    forwarder = Forwarder(str(daemon.place))
    forwarder.send(BEGUN, *(removed("w") for _ in range(5_000)))
    taken = len(daemon.lines())
    assert f"{5_001 - taken - 10} of 5001 messages" in forwarder.finish()
    assert len(daemon.lines()) == 10
    forwarder.close()


def test_a_daemon_that_was_started_anew_is_told_the_rest(daemon: Daemon) -> None:
    forwarder = Forwarder(str(daemon.place))
    forwarder.send(BEGUN)
    daemon.close()
    again = Daemon(daemon.place)
    forwarder.send(INTENT)
    assert events(again.lines()) == ["setting-aside"]
    assert forwarder.finish() == ""
    forwarder.close()
    again.close()


def test_no_setting_no_socket(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.volume.live("live-0")
    rig.volume.deleted("gone-0")
    monkeypatch.setattr(forward, "_connected", lambda place: pytest.fail("nobody asked for it"))
    assert rig.sweep(rig.plan("gone-0")).notes == ()


# --- where to -------------------------------------------------------------------------------------------------------


def test_the_setting_names_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (socket_of(""), socket_of("journald"), socket_of("/x/log")) == ("", forward.JOURNALD, "/x/log")
    monkeypatch.setattr(forward, "JOURNALD", str(tmp_path / "journal"))
    assert socket_of("auto") == "/dev/log"
    (tmp_path / "journal").touch()
    assert socket_of("auto") == str(tmp_path / "journal")


def test_doctor_can_tell_whether_somebody_listens(daemon: Daemon, tmp_path: Path) -> None:
    assert connection_problem(str(daemon.place)) == ""
    assert daemon.lines() == []
    assert "No such file" in connection_problem(str(tmp_path / "nobody"))
    (tmp_path / "file").touch()
    assert "Connection refused" in connection_problem(str(tmp_path / "file"))


# --- the real thing -------------------------------------------------------------------------------------------------


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[tuple[Path, Path, int]]:
    """A real syslog daemon on a socket of its own, and the file that it writes."""
    place, written, config = tmp_path / "rsyslog", tmp_path / "messages", tmp_path / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{tmp_path}" maxMessageSize="8k")\n'
        'module(load="imuxsock" SysSock.Use="off")\n'
        f'input(type="imuxsock" Socket="{place}")\n'
        f'*.* action(type="omfile" file="{written}" asyncWriting="off")\n',
        encoding="utf-8",
    )
    process = subprocess.Popen(
        ["/usr/sbin/rsyslogd", "-n", "-f", str(config), "-i", str(tmp_path / "pid")], stderr=subprocess.DEVNULL
    )
    wait_until(lambda: connection_problem(str(place)) == "")
    yield place, written, process.pid
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.wait(30)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.01)


def test_a_real_syslog_daemon_writes_a_line_for_each_step(filled: Rig, rsyslog: tuple[Path, Path, int]) -> None:
    place, written, _ = rsyslog
    forward_to(filled, str(place))
    report = filled.sweep(filled.plan("gone-0", "lost-0"))
    assert report.notes == ()
    wait_until(lambda: written.exists() and "event=end" in written.read_text(encoding="utf-8"))
    lines = [line for line in written.read_text(encoding="utf-8").splitlines() if "sweeper[" in line]
    assert len(lines) == 7
    assert all(f"sweeper[{os.getpid()}]: sweep={report.sweep_id}" in line for line in lines)


def test_a_real_syslog_daemon_that_is_stopped_holds_nothing_up(
    filled: Rig, rsyslog: tuple[Path, Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_PATIENCE", 0.05)
    place, _, pid = rsyslog
    forward_to(filled, str(place))
    os.kill(pid, signal.SIGSTOP)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.setblocking(False)
        other.connect(str(place))
        with contextlib.suppress(BlockingIOError):
            while True:
                other.send(b"<14>noise")
    report = filled.sweep(filled.plan("gone-0", "gone-1", "gone-2"))
    assert set(results(report).values()) == {"removed"}
    assert "could not be forwarded" in report.notes[0]


#: In a mount namespace of its own, so that the host's journal is left alone.
_JOURNALD = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
cp "$1" /run/machine-id
mount --bind /run/machine-id /etc/machine-id
/lib/systemd/systemd-journald &
trap 'kill $!; wait $! || true' EXIT
wait_for() { tries=0; until "$@"; do tries=$((tries + 1)); [ $tries -lt 600 ]; sleep 0.05; done; }
wait_for test -S /run/systemd/journal/socket
"$2" -m tests.support.telling
journal() { journalctl --quiet --no-pager --directory /run/log/journal --output json SYSLOG_IDENTIFIER=sweeper; }
ended() { journal | grep -q '"SWEEPER_EVENT":"end"'; }
wait_for ended
journal
"""


def test_the_real_journald_keeps_every_field(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n", encoding="ascii")
    ended = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _JOURNALD, "sh", machine_id, sys.executable],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    kept = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [entry["SWEEPER_EVENT"] for entry in kept] == ["begun", "setting-aside", "end"], ended
    assert {entry["SWEEPER_TICKET"] for entry in kept} == {"OPS-1"}
    assert kept[1]["SWEEPER_WORKSPACE"] == visible(EVIL)
    assert kept[1]["SWEEPER_REASON"] == "evil\\x0areason"
    assert [entry["PRIORITY"] for entry in kept] == ["6", "6", "4"]
    assert kept[0]["_UID"] == "0"  # who sent it is the kernel's word, not ours


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_of_the_registry_is_forwarded(filled: Rig, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    text = filled.config.read_text(encoding="utf-8")
    source = "postgresql://reader:hunter2@127.0.0.1:1/collab"
    plan = filled.plan("gone-0")
    filled.config.write_text(text.replace(filled.volume.source, source), encoding="utf-8")
    filled.config.chmod(0o600)
    with contextlib.suppress(evidence_module.Untrusted):
        filled.sweep(plan)
    lines = daemon.lines()
    assert "postgresql" in lines[0]
    assert not any("hunter2" in line for line in lines)
