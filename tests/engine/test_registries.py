"""Registries that go wrong in mid-sweep, each for real: nothing is removed, and the reason tells what to do.

A sweep reads its registry three times: for the recheck before the first rename, for the confirmation after it, and
right before the first unlink. Each fault comes right before one of these reads.
"""

import gzip
import itertools
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.plan import Request as Asked
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.engine import messages as m
from sweeper_gui.registries import http as _http  # noqa: F401 - what is imported here takes no time of the first read
from sweeper_gui.registries import sql as _sql  # noqa: F401
from sweeper_gui.sweep.ground import Ground
from tests.engine.driving import Driver, settings_of
from tests.registries.postgres import ADMIN_PASSWORD, READER_PASSWORD, PostgreSQL, ServedVolume
from tests.registries.servers import Answer, HttpServer, Proxy, proxy
from tests.support.local import LocalHost
from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume

_READS = (1, 2, 3)
_TOKEN = "token-that-nobody-may-see"
#: Rows enough for a connection to be cut, or to fall silent, in the middle of them.
_MANY = 3_000
_LONG_AGO = 1_700_000_000_000


class WebVolume(FakeVolume):
    """A volume whose registry is an API over its database."""

    def __init__(self, directory: Path, http: HttpServer) -> None:
        super().__init__(directory)
        self.http = http
        token = directory / "token"
        token.write_text(_TOKEN)
        token.chmod(0o600)
        self.registry_keys = {"token_file": f'"{token}"'}
        self.answer(lambda: Answer(self.rows()))

    @property
    def source(self) -> str:
        return self.http.url()

    def answer(self, answer: Answer | Callable[[], Answer]) -> None:
        """From now on the API says this."""
        self.http.answers["/sessions"] = answer

    def rows(self) -> list[dict[str, Any]]:
        """What an honest API says."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("SELECT id, deleted_at FROM collab_session").fetchall()
        return [{"id": id_, "deleted_at": deleted_at} for id_, deleted_at in rows]


@dataclass
class Scene:
    """A volume with a registry that can be broken, and an engine that has listed it."""

    host: LocalHost
    volume: FakeVolume
    undo: ExitStack
    servers: Mapping[str, PostgreSQL] = field(default_factory=dict)
    proxy: Proxy | None = None
    #: further lines of the settings
    more: str = ""

    def __post_init__(self) -> None:
        for number in range(5):
            self.volume.live(f"live-{number}")
        for number in range(3):
            self.volume.deleted(f"gone-{number}")
        self.volume.unexplained("lost-0")
        self.before = self.prints()

    def prints(self) -> dict[str, str]:
        return {name: fingerprint(self.volume.root / name) for name in self.volume.names()}

    def driver(self) -> Driver:
        return Driver(self.host, settings_of(self.volume, self.more, unexplained="remove"))

    def execute(self, statements: str, undone: str = "", server: str = "primary") -> None:
        """In the database, until the end of the test."""
        if undone:
            self.undo.callback(self.servers[server].execute, undone)
        self.servers[server].execute(statements)


Fault = Callable[[Scene], object]


def swept(scene: Scene, fault: Fault, at_read: int) -> tuple[Driver, m.Swept]:
    """Lists and plans while all is well, and sweeps all orphans; the fault comes right before a read."""
    driver = scene.driver()
    planned = driver.run(m.Prepare(Asked(cap=100)))
    assert len(planned.plan.candidates) == 4
    reads = itertools.count(1)
    read = Ground.read_registry

    def breaking(*arguments: Any, **keywords: Any) -> Snapshot:
        if next(reads) == at_read:
            fault(scene)
        return read(*arguments, **keywords)

    with mock.patch.object(Ground, "read_registry", breaking):
        result = driver.run(m.Sweep(planned.plan, planned.plan.digest))
    assert next(reads) > at_read, "the fault never came"
    assert isinstance(result, m.Swept), result
    return driver, result


def check(scene: Scene, fault: Fault, words: str, at_read: int, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is removed, in the sweep and after it; the reason is known and no secret is told."""
    scene.volume.registry_keys["timeout"] = '"3s"' if "3 s" in words or "locked" in words else '"30s"'
    driver, result = swept(scene, fault, at_read)
    report = result.report
    assert report.ending is Ending.STOPPED, report
    assert words in report.problem, report.problem
    assert {str(outcome.result) for outcome in report.outcomes} == (set() if at_read == 1 else {"restored"})
    assert scene.prints() == scene.before
    driver.run(m.Scan())
    assert {str(row.status) for row in driver.rows.values()} == {"unknown"}
    assert driver.registry is not None
    assert words in f"{driver.registry.problems[0]}: {driver.registry.sources[0].hint}"
    logs = "".join(path.read_text() for path in scene.volume.root.parent.glob(".sweeper-*/**/*.json*"))
    told = f"{driver.updates}{report}{driver.run(m.Diagnose())}{logs}{caplog.text}"
    assert not [secret for secret in (READER_PASSWORD, "p%25ssword", ADMIN_PASSWORD, _TOKEN) if secret in told]


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(
    local: LocalHost,
    tmp_path: Path,
    postgres: PostgreSQL,
    standby: PostgreSQL,
    staging: PostgreSQL,
    undo: ExitStack,
) -> Scene:
    """The registry is a server behind a proxy, as behind a name that can be led elsewhere."""
    passing = undo.enter_context(proxy(postgres.port))
    volume = ServedVolume(tmp_path, postgres, passing.port)
    for server in (postgres, staging):
        server.execute(
            f"DELETE FROM collab_session; INSERT INTO collab_session SELECT 'none-' || n, 'octocat', 'None', 'main', "
            f"{_LONG_AGO}, {_LONG_AGO} FROM generate_series(1, {_MANY}) n"
        )
    servers = {"primary": postgres, "standby": standby, "staging": staging}
    scene = Scene(local, volume, undo, servers, passing)
    # The copy has the same ids, and there everything was deleted long ago.
    for name in scene.before:
        staging.execute(f"INSERT INTO collab_session VALUES ('{name}', '', '', '', {_LONG_AGO}, {_LONG_AGO})")
    return scene


