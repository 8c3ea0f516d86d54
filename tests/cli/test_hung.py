"""Commands on a volume that stops answering: what is said, how the terminal comes back, and how the work goes on.

The daemon behind the volume is stopped, continued, or killed, while a command starts, lists, measures or sweeps.
"""

import contextlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import CommandLine
from tests.support.hung import PLACES, HungVolume, hung_volume, is_there
from tests.support.trees import fingerprint

WaitFor = Callable[[Callable[[], bool]], None]
#: How the kernel says that the daemon has ended: of what waited for it, and of what comes later.
GONE = ("Software caused connection abort", "Transport endpoint is not connected", "the volume is gone")
EVERY = ["list", "trash", "sweep --yes", "restore dead", "purge --yes", "resume --yes", "history", "doctor", "bind"]


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[HungVolume]:
    with hung_volume(tmp_path) as volume:
        yield volume


@pytest.fixture
def commands(hung: HungVolume, tmp_path: Path) -> Iterator[CommandLine]:
    with contextlib.closing(CommandLine(hung, tmp_path)) as made:
        yield made


def stop_in(hung: HungVolume, commands: CommandLine, place: str, wait_for: WaitFor) -> subprocess.Popen[bytes]:
    """A command whose volume no longer answers at this place."""
    hung.served.set_plan(PLACES[place])
    running = commands.start(*(["sweep", "--yes", "--json"] if place == "sweeping" else ["list", "--json"]))
    wait_for(lambda: hung.served.hanging() > 0)
    hung.served.freeze()
    return running


def told(running: subprocess.Popen[bytes]) -> str:
    """What it writes until it says that the volume does not answer, and since when."""
    assert running.stderr is not None
    said = ""
    while not re.search(r"volume not responding for \d+ s", said):
        line = running.stderr.readline().decode()
        assert line, f"it ended: {said}"
        said += line
    return said


@pytest.mark.parametrize("place", PLACES)
def test_a_volume_that_stops_is_told_and_a_signal_gives_the_terminal_back(
    hung: HungVolume, commands: CommandLine, place: str, wait_for: WaitFor
) -> None:
    before = fingerprint(hung.root / "alive")
    running = stop_in(hung, commands, place, wait_for)
    engine = commands.engine_of(running)
    told(running)
    running.send_signal(signal.SIGINT)
    ran = commands.end(running)  # while the volume still hangs
    assert ran.code == 130, ran
    assert "what was begun can be resumed" in ran.err
    assert f"the engine (process {engine.pid}) is stuck in the volume, which has not answered since 20" in ran.err
    assert ("may hold the lock" in ran.err) == (place == "sweeping")
    assert is_there(engine.pid)
    hung.release()
    wait_for(lambda: not is_there(engine.pid))
    resumed = commands("resume", "--yes", "--json")
    assert (resumed.code, resumed.outcomes()) == (0, {"dead": "removed"} if place == "sweeping" else {})
    assert commands("sweep", "--yes", "--json").code == 0
    assert hung.names() == {"alive"}
    assert fingerprint(hung.root / "alive") == before


@pytest.mark.parametrize("place", PLACES)
def test_the_work_goes_on_when_the_volume_comes_back(
    hung: HungVolume, commands: CommandLine, place: str, wait_for: WaitFor
) -> None:
    running = stop_in(hung, commands, place, wait_for)
    told(running)
    hung.release()
    ran = commands.end(running)
    assert ran.code == 0, ran
    if place == "sweeping":
        assert ran.outcomes() == {"dead": "removed"}
    else:
        assert {one["name"]: one["status"] for one in ran.json["workspaces"]} == {"alive": "live", "dead": "orphan"}


@pytest.mark.parametrize("place", PLACES)
def test_a_volume_that_dies_ends_the_command_in_words_and_the_rest_is_resumed(
    hung: HungVolume, commands: CommandLine, place: str, wait_for: WaitFor, tmp_path: Path
) -> None:
    hung.served.set_plan(PLACES[place])
    running = commands.start(*(["sweep", "--yes", "--json"] if place == "sweeping" else ["list", "--json"]))
    wait_for(lambda: hung.served.hanging() > 0)
    hung.served.kill()
    ran = commands.end(running)
    assert (ran.code, "Traceback" in ran.err) == (0 if place == "measuring" else 3, False), ran
    assert any(words in ran.err + ran.out for words in GONE)
    hung.served.__exit__()
    with hung_volume(tmp_path) as back:
        resumed = commands("resume", "--yes", "--json")
        assert (resumed.code, resumed.outcomes()) == (0, {"dead": "removed"} if place == "sweeping" else {})
        assert commands("sweep", "--yes", "--json").code == 0
        assert back.names() == {"alive"}


def test_every_command_says_in_words_that_the_volume_is_gone(hung: HungVolume, commands: CommandLine) -> None:
    hung.served.kill()
    for ran in map(commands.end, [commands.start(*command.split()) for command in EVERY]):
        assert (ran.code, "Traceback" in ran.err) == (3, False), ran
        assert any(words in ran.err + ran.out for words in GONE)


def test_no_command_waits_for_a_volume_that_hangs_when_it_starts(
    hung: HungVolume, commands: CommandLine, wait_for: WaitFor
) -> None:
    hung.served.freeze()
    running = [commands.start(*command.split()) for command in [*EVERY, f"plan --out {hung.root}/plan.json"]]
    engines = [commands.engine_of(one) for one in running]
    for one in running:
        told(one)
        one.send_signal(signal.SIGINT)
    for one, engine in zip(running, engines, strict=True):
        ran = commands.end(one)
        assert ran.code == 130, ran
        assert "the volume does not answer" in ran.err
        assert (f"process {engine.pid}) is stuck" in ran.err) == is_there(engine.pid)
    hung.release()
    wait_for(lambda: not any(is_there(engine.pid) for engine in engines))
    assert commands("list").code == 0


def test_who_comes_while_a_stuck_engine_holds_the_lock_is_told_which_and_what_to_do(
    hung: HungVolume, commands: CommandLine, wait_for: WaitFor
) -> None:
    hung.deleted("other")
    hung.served.set_plan(PLACES["sweeping"])
    running = commands.start("sweep", "dead", "--yes")
    wait_for(lambda: hung.served.hanging() > 0)
    engine = commands.engine_of(running)
    running.send_signal(signal.SIGINT)
    assert commands.end(running).code == 130
    assert psutil.Process(engine.pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DISK_SLEEP)
    refused = commands("sweep", "other", "--yes")
    assert refused.code == 4, refused
    assert f"(process {engine.pid}), sweep 20" in refused.err
    assert "last heard of at" in refused.err
    assert "has been killed and is stuck in the volume: the lock is free as soon as that answers" in refused.err
    hung.release()
    wait_for(lambda: not is_there(engine.pid))
    assert commands("sweep", "other", "--yes").code == 0
