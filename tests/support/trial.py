"""The whole job on real trees, through the command line, with the registry in a real PostgreSQL.

    python -m tests.support.realtrees /var/tmp/trial && python -m tests.support.trial /var/tmp/trial

lists the volume, sweeps it in three capped runs until no explained orphan is left, restores one of the unexplained
ones that were set aside, purges the rest, and compares every live workspace with what it was. It says how long each
step took, and fails at the first thing that is not as it should be.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.registries.postgres import PostgreSQL, directory_for_server, remove
from tests.support.realtrees import changed
from tests.support.trees import fingerprint

_RUNS = 3


class Trial:
    """One volume and the command line on it."""

    def __init__(self, directory: Path, source: str) -> None:
        self.directory = directory
        self._options = ["--root", str(directory / "workspaces"), "--registry", source, "--min-age", "1s"]

    def sweeper(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        started = time.monotonic()
        command = [sys.executable, "-m", "sweeper_gui", *self._options, *arguments, "--json"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"{time.monotonic() - started:7.1f} s  sweeper {' '.join(arguments)} → {result.returncode}", flush=True)
        if result.returncode != 0:
            sys.exit(f"{result.stdout}\n{result.stderr}")
        return json.loads(result.stdout)

    def run(self) -> None:
        """Everything, in order."""
        listed = self.sweeper("list")["workspaces"]
        orphans = [w for w in listed if w["status"] == "orphan"]
        unexplained = {w["name"] for w in orphans if w["doubts"]}
        entries = sum(w["entries"] for w in listed)
        print(f"           {len(listed)} workspaces, {entries} entries, {len(orphans)} orphans")
        a_run = -(-len(orphans) // _RUNS)
        outcomes = [o for _ in range(_RUNS) for o in self.sweeper("sweep", "--max", str(a_run), "--yes")["outcomes"]]
        by_result = {r: {o["name"] for o in outcomes if o["outcome"] == r} for r in {o["outcome"] for o in outcomes}}
        print(f"           { ({r: len(names) for r, names in by_result.items()}) }")
        assert by_result == {"removed": {w["name"] for w in orphans} - unexplained, "set-aside": unexplained}
        back, *_ = sorted(unexplained)
        self.sweeper("restore", back)
        assert (self.directory / "workspaces" / back).is_dir()
        print(f"           {back} is back: {fingerprint(self.directory / 'workspaces' / back)[:16]}")
        purged = self.sweeper("purge", "--yes")["outcomes"]
        assert {o["name"] for o in purged if o["outcome"] == "removed"} == unexplained - {back}
        assert not self.sweeper("trash")["items"]
        assert {w["name"] for w in self.sweeper("list")["workspaces"] if w["status"] == "orphan"} == {back}
        differing = changed(self.directory)
        assert not differing, differing
        print("           every live workspace is byte for byte what it was")


def fill(server: PostgreSQL, database: Path) -> None:
    """Puts the sessions of the SQLite registry into the server's table."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT id, owner_github_login, name, branch, created_at, deleted_at FROM collab_session"
        ).fetchall()
    server.execute("DELETE FROM collab_session")
    for row in rows:
        values = ", ".join("NULL" if value is None else f"'{value}'" for value in row)
        server.execute(f"INSERT INTO collab_session VALUES ({values})")


def main() -> None:
    """Runs the trial on the volume that `realtrees` has made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    os.environ["SWEEPER_STATE_DIR"] = str(directory / "state")
    place = directory_for_server()
    server = PostgreSQL.created(place)
    try:
        fill(server, directory / "collab.sqlite3")
        Trial(directory, server.url()).run()
    finally:
        server.stop()
        remove(place)


if __name__ == "__main__":
    main()