def _set_proxy(**values: int) -> Fault:
    def change(scene: Scene) -> None:
        for name, value in values.items():
            setattr(scene.proxy, name, value)

    return change


def _led_to(server: str) -> Fault:
    return lambda scene: _set_proxy(target=scene.servers[server].port)(scene)


def _close_proxy(scene: Scene) -> None:
    assert scene.proxy is not None
    scene.proxy.close()


def _executing(statements: str, undone: str = "") -> Fault:
    return lambda scene: scene.execute(statements, undone)


def _lock_table(scene: Scene) -> None:
    connection = psycopg.connect(scene.servers["primary"].url("admin", ADMIN_PASSWORD))
    scene.undo.callback(connection.close)
    connection.execute("LOCK TABLE collab_session IN ACCESS EXCLUSIVE MODE")


_SHADOWED = f"""
    CREATE SCHEMA staging;
    CREATE TABLE staging.collab_session AS SELECT * FROM public.collab_session;
    UPDATE staging.collab_session SET deleted_at = {_LONG_AGO};
    GRANT USAGE ON SCHEMA staging TO reader; GRANT SELECT ON staging.collab_session TO reader;
    ALTER ROLE reader SET search_path = staging, public
"""

_POSTGRESQL_FAULTS: dict[str, tuple[Fault, str]] = {
    "server down": (_close_proxy, "can't be reached"),
    "cut in mid-read": (_set_proxy(cut_after=50_000), "check the host, the port and the network"),
    "silent in mid-read": (_set_proxy(freeze_after=50_000), "did not answer completely within 3 s"),
    "silent from the start": (_set_proxy(freeze_after=0), "did not answer completely within 3 s"),
    "table locked": (_lock_table, "did not answer completely within 3 s"),
    "wrong password": (
        _executing("ALTER ROLE reader PASSWORD 'other'", f"ALTER ROLE reader PASSWORD '{READER_PASSWORD}'"),
        "check the user and the password in the source",
    ),
    "no table": (
        _executing("ALTER TABLE collab_session RENAME TO moved", "ALTER TABLE moved RENAME TO collab_session"),
        "check 'query'",
    ),
    "no column": (
        _executing(
            "ALTER TABLE collab_session RENAME deleted_at TO gone",
            "ALTER TABLE collab_session RENAME gone TO deleted_at",
        ),
        "check 'query'",
    ),
    "no right": (
        _executing("REVOKE SELECT ON collab_session FROM reader", "GRANT SELECT ON collab_session TO reader"),
        "GRANT SELECT",
    ),
    "rows hidden by a policy": (
        _executing(
            "ALTER TABLE collab_session ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE collab_session DISABLE ROW LEVEL SECURITY",
        ),
        "BYPASSRLS",
    ),
    "empty": (_executing("DELETE FROM collab_session"), "is empty, it names no session at all"),
    "ids lost": (_executing("DELETE FROM collab_session WHERE id LIKE 'live-%'"), "'sweeper bind'"),
    "a standby": (_led_to("standby"), "name the primary server"),
    "a copy behind the same name": (_led_to("staging"), "Does the name lead to a copy?"),
    "a copy in another schema": (
        _executing(_SHADOWED, "ALTER ROLE reader RESET search_path; DROP SCHEMA staging CASCADE"),
        "Does the name lead to a copy?",
    ),
}


