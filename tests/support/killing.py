"""What must hold after a kill, derived from the directory and the logs alone; one case from the volume to its end."""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper_gui.core.outcome import TrashState
from sweeper_gui.core.verdict import Status
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.lock import holder_of
from sweeper_gui.storage.queue import WorkPool
from tests.support.dying import Death, die
from tests.support.nobody import NOBODY, become_nobody_reading_all
from tests.support.nursery import ended, forked
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig

ORPHANS = ("gone-0", "gone-1", "lost-0", "tight")
#: What is no orphan, and why.
OTHERS = {
    "live-0": Status.LIVE,
    "live-1": Status.LIVE,
    "fresh": Status.RECENT,
    "shard": Status.PROTECTED,
    "LIVE-1": Status.UNKNOWN,
    ".hidden": Status.FOREIGN,
    "file": Status.FOREIGN,
    "link": Status.FOREIGN,
}
#: What every run leaves: in the control directory, and in the root.
_KEPT = {"lock", "reserve", "binding.json", "identity", "sweeps"}
CLAIM = ".sweeper-claim"


def make_volume(directory: Path, database: Path | None = None) -> FakeVolume:
    """Every kind of workspace, each as small as can be."""
    volume = FakeVolume(directory, database)
    volume.live("live-0", 2)
    volume.live("live-1", 1)
    volume.deleted("fresh", 1, days_ago=-1.0)
    volume.deleted("shard", 1)
    (volume.root / "shard" / "live-1").mkdir()
    volume.workspace("LIVE-1", 1)
    volume.workspace(".hidden", 1)
    (volume.root / "file").write_text("no workspace")
    (volume.root / "link").symlink_to("live-0")
    first = volume.deleted("gone-0", 2)
    (first / os.fsdecode(b"odd\n\xff")).write_bytes(b"x")
    (first / "out").symlink_to("../live-0")
    (first / "repo").chmod(0o555)
    volume.deleted("gone-1", 2)
    volume.unexplained("lost-0", 2)
    volume.deleted("tight", 1).chmod(0o555)
    return volume


@dataclass
class Portrait:
    """A tree but for its top's mode, which is changed where it can't be renamed otherwise."""

    inner: str
    mode: int

    @classmethod
    def of(cls, path: Path) -> "Portrait":
        """What there is now."""
        status = path.lstat()
        if not path.is_dir() or path.is_symlink():
            return cls(fingerprint(path), status.st_mode)
        own = (status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink, status.st_ino)
        return cls(
            repr([own, *((name, fingerprint(path / name)) for name in sorted(os.listdir(path)))]), status.st_mode
        )


