"""The log that is cut or damaged: what it tells then, and that nothing more is removed for it."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeper_gui.core.outcome import TrashState
from sweeper_gui.storage import order
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.remove import Removal, RemovalOutcome
from sweeper_gui.sweep import removal, sweeper
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import ReadLog, read_log
from sweeper_gui.sweep.trash import Lying, lying_in
from tests.support.trees import fingerprint
from tests.sweep.rig import Rig, results

_CUT_OFF = Removal(RemovalOutcome.CANCELLED, 1, 4096)
_ORPHANS = ("gone-0", "gone-1", "lost-0")


class PowerCut(BaseException):
    """Ends a sweep where it is, and with it the process as far as the volume can tell."""


class Dead:
    """A volume whose sweep died: explained orphans, to be removed, and an unexplained one, lie in its trash."""

    def __init__(self, directory: Path, pool: WorkPool, patch: pytest.MonkeyPatch, *, begun: bool) -> None:
        directory.mkdir()
        self.rig = Rig(directory, pool)
        self.rig.volume.live("live-0", 3)
        for name in _ORPHANS[:2]:
            self.rig.volume.deleted(name, 4)
        self.rig.volume.unexplained(_ORPHANS[2], 4)
        self.prints = {path.name: fingerprint(path) for path in self.rig.volume.root.iterdir()}
        plan = self.rig.plan(cap=10)
        with patch.context() as patched:
            patched.setattr(sweeper._Sweep, "_put_back_rest", lambda *_: None)
            if begun:
                patched.setattr(order, "remove", lambda *_, on_done, **__: on_done(_CUT_OFF))
            else:
                patched.setattr(removal.Removals, "start", self._die)
            with contextlib.suppress(PowerCut):
                self.rig.sweep(plan)
        self.rig.cancel.clear()
        [self.log] = self.rig.control_dir.glob("sweeps/*/log.jsonl")
        self.written = self.log.read_bytes()
        if begun:  # a dead one would not have written what came after
            end = self.written.rindex(b'{"type":"removing"')
            self.written = self.written[: self.written.index(b"\n", end) + 1]

    @staticmethod
    def _die(*_: object, **__: object) -> None:
        raise PowerCut

    def cut_places(self) -> list[int]:
        """Each end of a record, and the bytes around it."""
        ends = [index + 1 for index, byte in enumerate(self.written) if byte == ord("\n")]
        return sorted({min(max(0, end + more), len(self.written)) for end in [0, *ends] for more in (-2, -1, 0, 1)})

    def tree(self, place: str, number: int) -> Path:
        return self.log.parent / place / str(number)

    def check_live(self) -> None:
        assert fingerprint(self.rig.volume.root / "live-0") == self.prints["live-0"]


@contextlib.contextmanager
def opened(rig: Rig) -> Iterator[tuple[Control, Ground]]:
    with rig.ground() as ground:
        control = Control.open_existing(ground.volume, ground.settings.volume)
        assert control is not None
        with control:
            yield control, ground


def told(control: Control, ground: Ground) -> ReadLog:
    [sweep_id] = control.sweep_ids()
    with control.open_sweep(sweep_id) as sweep:
        return read_log(sweep, ground.log_fallback(sweep_id))


@pytest.mark.parametrize("begun", [False, True], ids=["whole", "removing"])
def test_cut_at_any_byte_it_tells_what_was_written_before_and_no_more(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    dead = Dead(tmp_path / "dead", rig.pool, monkeypatch, begun=begun)
    with opened(dead.rig) as (control, ground):
        dead.log.write_bytes(dead.written)
        records = told(control, ground).records
        lying = {one.item.number: one for one in lying_in(control, ground)}
        assert {one.item.name for one in lying.values()} == {name.encode() for name in _ORPHANS}
        for length in range(len(dead.written) + 1):
            dead.log.write_bytes(dead.written[:length])
            log = told(control, ground)
            complete = dead.written[:length].count(b"\n")
            assert (log.records, log.damaged) == (records[:complete], ""), f"cut at byte {length}"
            _check_states(list(lying_in(control, ground)), lying, length)


def _check_states(found: list[Lying], whole_story: dict[int, Lying], length: int) -> None:
    """Every tree is still there, as what it is; one of which nothing is known is nothing but a problem."""
    assert {one.item.number for one in found} == whole_story.keys(), f"cut at byte {length}"
    for one in found:
        story = whole_story[one.item.number]
        assert one.item.state is story.item.state
        if one.intent is None:
            assert one.item.problem
        else:
            assert (one.intent, one.item.name) == (story.intent, story.item.name)


@pytest.mark.parametrize("begun", [False, True], ids=["whole", "removing"])
@pytest.mark.parametrize("shard", range(4))
def test_cut_around_every_record_resume_and_restore_do_the_safe_thing(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool, shard: int
) -> None:
    dead = Dead(tmp_path / "dead", rig.pool, monkeypatch, begun=begun)
    for number, length in list(enumerate(dead.cut_places()))[shard::4]:
        again = Dead(tmp_path / str(number), rig.pool, monkeypatch, begun=begun)
        ends = [index for index, byte in enumerate(again.written) if byte == ord("\n")]
        known = {
            record["number"]: record["name"]["text"]
            for record in map(json.loads, again.written.splitlines()[: sum(end < length for end in ends)])
            if record["type"] == "intent"
        }
        again.log.write_bytes(again.written[:length])
        _resume_and_restore(again, known, f"cut at byte {length} of {len(again.written)}")


def _resume_and_restore(dead: Dead, known: dict[int, str], when: str) -> None:
    """Whatever is not known stays what and where it is; what is known goes or comes back, and nothing else goes."""
    before = {path: fingerprint(path) for place in ("whole", "removing") for path in dead.log.parent.glob(f"{place}/*")}
    names = set(_ORPHANS) & {name.decode() for name in _names(dead)}
    resumed = results(dead.rig.resume())
    assert {name for name, result in resumed.items() if result != "skipped"} <= set(known.values()), when
    assert resumed.get("lost-0") != "removed", when
    for path, was in before.items():
        if int(path.name) not in known:
            assert fingerprint(path) == was, when
    restored = results(dead.rig.restore(*sorted(names - {n for n, r in resumed.items() if r == "removed"})))
    for name in _ORPHANS:
        if restored.get(name) == "restored":
            assert fingerprint(dead.rig.volume.root / name) == dead.prints[name], when
        elif resumed.get(name) != "removed":
            unknown = {fingerprint(path) for path in before if path.exists()}
            assert dead.prints[name] in unknown, f"{name} is lost, {when}"
    dead.check_live()


def _names(dead: Dead) -> list[bytes]:
    return [item.name for item in dead.rig.trash() if item.state is TrashState.WHOLE]


def _flipped(lines: list[bytes], dice: random.Random) -> list[bytes]:
    """One bit of one line is another one, but for the ends of lines."""
    number = dice.randrange(len(lines))
    line = bytearray(lines[number])
    line[dice.randrange(len(line) - 1)] ^= 1 << dice.randrange(8)
    return [*lines[:number], bytes(line), *lines[number + 1 :]]


def _swapped(lines: list[bytes], dice: random.Random) -> list[bytes]:
    one, other = sorted(dice.sample(range(len(lines)), 2))
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _doubled(lines: list[bytes], dice: random.Random) -> list[bytes]:
    number = dice.randrange(len(lines))
    return [*lines[: number + 1], lines[number], *lines[number + 1 :]]


def _lost(lines: list[bytes], dice: random.Random) -> list[bytes]:
    number = dice.randrange(len(lines) - 1)  # that the last one is missing nobody can tell, and need not
    return lines[:number] + lines[number + 1 :]


def _two_writers(lines: list[bytes], dice: random.Random) -> list[bytes]:
    """Another run takes the same file, and the lines of both mix."""
    first = dice.randrange(1, len(lines))
    return [*lines[:first], *lines]


def _renumbered(lines: list[bytes], dice: random.Random) -> list[bytes]:
    """What one sweep means with a number another one does not."""
    numbers = [index for index, line in enumerate(lines) if b'"number":' in line]
    number = dice.choice(numbers)
    lines[number] = lines[number].replace(b'"number":0', b'"number":7').replace(b'"number":1', b'"number":0')
    return lines


_DAMAGES = (_flipped, _swapped, _doubled, _lost, _two_writers, _renumbered)


@pytest.mark.parametrize("damage", _DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_damage_in_the_middle_is_told_and_what_follows_is_not_believed(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[..., list[bytes]]
) -> None:
    dead = Dead(tmp_path / "dead", rig.pool, monkeypatch, begun=False)
    lines = dead.written.splitlines(keepends=True)
    with opened(dead.rig) as (control, ground):
        records = told(control, ground).records
        for seed in range(200):
            damaged = damage([*lines], random.Random(seed))
            if damaged == lines:
                continue
            dead.log.write_bytes(b"".join(damaged))
            log = told(control, ground)
            assert log.damaged, f"seed {seed}"
            assert log.records == records[: len(log.records)], f"seed {seed}"
            assert all(one.item.problem for one in lying_in(control, ground)), f"seed {seed}"
    assert results(dead.rig.purge(older_than=0)) == dict.fromkeys(results(dead.rig.purge(older_than=0)), "skipped")
    assert "removed" not in results(dead.rig.resume()).values()
    assert "removed" not in results(dead.rig.purge(*_ORPHANS)).values()
    assert dead.rig.history()[-1].problem
    dead.check_live()


def test_a_log_of_another_sweep_is_none_of_this_one(rig: Rig) -> None:
    rig.volume.live("live-0")
    rig.volume.deleted("gone-0")
    rig.volume.deleted("gone-1")
    one = rig.sweep(rig.plan("gone-0", set_aside=True)).sweep_id
    other = rig.sweep(rig.plan("gone-1", set_aside=True)).sweep_id
    logs = [rig.control_dir / "sweeps" / id_ / "log.jsonl" for id_ in (one, other)]
    logs[1].write_bytes(logs[0].read_bytes())
    assert [bool(item.problem) for item in rig.trash()] == [False, True]
    assert results(rig.purge(older_than=0)) == {"gone-0": "removed", results_name(rig): "skipped"}


def results_name(rig: Rig) -> str:
    [item] = rig.trash()
    return item.name.decode()