@pytest.mark.parametrize("name", _POSTGRESQL_FAULTS)
def test_postgresql_that_goes_wrong_in_mid_sweep(served: Scene, name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault, words = _POSTGRESQL_FAULTS[name]
    check(served, fault, words, _READS[list(_POSTGRESQL_FAULTS).index(name) % 3], caplog)


@pytest.mark.parametrize("at_read", _READS)
def test_postgresql_that_is_gone_at_any_read(served: Scene, at_read: int, caplog: pytest.LogCaptureFixture) -> None:
    check(served, _close_proxy, "can't be reached", at_read, caplog)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(local: LocalHost, tmp_path: Path, http: HttpServer, undo: ExitStack) -> Scene:
    return Scene(local, WebVolume(tmp_path, http), undo)


def _answering(answer: Callable[[WebVolume], Answer]) -> Fault:
    def change(scene: Scene) -> None:
        volume = scene.volume
        assert isinstance(volume, WebVolume)
        volume.answer(answer(volume))

    return change


def _with(headers: dict[str, str], rows: slice = slice(None)) -> Fault:
    return _answering(lambda volume: Answer(volume.rows()[rows], headers=headers))


_HTTP_FAULTS: dict[str, tuple[Fault, str]] = {
    "unavailable": (_answering(lambda _: Answer(b"", 503)), "answered 503"),
    "wrong token": (_answering(lambda _: Answer({"detail": f"bad token {_TOKEN}"}, 401)), "check the token"),
    "half a body": (_answering(lambda v: Answer(v.rows(), missing=10)), "broke off its answer"),
    "half a document": (_answering(lambda v: Answer(Answer(v.rows()).data[:-9])), "is no complete JSON document"),
    "half a gzip": (
        _answering(lambda v: Answer(gzip.compress(Answer(v.rows()).data)[:-20], headers={"Content-Encoding": "gzip"})),
        "is no complete JSON document",
    ),
    "a cut chunk": (_answering(lambda v: Answer(v.rows(), cut_chunk=True)), "broke off its answer"),
    "a login page": (_answering(lambda _: Answer(b"<form>", kind="text/html")), "is this a login page"),
    "a redirect to a login": (
        _answering(lambda _: Answer(b"", 302, {"Location": "https://login.example.org/"})),
        "the token is never sent elsewhere",
    ),
    "an error with status 200": (
        _answering(lambda _: Answer({"success": False, "data": []})),
        "answered with an error",
    ),
    "null": (_answering(lambda _: Answer(None)), "is not a list"),
    "empty": (_answering(lambda _: Answer([])), "is empty, it names no session at all"),
    "a page lost": (_with({"X-Total-Count": "8"}, slice(1, None)), "says that there are 8 sessions but sent 7"),
    "pages in a circle": (_with({"Link": '</sessions>; rel="next"'}), "links its pages in a circle"),
    "a next page elsewhere": (
        _with({"Link": '<http://127.0.0.1:9/sessions>; rel="next"'}),
        "the token is never sent elsewhere",
    ),
    "both live and deleted": (
        _answering(lambda v: Answer([*v.rows(), {"id": "live-0", "deleted_at": _LONG_AGO}])),
        "which of the two counts?",
    ),
    "from a cache that tells its age": (_with({"Age": "1"}), "not the cache before it"),
    "from a cache that says so": (_with({"X-Cache": "HIT from edge"}), "not the cache before it"),
    "an old answer": (_with({"Date": formatdate(time.time() - 60, usegmt=True)}), "or a clock is wrong"),
}


@pytest.mark.parametrize("name", _HTTP_FAULTS)
def test_api_that_goes_wrong_in_mid_sweep(web: Scene, name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault, words = _HTTP_FAULTS[name]
    check(web, fault, words, _READS[list(_HTTP_FAULTS).index(name) % 3], caplog)


# --- SQLite ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(local: LocalHost, tmp_path: Path, undo: ExitStack) -> Scene:
    return Scene(local, FakeVolume(tmp_path), undo)


def _moved(scene: Scene) -> None:
    scene.volume.database.rename(scene.volume.database.with_suffix(".moved"))


def _locked(scene: Scene) -> None:
    writer = sqlite3.connect(scene.volume.database, check_same_thread=False)
    scene.undo.callback(writer.close)
    writer.execute("BEGIN EXCLUSIVE")


def _statement(text: str) -> Fault:
    def run(scene: Scene) -> None:
        with closing(sqlite3.connect(scene.volume.database)) as connection, connection:
            connection.execute(text)

    return run


def _a_link_to_a_copy(scene: Scene) -> None:
    """The copy has the same ids; nothing is lost in it, but what was deleted is another thing."""
    database = scene.volume.database
    copy = database.with_name("staging.sqlite3")
    copy.write_bytes(database.read_bytes())
    database.unlink()
    database.symlink_to(copy)


_WRITER = """
import sqlite3, sys
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("PRAGMA journal_mode=wal")
writer.execute("UPDATE collab_session SET deleted_at = NULL WHERE id LIKE 'gone-%'")
print("written", flush=True)
sys.stdin.read()
"""


def _log_removed(scene: Scene) -> None:
    """The writer goes on, and its log was deleted by somebody: what it commits is seen by nobody else."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, scene.volume.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    scene.undo.callback(writer.communicate)
    assert writer.stdout is not None
    writer.stdout.readline()
    os.unlink(f"{scene.volume.database}-wal")


def _log_and_index_removed(scene: Scene) -> None:
    _log_removed(scene)
    os.unlink(f"{scene.volume.database}-shm")


_SQLITE_FAULTS: dict[str, tuple[Fault, str]] = {
    "moved away": (_moved, "check the path of this registry"),
    "locked": (_locked, "is locked by another program"),
    "no table": (_statement("ALTER TABLE collab_session RENAME TO moved"), "check 'query'"),
    "no column": (_statement("ALTER TABLE collab_session RENAME deleted_at TO gone"), "check 'query'"),
    "empty": (_statement("DELETE FROM collab_session"), "is empty, it names no session at all"),
    "ids lost": (_statement("DELETE FROM collab_session WHERE id LIKE 'live-%'"), "'sweeper bind'"),
    "overwritten": (lambda s: s.volume.database.write_bytes(b"something else"), "is no SQLite database"),
    "cut short": (lambda s: os.truncate(s.volume.database, 0), "is empty"),
    "a link to a copy": (_a_link_to_a_copy, "Does the name lead to a copy?"),
    "its log removed": (_log_removed, "find out who removes these files"),
    "its log and index removed": (_log_and_index_removed, "find out who removes these files"),
}


@pytest.mark.parametrize("name", _SQLITE_FAULTS)
def test_sqlite_that_goes_wrong_in_mid_sweep(scene: Scene, name: str, caplog: pytest.LogCaptureFixture) -> None:
    fault, words = _SQLITE_FAULTS[name]
    # A link to a copy is only seen by who knows what was there before: the sweep has to have bound the volume.
    at_read = 2 if name == "a link to a copy" else _READS[list(_SQLITE_FAULTS).index(name) % 3]
    check(scene, fault, words, at_read, caplog)


# --- several, and ids in another form --------------------------------------------------------------------------------


@pytest.mark.parametrize("at_read", _READS)
def test_one_of_two_registries_that_fails_at_any_read_stops_all(scene: Scene, tmp_path: Path, at_read: int) -> None:
    second = tmp_path / "more-ids"
    second.write_text("elsewhere-1\n")
    scene.more = f'[[registry]]\nsource = "file:{second}"\n'
    driver, result = swept(scene, lambda _: second.unlink(), at_read)
    assert result.report.ending is Ending.STOPPED
    assert "more-ids: does not exist: check the path" in result.report.problem
    assert scene.prints() == scene.before
    driver.run(m.Scan())
    assert {str(row.status) for row in driver.rows.values()} == {"unknown"}


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3", "6F1C9A52-0F0E-4C7B-9D51-2F4A35A1B2C3"),
        ("6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3", "6f1c9a520f0e4c7b9d512f4a35a1b2c3"),
        ("6f1c9a520f0e4c7b9d512f4a35a1b2c3", "{6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3}"),
        ("team-7", " team-7 "),
        ("0042", "42"),
    ],
)
def test_directory_whose_session_lives_under_another_form_of_its_id_is_unknown(
    scene: Scene, name: str, id_: str
) -> None:
    scene.volume.deleted(name)
    scene.volume.session(id_)
    driver = scene.driver()
    planned = driver.run(m.Prepare(Asked(names=(name.encode(),), remove_doubtful=True)))
    assert not planned.plan.candidates
    row = driver.rows[name.encode()]
    assert str(row.status) == "unknown"
    assert "looks like the live session" in row.verdict.reason
