"""A volume of made-up workspaces with the source system's registry beside it: `collab_session` in SQLite.

Ages: a ctime can't be set back, so every workspace is as young as the test. Judge with a `now` of one's own, or sweep
with a `min_age` of seconds.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.support.trees import make_tree

_TABLE = """
CREATE TABLE IF NOT EXISTS collab_session (
    id TEXT PRIMARY KEY,
    owner_github_login TEXT,
    name TEXT,
    branch TEXT,
    created_at BIGINT,
    deleted_at BIGINT
)
"""
_DAY = 86_400.0


class FakeVolume:
    """The volume `root` and its registry `database`, both below one directory of the test's unless told otherwise."""

    def __init__(self, directory: Path, database: Path | None = None) -> None:
        """Makes it, or takes the one that is there: another process's, say."""
        self.root = directory / "workspaces"
        self.database = database or directory / "collab.sqlite3"
        #: further keys of the registry's settings, as they stand in the file
        self.registry_keys: dict[str, str] = {}
        self.root.mkdir(parents=True, exist_ok=True)
        self._execute(_TABLE)

    @property
    def source(self) -> str:
        """The registry as the settings take it."""
        return f"sqlite:///{self.database}"

    def live(self, id_: str, entries: int = 3) -> Path:
        """A workspace whose session is live."""
        self.session(id_)
        return self.workspace(id_, entries)

    def deleted(self, id_: str, entries: int = 3, *, days_ago: float = 30.0) -> Path:
        """A workspace whose session was deleted so long ago: an orphan that is explained."""
        self.session(id_, deleted_at=time.time() - days_ago * _DAY)
        return self.workspace(id_, entries)

    def unexplained(self, id_: str, entries: int = 3) -> Path:
        """A workspace that no row tells of."""
        return self.workspace(id_, entries)

    def workspace(self, id_: str, entries: int = 3) -> Path:
        """A directory of so many entries, below `<root>/<id>/repo` as in the source system; no row."""
        workspace = self.root / id_
        make_tree(workspace / "repo", entries)
        return workspace

    def session(self, id_: str, *, deleted_at: float | None = None, title: str = "", owner: str = "octocat") -> None:
        """A row, whether or not there is a directory, in place of an earlier one; times are epoch seconds."""
        created = (deleted_at or time.time()) - 10 * _DAY
        self._execute(
            "INSERT INTO collab_session VALUES (?, ?, ?, 'main', ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " name = excluded.name, owner_github_login = excluded.owner_github_login, created_at = excluded.created_at,"
            " deleted_at = excluded.deleted_at",
            id_,
            owner,
            title or f"Session {id_}",
            int(created * 1000),
            None if deleted_at is None else int(deleted_at * 1000),
        )

    def delete_session(self, id_: str) -> None:
        """The session is deleted now, softly."""
        self._execute("UPDATE collab_session SET deleted_at = ? WHERE id = ?", int(time.time() * 1000), id_)

    def forget_session(self, id_: str) -> None:
        """The row is gone."""
        self._execute("DELETE FROM collab_session WHERE id = ?", id_)

    def revive_session(self, id_: str) -> None:
        """The session is live again."""
        self._execute("UPDATE collab_session SET deleted_at = NULL WHERE id = ?", id_)

    def names(self) -> set[str]:
        """What lies below the root, but for the file with which a sweep says whose root it is."""
        return {entry.name for entry in self.root.iterdir()} - {".sweeper-claim"}

    def settings(self, **policy: str) -> str:
        """A `sweeper.toml` for it; `policy` holds values of that table, such as min_age="1s"."""
        lines = [f'{key} = "{value}"' for key, value in ({"min_age": "1s"} | policy).items()]
        return "\n".join(
            [
                "[volume]",
                f'root = "{self.root}"',
                "[[registry]]",
                f'source = "{self.source}"',
                *(f"{key} = {value}" for key, value in self.registry_keys.items()),
                "[policy]",
                *lines,
                "",
            ]
        )

    def _execute(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)
