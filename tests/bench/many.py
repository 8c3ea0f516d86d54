"""A volume of many small workspaces, and some large ones to be swept; made quickly."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.bench.trees import make_workspace
from tests.bench.watched import SWEPT
from tests.support.volume import FakeVolume

_DAY = 86_400.0


def make_volume(directory: Path, count: int, *, swept: int = 0, files: int = 0) -> FakeVolume:
    """So many workspaces of two files, and `swept` large orphans of so many `files`.

    Of twenty sessions eleven are live, six deleted, and of three nobody knows.
    """
    volume = FakeVolume(directory)
    names = [f"session-{number:05}" for number in range(count)]
    for name in names:
        repository = volume.root / name / "repo"
        repository.mkdir(parents=True)
        for file in ("README.md", "index.js"):
            os.close(os.open(repository / file, os.O_CREAT | os.O_WRONLY, 0o644))
    large = [f"{SWEPT}{number:02}" for number in range(swept)]
    for seed, name in enumerate(large):
        make_workspace(volume.root / name, files, seed=seed)
    now = time.time()
    rows = [
        (name, f"owner-{number % 40}", f"Task {number}", int((now - 40 * _DAY) * 1e3),
         None if number % 20 < 11 else int((now - 30 * _DAY) * 1e3))
        for number, name in enumerate(names) if number % 20 < 17
    ]  # fmt: skip
    rows += [(name, "owner", f"Large {name}", int((now - 40 * _DAY) * 1e3), int((now - 30 * _DAY) * 1e3))
             for name in large]  # fmt: skip
    with closing(sqlite3.connect(volume.database)) as connection, connection:
        connection.executemany("INSERT INTO collab_session VALUES (?, ?, ?, 'main', ?, ?)", rows)
    return volume