@dataclass
class Story:
    """What the logs tell of one workspace, over all runs."""

    #: where it was set aside: sweep id and number, with the first and the last intent
    intents: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    #: every later record about it, in order: (sweep it lies in, number, record)
    records: list[dict[str, Any]] = field(default_factory=list)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The records of a kind."""
        return [record for record in self.records if record["type"] == kind]


class Scene:
    """A volume after a kill, with what it was before."""

    def __init__(self, directory: Path, before: dict[str, Portrait]) -> None:
        self.root = directory / "workspaces"
        self.control = directory / ".sweeper-workspaces"
        self.before = before

    # --- what must hold -----------------------------------------------------------------------------------------------

    def check(self, *, named: bool) -> None:
        """Everything; `named` says that a person named the doubtful one to be purged."""
        for name in OTHERS:
            assert Portrait.of(self.root / name) == self.before[name], f"{name} has changed"
        assert {path.name for path in self.root.iterdir()} - {".sweeper-probe", CLAIM} <= self.before.keys()
        stories = dict(self._stories())
        for name in ORPHANS:
            self._check(name, stories.get(name, Story()), named=named)

    def _check(self, name: str, story: Story, *, named: bool) -> None:
        places = [(key, place) for key in story.intents for place in self._places(key)]
        in_place = (self.root / name).exists()
        assert len(places) + in_place <= 1, f"{name} is in two places"
        outcome = ([None] + [record["result"] for record in story.told("outcome")])[-1]
        announced = {(record["source"], record["number"]) for record in story.told("removing")}
        begun = {"set-aside", "partly-removed", "failed"}
        if in_place:
            self._check_whole(name, self.root / name, story)
            allowed = {"restored", "skipped", "failed"} | ({"set-aside"} if story.told("restoring") else set())
        elif places and places[0][1] == "whole":
            self._check_whole(name, self._tree(*places[0]), story)
            allowed = {"set-aside", "skipped", "failed"}
        elif places:
            assert places[0][0] in announced, f"{name} is being removed and no log has announced it"
            allowed = begun
        else:
            allowed = begun | {"removed"}
        assert outcome in {None, *allowed}, f"{name} ended as {outcome}, and lies in {places or in_place or 'no place'}"
        if not in_place and (not places or places[0][1] == "removing"):
            assert announced, f"{name} was removed and no log has announced it"
            asked = story.told("confirmed") or any(r["kind"] != "sweep" for r in story.told("removing"))
            assert asked, f"{name} was removed and the registry was not asked again"
            assert name != "lost-0" or named, "the doubtful one was removed"

    def _check_whole(self, name: str, path: Path, story: Story) -> None:
        found, before = Portrait.of(path), self.before[name]
        assert found.inner == before.inner, f"{name} is not whole in {path}"
        changed = any(intent.get("mode") is not None for intent in story.intents.values())
        modes = {before.mode, before.mode | 0o700} if changed else {before.mode}
        assert found.mode in modes, f"{name} has mode {found.mode:o}"

    def check_restored(self, names: Iterator[str] | list[str]) -> None:
        """These are in their place, and in everything what they were."""
        for name in names:
            assert Portrait.of(self.root / name) == self.before[name], f"{name} is not what it was"

    def check_tidy(self) -> None:
        """The control directory holds logs, what is always there, and nothing else."""
        assert {path.name for path in self.control.iterdir()} <= _KEPT
        for sweep in (self.control / "sweeps").iterdir():
            assert {path.name for path in sweep.iterdir()} <= {"log.jsonl", "whole", "removing"}
            for place in ("whole", "removing"):
                left = [path.name for path in sweep.glob(f"{place}/*")] + [p.name for p in sweep.glob(f"{place}/.*")]
                assert not left, f"{left} left in {sweep.name}/{place}"
        assert not (self.root / ".sweeper-probe").exists()

    # --- the directory and the logs -----------------------------------------------------------------------------------

    def _tree(self, key: tuple[str, int], place: str) -> Path:
        return self.control / "sweeps" / key[0] / place / str(key[1])

    def _places(self, key: tuple[str, int]) -> list[str]:
        return [place for place in ("whole", "removing") if self._tree(key, place).exists()]

    def _stories(self) -> Iterator[tuple[str, Story]]:
        stories: dict[str, Story] = {}
        names: dict[tuple[str, int], str] = {}
        for log in sorted(self.control.glob("sweeps/*/log.jsonl")):
            sweep_id, kind = log.parent.name, ""
            for line in log.read_bytes().split(b"\n")[:-1]:
                record = json.loads(line)
                kind = record.get("kind", kind)
                key = (record.get("source") or sweep_id, record.get("number", -1))
                if record["type"] == "intent":
                    names[key] = record["name"]["text"]
                    stories.setdefault(names[key], Story()).intents[key] = record
                elif record["type"] == "confirmed":
                    for number in record["numbers"]:
                        stories[names[sweep_id, number]].records.append(record)
                elif record["type"] in ("removing", "restoring", "outcome"):
                    name = record["name"]["text"]
                    stories.setdefault(name, Story()).records.append(record | {"source": key[0], "kind": kind})
        trees = [(p.parents[1].name, int(p.name)) for p in self.control.glob("sweeps/*/*/[0-9]*")]
        assert set(trees) <= names.keys(), "a tree that no log tells of"
        yield from stories.items()


# --- one case ---------------------------------------------------------------------------------------------------------


def case(place: str, victim: str, what: str, step: int, after: float | None, seed: int) -> dict[str, Any]:
    """Makes a volume, runs `what` on it until the victim is killed, and checks all that must hold then and later.

    An even seed resumes first, an odd one restores first. As nobody, to whom an unwritable top is an obstacle.
    """
    directory = Path(place)
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    become_nobody_reading_all()
    os.environ |= {"SWEEPER_STATE_DIR": str(directory / "state"), "HOME": str(directory)}
    volume = make_volume(directory)
    before = {path.name: Portrait.of(path) for path in volume.root.iterdir()}
    _in_fork(lambda: Rig(directory, WorkPool(2)).settings)
    dice = random.Random(seed)
    if what in ("restore", "purge"):
        assert not die(Death("command", directory), "set-aside")
    elif what == "resume":
        die(Death("command", directory, step=dice.randrange(60, 130)), "sweep")
    (directory / "steps").unlink(missing_ok=True)
    died = die(Death(victim, directory, step, after), what)
    scene = Scene(directory, before)
    scene.check(named=what == "purge")
    _in_fork(lambda: go_on(directory, scene, named=what == "purge", resume_first=seed % 2 == 0))
    count = directory / "steps"
    return {"died": died, "steps": int(count.read_text()) if count.exists() else 0}


def left_by_an_engine_whose_window_died(place: str, entries: int, per_second: int) -> int:
    """Kills the window while its engine, held back, removes a tree; how many entries the engine leaves when it ends."""
    directory = Path(place)
    directory.mkdir()
    os.environ |= {"SWEEPER_STATE_DIR": str(directory / "state"), "HOME": str(directory)}
    volume = FakeVolume(directory)
    volume.live("live-0", 1)
    volume.deleted("gone-0", entries)
    _in_fork(lambda: Rig(directory, WorkPool(2)).settings)
    with (directory / "sweeper.toml").open("a") as config:
        config.write(f"[sweep]\nmax_ops_per_second = {per_second}\n")
    assert die(Death("window", directory, step=120), "sweep")
    return sum(len(files) for where, _, files in os.walk(directory) if "/removing/" in where)


def warm_up() -> None:
    """A case that goes through, for what it imports."""
    from sweeper_gui.cli import app  # noqa: F401 - what is imported in functions only
    from sweeper_gui.ui import app as window  # noqa: F401
    from tests.ui import conftest  # noqa: F401

    place = Path(os.environ["SWEEPER_NURSERY"]) / "warm-up"
    place.mkdir()
    make_volume(place)
    rig = Rig(place, WorkPool(2))
    rig.sweep(rig.plan(cap=1))


def _in_fork(work: Callable[[], object]) -> None:
    assert ended(forked(work)) == 0, "see its trace above"


def go_on(directory: Path, scene: Scene, *, named: bool, resume_first: bool) -> None:
    """The next start: lists, resumes and restores, and comes to an end."""
    pool = WorkPool(2)
    rig = Rig(directory, pool)
    rig.write_settings = False
    _check_listing(rig, scene)
    if resume_first:
        rig.resume()
        scene.check(named=named)
        assert not [item for item in rig.trash() if item.unfinished], "not finished by resume"
    back = [item.name.decode() for item in rig.trash() if item.state is TrashState.WHOLE]
    rig.restore(*back)
    scene.check_restored(back)
    rig.resume()
    scene.check(named=named)
    scene.check_restored([path.name for path in scene.root.iterdir() if path.name != CLAIM])
    assert not rig.trash()
    scene.check_tidy()
    if scene.control.exists():
        with (
            rig.ground() as ground,
            contextlib.closing(Control.open_or_create(ground.volume, ground.settings.volume)) as c,
        ):
            assert holder_of(c) is None, "the lock is still held"
    pool.close()


def _check_listing(rig: Rig, scene: Scene) -> None:
    """Rows and trash say what is so."""
    rows = rig.rows()
    for name, status in OTHERS.items():
        assert rows[name].verdict.status is status, f"{name} is {rows[name].verdict}"
    for item in rig.trash():
        assert not item.problem, f"{item.name!r}: {item.problem}"
        place = scene.control / "sweeps" / item.sweep_id / str(item.state) / str(item.number)
        assert place.is_dir()
        assert not (scene.root / item.name.decode()).exists()
