"""SQLite, with real files and real writers: read-only in every sense, and every way in which it fails."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from sweeper_gui.core.snapshot import RegistryIdentity, Session
from sweeper_gui.registries import identity_of, read_all
from sweeper_gui.settings import DEFAULT_QUERY
from tests.registries.conftest import registry
from tests.support.nobody import as_nobody
from tests.support.slowfs import slow_volume

TABLE = """
CREATE TABLE collab_session (
    id text PRIMARY KEY, owner_github_login text, name text, branch text, created_at integer, deleted_at integer);
INSERT INTO collab_session VALUES
    ('live-1', 'octocat', 'One', 'main', 1700000000000, NULL),
    ('gone-1', 'hubot', 'Two', 'main', 1700000000000, 1700000100000);
"""

#: Keeps the write-ahead log as a process that dies leaves it: committed, not yet in the database file.
WRITER = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("INSERT INTO collab_session (id) VALUES ('in-the-log')")
print("written", flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return created(tmp_path / "collab.db")


def created(path: Path, journal: str = "delete") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.executescript(TABLE)
    return path


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def ids(result) -> list[str]:
    assert result.error is None, result.error
    return [session.id for session in result.sessions]


def files(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in directory.iterdir()}


def test_the_source_systems_table_is_read_by_default_and_nothing_changes(read, database):
    before = files(database.parent)
    result = read(url(database))
    assert result.sessions == (
        Session("live-1", False, "One", "octocat", 1700000000.0, None),
        Session("gone-1", True, "Two", "hubot", 1700000000.0, 1700000100.0),
    )
    assert result.knows_deleted
    assert files(database.parent) == before


@pytest.mark.parametrize("name", ["with space.db", "a?mode=rwc", "a#b", "100%", "grün.db", "%41.db"])
def test_a_path_may_hold_any_character(read, tmp_path, name):
    created(tmp_path / name)
    escaped = name.replace("%", "%25").replace("?", "%3F")
    assert ids(read(f"sqlite:///{tmp_path}/{escaped}")) == ["live-1", "gone-1"]


def test_a_missing_file_is_not_created(read, tmp_path):
    result = read(url(tmp_path / "none.db"))
    assert result.error == "does not exist"
    assert "never created" in result.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_vanishes_after_the_first_look_is_not_created(tmp_path):
    path = created(tmp_path / "collab.db", "wal")

    def vanish(path: Path) -> str | None:
        path.unlink(missing_ok=True)
        return None

    (result,) = read_all([registry(url(path))], network_file_system=vanish).reads
    assert "can't be opened" in (result.error or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_bytes(b"id\nlive-1\n"), "is no SQLite database"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\0" * 4096), "is no SQLite database"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "does not exist"),
    ],
)
def test_what_is_no_database_is_explained(read, tmp_path, make, error):
    make(tmp_path / "collab.db")
    assert error in read(url(tmp_path / "collab.db")).error


def test_a_damaged_database_is_an_error(read, database):
    data = bytearray(database.read_bytes())
    data[4096:8192] = os.urandom(4096)
    database.write_bytes(data)
    result = read(url(database))
    assert "is damaged" in result.error
    assert result.sessions == ()


def test_a_cut_database_is_an_error(read, database):
    with closing(sqlite3.connect(database)) as connection:
        rows = [(f"s{number}", "x" * 500) for number in range(1_000)]
        connection.executemany("INSERT INTO collab_session (id, name) VALUES (?, ?)", rows)
        connection.commit()
    os.truncate(database, database.stat().st_size // 2)
    result = read(url(database))
    assert result.error
    assert result.sessions == ()


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM collab_session",
        "DELETE FROM collab_session RETURNING id",
        "UPDATE collab_session SET deleted_at = 1 RETURNING id",
        "SELECT id FROM collab_session; DELETE FROM collab_session",
        "CREATE TABLE x (id text)",
        "DROP TABLE collab_session",
        "ATTACH '{other}' AS other",
        "VACUUM INTO '{other}'",
        "PRAGMA journal_mode = WAL",
        "BEGIN IMMEDIATE",
    ],
)
def test_nothing_but_a_select_is_run(read, database, query):
    before = files(database.parent)
    result = read(url(database), query=query.format(other=database.parent / "other.db"))
    assert result.error
    assert "one SELECT" in result.hint
    assert files(database.parent) == before


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT id FROM sessions", "no such table: sessions"),
        ("SELECT session_id AS id FROM collab_session", "no such column: session_id"),
        ("SELEKT id", "syntax error"),
        ("SELECT name FROM collab_session", "returns no column 'id', but name"),
        ("SELECT id, name AS ID FROM collab_session", "'ID' twice"),
        ("SELECT 1.5 AS id", "no text"),
        ("SELECT NULL AS id", "empty id"),
        ("SELECT 'a' AS id, 0 AS deleted_at", "deleted_at of session 'a' is no time that makes sense: '0'"),
        ("SELECT CAST(x'ff41' AS text) AS id", "UTF-8"),
        ("", "must"),
    ],
)
def test_a_wrong_query_is_explained(read, database, query, error):
    result = read(url(database), query=query or "-- nothing")
    assert error in f"{result.error} {result.hint}"
    assert result.sessions == ()


def test_the_query_is_passed_on_as_it_is(read, database):
    query = "SELECT id, 'a:b %s :name ?' AS title FROM collab_session WHERE id LIKE 'live%' -- :x"
    (session,) = read(url(database), query=query).sessions
    assert session.title == "a:b %s :name ?"


def test_a_view_and_a_recursive_query_are_selects(read, database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE VIEW sessions AS SELECT lower(id) AS id, deleted_at FROM collab_session")
    assert ids(read(url(database), query="SELECT id FROM sessions ORDER BY id DESC")) == ["live-1", "gone-1"]
    query = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 3) SELECT id FROM n"
    assert ids(read(url(database), query=query)) == ["1", "2", "3"]


# --- locks and logs --------------------------------------------------------------------------------------------------


def test_a_locked_database_is_an_error_after_the_timeout(read, database):
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        result = read(url(database), timeout=3)
        assert "is locked by another program" in result.error
        assert 1 < time.monotonic() - start < 10
        writer.execute("ROLLBACK")
    assert ids(read(url(database))) == ["live-1", "gone-1"]


def test_a_lock_that_is_given_back_in_time_is_waited_for(read, database):
    with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.3, writer.execute, ["COMMIT"])
        release.start()
        assert ids(read(url(database), timeout=20)) == ["live-1", "gone-1"]
        release.join()


def test_rows_that_are_only_in_the_write_ahead_log_are_read(read, tmp_path):
    path = created(tmp_path / "collab.db", "wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO collab_session (id) VALUES ('in-the-log')")
        assert b"in-the-log" not in path.read_bytes()
        assert ids(read(url(path))) == ["live-1", "gone-1", "in-the-log"]
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM collab_session")
        assert ids(read(url(path))) == ["live-1", "gone-1", "in-the-log"]
        writer.execute("ROLLBACK")


def test_a_write_ahead_log_that_a_dead_writer_left_is_read(read, tmp_path):
    path = created(tmp_path / "collab.db", "wal")
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
    assert path.with_name("collab.db-wal").exists()
    before = path.read_bytes()
    assert ids(read(url(path))) == ["live-1", "gone-1", "in-the-log"]
    assert path.read_bytes() == before


def test_who_may_only_read_reads_the_log_too(nobodys):
    path = created(nobodys / "collab.db", "wal")
    nobodys.chmod(0o755)
    os.chown(nobodys, 0, 0)
    settings = registry(url(path))
    as_nobody(read_all, [])  # what nobody can't read can't be imported as nobody
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO collab_session (id) VALUES ('in-the-log')")
        (result,) = as_nobody(read_all, [settings]).reads
        assert ids(result) == ["live-1", "gone-1", "in-the-log"]


def test_a_log_that_can_not_be_read_is_an_error_and_not_skipped(nobodys):
    path = created(nobodys / "collab.db", "wal")
    nobodys.chmod(0o755)
    os.chown(nobodys, 0, 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO collab_session (id) VALUES ('in-the-log')")
        path.with_name("collab.db-wal").chmod(0o600)
        path.with_name("collab.db-shm").chmod(0o600)
        (result,) = as_nobody(read_all, [registry(url(path))]).reads
        assert result.error
        assert result.sessions == ()
        assert "-wal" in (result.hint or "")


def test_a_file_that_may_not_be_read_names_the_user(nobodys):
    path = created(nobodys / "collab.db")
    path.chmod(0o600)
    (result,) = as_nobody(read_all, [registry(url(path))]).reads
    assert result.error == "may not be read by this user"
    assert "65534" in (result.hint or "")


def test_a_hot_journal_of_a_crashed_writer_is_an_error(read, tmp_path):
    path = created(tmp_path / "collab.db")
    code = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
connection.executemany("INSERT INTO collab_session (id, name) VALUES (?, ?)",
                       [(f"half-{n}", "x" * 2000) for n in range(500)])
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.with_name("collab.db-journal").exists()
    result = read(url(path))
    assert "was left in the middle of a change" in result.error
    assert result.sessions == ()


def test_wal_on_a_network_file_system_is_refused_and_says_what_to_do(tmp_path):
    path = created(tmp_path / "collab.db", "wal")
    asked: list[Path] = []

    def nfs(path: Path) -> str | None:
        asked.append(path)
        return "nfs4"

    (result,) = read_all([registry(url(path))], network_file_system=nfs).reads
    assert "WAL mode on a network file system (nfs4)" in (result.error or "")
    assert "exec:ssh" in (result.hint or "")
    assert "HTTP" in (result.hint or "")
    assert asked == [path]


def test_another_journal_on_a_network_file_system_is_read(database):
    (result,) = read_all([registry(url(database))], network_file_system=lambda _: "nfs4").reads
    assert len(ids(result)) == 2


# --- time ------------------------------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n WHERE id < 0"


def test_an_endless_query_ends_at_the_time_limit(read, database):
    start = time.monotonic()
    assert "within 0.4 s" in read(url(database), query=ENDLESS, timeout=0.4).error
    assert time.monotonic() - start < 3


def test_a_read_is_cancelled_at_once(database):
    cancel = threading.Event()
    timer = threading.Timer(0.2, cancel.set)
    timer.start()
    start = time.monotonic()
    (result,) = read_all([registry(url(database), query=ENDLESS, timeout=60)], cancel=cancel).reads
    assert result.error == "cancelled"
    assert time.monotonic() - start < 2
    timer.join()


def test_more_sessions_than_fit_are_an_error(read, database, monkeypatch):
    monkeypatch.setattr("sweeper_gui.registries.rows.MAX_SESSIONS", 1)
    assert "more than 1 sessions" in read(url(database)).error


def test_the_identity_is_the_file():
    identity = identity_of(registry("sqlite+pysqlite:////var/lib/a%20b.db"))
    assert identity == RegistryIdentity("sqlite", path="/var/lib/a b.db", query=DEFAULT_QUERY)


def test_wal_on_a_mounted_network_file_system_is_refused(read, tmp_path):
    path = created(tmp_path / "collab.db", "wal")
    with slow_volume(tmp_path / "backing", tmp_path / "mounted"):
        (tmp_path / "mounted" / "collab.db").write_bytes(path.read_bytes())
        (tmp_path / "link.db").symlink_to(tmp_path / "mounted" / "collab.db")
        for place in (tmp_path / "mounted" / "collab.db", tmp_path / "link.db"):
            result = read(url(place))
            assert "is in WAL mode on a network file system (fuse" in result.error
            assert "exec:ssh" in result.hint


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    connection.execute("BEGIN EXCLUSIVE")
except sqlite3.OperationalError:
    print("locked")
"""


def test_one_read_does_not_take_the_lock_away_from_another(database):
    """A process that closes a file gives back all its locks on it, and a writer could change pages under the other."""

    def locked() -> bool:
        return subprocess.run([sys.executable, "-c", LOCKER, database], capture_output=True, check=True).stdout != b""

    first, second = threading.Event(), threading.Event()
    one = "(SELECT 0 AS zero FROM collab_session LIMIT 1)"
    endless = f"WITH RECURSIVE n(id) AS (SELECT 0 UNION ALL SELECT zero FROM n, {one}) SELECT id FROM n WHERE id < 0"
    long = threading.Thread(
        target=read_all, args=([registry(url(database), query=endless, timeout=60)],), kwargs={"cancel": first}
    )
    long.start()
    while not locked():
        time.sleep(0.01)
    short = threading.Thread(target=read_all, args=([registry(url(database), timeout=60)],), kwargs={"cancel": second})
    short.start()
    short.join(1)  # it waits for its turn, and not for the end of the test
    assert locked()
    second.set()
    short.join()
    assert locked()
    first.set()
    long.join()
