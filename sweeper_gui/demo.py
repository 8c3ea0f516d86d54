"""A throw-away volume to try Sweeper on: workspaces of every status, a registry of the source system's kind, a config.

Whatever is here lies in one temporary directory and goes with it. A change time can't be set back, so this volume's
`min_age` is two seconds, and the recent workspaces are kept recent by a thread that goes on changing a file in them.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

MIN_AGE = 2.0
_TOUCH_INTERVAL = 0.5
_DAY = 86_400.0
_WRITERS = 8

_LIVE, _DELETED, _UNEXPLAINED, _RECENT, _KEPT, _ABSENT = 14, 18, 4, 3, 2, 3

_OWNERS = ("octocat", "amelie", "tomasz", "yuki", "priya", "lars")
_REPOSITORIES = ("webshop", "billing-api", "design-system", "mobile-app", "data-pipeline", "handbook")
_TOPICS = ("Fix the login redirect", "Upgrade the payment client", "Dark mode", "Flaky checkout test", "CSV import")
_PACKAGES = ("left-pad", "lodash", "react", "react-dom", "vite", "typescript", "express", "zod", "eslint", "prettier")

_SCHEMA = """
CREATE TABLE collab_session (
    id TEXT PRIMARY KEY, owner_github_login TEXT, name TEXT, branch TEXT, created_at INTEGER, deleted_at INTEGER
)
"""
_TEXT = b"export function handler(event) { return { status: 200, body: event.body }; }\n" * 400


class Demo(msgspec.Struct, frozen=True):
    """The throw-away volume. Everything lies below `directory`."""

    directory: Path

    @property
    def root(self) -> Path:
        """The root of the volume."""
        return self.directory / "workspaces"

    @property
    def config(self) -> Path:
        """A configuration file for it."""
        return self.directory / "sweeper.toml"

    @property
    def registry(self) -> Path:
        """The database with the table `collab_session`."""
        return self.directory / "collab.db"

    @property
    def state_dir(self) -> Path:
        """For `SWEEPER_STATE_DIR`: what is remembered of the demo goes with it."""
        return self.directory / "state"


class _Plot(msgspec.Struct, frozen=True):
    """What is to be made: one workspace, and how long ago its session was deleted, in seconds, if it was."""

    name: str
    deleted_age: float | None = None
    in_registry: bool = True


@contextmanager
def demo_volume() -> Iterator[Demo]:
    """Makes the volume, keeps its recent and used workspaces so, and removes everything at the end."""
    directory = Path(tempfile.mkdtemp(prefix="sweeper-demo-"))
    stop = threading.Event()
    user: subprocess.Popen[bytes] | None = None
    busy: threading.Thread | None = None
    try:
        demo = Demo(directory)
        recent, used = _make(demo)
        busy = threading.Thread(target=_keep_recent, args=(recent, stop), name="demo: somebody at work", daemon=True)
        busy.start()
        # Reads from a pipe that we hold: however this process ends, it ends too.
        user = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=used)
        yield demo
    finally:
        stop.set()
        if busy is not None:
            busy.join()
        if user is not None:
            user.communicate()
        shutil.rmtree(directory, ignore_errors=True)


def _make(demo: Demo) -> tuple[list[Path], Path]:
    """Makes it all; returns the recent workspaces and the one to be used."""
    chance = _dice(20261103)  # the same volume each time
    now = time.time()
    deleted = [_Plot(_id(chance), chance.uniform(3, 60) * _DAY) for _ in range(_DELETED)]
    unexplained = [_Plot(_id(chance), in_registry=False) for _ in range(_UNEXPLAINED)]
    live = [_Plot(_id(chance)) for _ in range(_LIVE)]
    recent = [_Plot(_id(chance), chance.uniform(3, 20) * _DAY) for _ in range(_RECENT)]
    kept = [_Plot(f"keep-{_id(chance)}", 90 * _DAY) for _ in range(_KEPT)]
    used = _Plot(_id(chance), 5 * _DAY)
    absent = [_Plot(_id(chance)) for _ in range(_ABSENT)]

    demo.root.mkdir()
    # The orphans first: the others are made while they come of age.
    _make_workspaces(demo.root, [*deleted, *unexplained], chance)
    _make_unsaved(demo.root / deleted[-1].name)
    of_age = time.monotonic() + MIN_AGE
    _make_workspaces(demo.root, [*kept, *live, used, *recent], chance)
    _make_foreign(demo.root)
    sessions = [*deleted, *live, *recent, *kept, used, *absent]
    _make_registry(demo.registry, sessions, chance, now)
    _make_config(demo)
    time.sleep(max(0.0, of_age - time.monotonic()))
    return [demo.root / plot.name for plot in recent], demo.root / used.name


def _dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - decides how a demo looks, nothing else


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


# --- trees ----------------------------------------------------------------------------------------------------------


def _make_workspaces(root: Path, plots: Sequence[_Plot], chance: random.Random) -> None:
    seeds = [chance.getrandbits(32) for _ in plots]
    with ThreadPoolExecutor(_WRITERS) as writers:
        for _ in writers.map(lambda plot, seed: _make_tree(root / plot.name, _dice(seed)), plots, seeds):
            pass


def _make_tree(workspace: Path, chance: random.Random) -> None:
    repository = workspace / chance.choice(_REPOSITORIES)
    for folder in ("src/components", "src/api", "tests", "docs"):
        _make_files(repository / folder, "ts", chance.randint(4, 16), chance)
    for package in chance.sample(_PACKAGES, chance.randint(2, len(_PACKAGES))):
        _make_files(repository / "node_modules" / package / "dist", "js", chance.randint(5, 40), chance)
    (repository / "README.md").write_text(f"# {repository.name}\n", encoding="utf-8")
    _make_large(repository / "build.tar", chance.choice((0, 0, 200_000, 600_000, 1_500_000, 4_000_000)))


def _make_files(folder: Path, suffix: str, count: int, chance: random.Random) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        length = min(len(_TEXT), int(chance.lognormvariate(7.0, 1.2)))
        with open(folder / f"module{number:03}.{suffix}", "wb", buffering=0) as file:
            file.write(_TEXT[:length])


def _make_large(path: Path, length: int) -> None:
    if length:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, length)


def _make_unsaved(workspace: Path) -> None:
    """Somebody has begun a repository in it and committed nothing yet. It is laid out as git does, which none needs."""
    git = next(path for path in workspace.iterdir() if path.is_dir()) / ".git"
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (git / folder).mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (git / "config").write_text("[core]\n\trepositoryformatversion = 0\n", encoding="utf-8")
    (git.parent / ".gitignore").write_text("node_modules/\nbuild.tar\n", encoding="utf-8")


def _make_foreign(root: Path) -> None:
    """What no id pattern matches, names that try to deceive a terminal included."""
    (root / ".cache").mkdir()
    (root / "README.txt").write_text("One directory per session.\n", encoding="utf-8")
    (root / "latest").symlink_to("README.txt")
    (root / "invoice\u202efdp.exe").mkdir()
    os.mkdir(os.fsencode(root) + b"/caf\xe9 old")


# --- registry and configuration -------------------------------------------------------------------------------------


def _make_registry(path: Path, plots: Sequence[_Plot], chance: random.Random, now: float) -> None:
    rows = []
    for plot in plots:
        ended = now - (plot.deleted_age or 0.0)
        created = ended - chance.uniform(1, 30) * _DAY
        deleted_at = None if plot.deleted_age is None else int(ended * 1000)
        row = (plot.name, chance.choice(_OWNERS), chance.choice(_TOPICS), "main", int(created * 1000), deleted_at)
        rows.append(row)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_SCHEMA)
        database.executemany("INSERT INTO collab_session VALUES (?, ?, ?, ?, ?, ?)", rows)


def _make_config(demo: Demo) -> None:
    demo.config.write_text(
        f"""\
[volume]
root = "{demo.root}"

[[registry]]
source = "sqlite:///{demo.registry}"

[policy]
min_age = "{MIN_AGE:g}s"
protect = ["keep-*"]
""",
        encoding="utf-8",
    )
    demo.config.chmod(0o600)


def _keep_recent(workspaces: Sequence[Path], stop: threading.Event) -> None:
    files = [next(workspace.rglob("README.md")) for workspace in workspaces]
    while not stop.wait(_TOUCH_INTERVAL):
        for file in files:
            try:
                os.utime(file)
            except OSError:  # swept after all, by somebody who insisted
                continue
