"""PostgreSQL, with a real server: what is read, and every way in which it fails."""

import signal
import socket
import threading
import time

import msgspec
import psycopg
import pytest

from sweeper_gui.core.snapshot import RegistryIdentity, Session
from sweeper_gui.registries import identity_of, read_all
from sweeper_gui.settings import DEFAULT_QUERY
from tests.registries.conftest import registry
from tests.registries.postgres import ADMIN_PASSWORD, READER_PASSWORD, PostgreSQL, directory_for_server, remove
from tests.registries.servers import proxy

NUMBERS = "SELECT n::text AS id, repeat('x', 200) AS title FROM generate_series(1, {}) AS n"


def test_the_source_systems_table_is_read_by_default(read, postgres):
    before = time.time()
    result = read(postgres.url())
    assert result.error is None
    assert result.sessions == (
        Session("live-1", False, "One", "octocat", 1700000000.0, None),
        Session("gone-1", True, "Two", "hubot", 1700000000.0, 1700000100.0),
    )
    assert result.knows_deleted
    assert before <= result.started_at <= result.finished_at <= time.time()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_is_understood(read, postgres, scheme):
    assert read(postgres.url().replace("postgresql", scheme, 1)).error is None


def test_the_query_is_passed_on_as_it_is(read, postgres):
    query = """
        SELECT id::text, name AS title, deleted_at -- a comment: with 'signs' and %s and :name
        FROM collab_session WHERE id LIKE '%-1' AND name <> ':x' AND 7 % 4 = 3
    """
    assert [session.id for session in read(postgres.url(), query=query).sessions] == ["live-1", "gone-1"]


def test_every_type_that_an_id_or_a_time_may_have_is_read(read, postgres):
    query = """
        SELECT '123e4567-e89b-12d3-a456-426614174000'::uuid::text AS id, now()::timestamptz - now()::timestamptz AS x,
               '2024-10-03 12:00+02'::timestamptz AS deleted_at, '2024-10-01 00:00'::timestamp AS created_at
        UNION ALL SELECT 42::text, NULL, NULL, NULL
    """
    deleted, live = read(postgres.url(), query=query).sessions
    assert (deleted.id, deleted.deleted_at, deleted.created_at) == (
        "123e4567-e89b-12d3-a456-426614174000",
        1727949600.0,
        1727740800.0,
    )
    assert (live.id, live.deleted) == ("42", False)
    for kind, id_ in [
        ("'123e4567-e89b-12d3-a456-426614174000'::uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("decode('123e4567e89b12d3a456426614174000', 'hex')", "123e4567-e89b-12d3-a456-426614174000"),
        ("42::bigint", "42"),
        ("42::numeric", "42"),
        ("'ab'::char(2)", "ab"),
    ]:
        (session,) = read(postgres.url(), query=f"SELECT {kind} AS id").sessions
        assert session.id == id_


@pytest.mark.parametrize(
    "kind", ["'infinity'::timestamptz", "'0001-01-01 BC'::timestamptz", "0", "''", "'NaN'::numeric"]
)
def test_a_time_that_is_none_makes_the_read_worthless(read, postgres, kind):
    result = read(postgres.url(), query=f"SELECT 'a' AS id, {kind} AS deleted_at")
    assert result.error
    assert result.sessions == ()


def test_many_rows_come_without_being_held_twice(read, postgres):
    result = read(postgres.url(), query=NUMBERS.format(50_000), timeout=60)
    assert len(result.sessions) == 50_000


def test_nothing_can_be_written(read, postgres):
    admin = postgres.url("admin", ADMIN_PASSWORD)
    for query in [
        "DELETE FROM collab_session RETURNING id",
        "WITH gone AS (DELETE FROM collab_session RETURNING id) SELECT id FROM gone",
        "SELECT id FROM collab_session; DELETE FROM collab_session",
        "SELECT id FROM collab_session; COMMIT; DELETE FROM collab_session",
        "COMMIT; DELETE FROM collab_session; SELECT 'a' AS id",
        "CREATE TABLE x (id text)",
        "SELECT setval('s', 1)::text AS id",
    ]:
        if "setval" in query:
            postgres.execute("CREATE SEQUENCE IF NOT EXISTS s")
        result = read(admin, query=query)
        assert result.error, query
        assert "one SELECT" in (result.hint or ""), query
    assert len(read(admin).sessions) == 2


def test_the_read_is_one_read_only_transaction_with_a_time_limit(read, postgres):
    query = """
        SELECT concat_ws(' ', current_setting('transaction_read_only'), current_setting('statement_timeout'),
                         current_setting('application_name')) AS id
    """
    (session,) = read(postgres.url(), query=query, timeout=7).sessions
    read_only, limit, application = session.id.split()
    assert (read_only, application) == ("on", "sweeper")
    assert 0 < int(limit.removesuffix("ms")) <= 7_000


@pytest.mark.parametrize(
    ("query", "error", "hint"),
    [
        ("SELECT id FROM no_such_table", 'relation "no_such_table" does not exist', "is this the right database"),
        ("SELECT no_such_column AS id FROM collab_session", "does not exist", "is this the right database"),
        ("SELECT id FROM private", "permission denied for table private", "GRANT SELECT"),
        ("SELEKT id", "syntax error", "one SELECT"),
        ("SELECT name, owner_github_login FROM collab_session", "'id', but name, owner_github_login", "AS id"),
        ("SELECT id, name AS id FROM collab_session", "'id' twice", "once"),
        ("SELECT NULL AS id", "empty id", "leave such rows out"),
        ("SELECT '' AS id", "empty id", "leave such rows out"),
        ("SELECT 1.5 AS id", "no text", "CAST"),
        (
            "SELECT 'a' AS id, x AS deleted_at FROM (VALUES (1700000000), (NULL)) AS t(x)",
            "both live and deleted",
            "one",
        ),
    ],
)
def test_a_wrong_query_is_explained(read, postgres, query, error, hint):
    result = read(postgres.url(), query=query)
    assert error in (result.error or "")
    assert hint in (result.hint or "")
    assert result.sessions == ()


def test_an_empty_table_is_no_error_but_empty(read, postgres):
    result = read(postgres.url(), query="SELECT id, deleted_at FROM collab_session WHERE false")
    assert (result.error, result.sessions) == (None, ())


@pytest.mark.parametrize(
    ("user", "password", "database", "error"),
    [
        ("reader", "wrong-secret", "postgres", "password authentication failed"),
        ("nobody", "wrong-secret", "postgres", "password authentication failed"),
        ("reader", READER_PASSWORD, "nothing", 'database "nothing" does not exist'),
    ],
)
def test_who_is_not_let_in_is_told_why_and_no_password(read, postgres, user, password, database, error):
    result = read(postgres.url(user, password, database))
    assert error in result.error
    assert "check the" in result.hint
    assert "wrong-secret" not in repr(result)


def test_a_server_that_is_down_is_told(read, postgres):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = read(f"postgresql://reader:secret-word@127.0.0.1:{unused.getsockname()[1]}/postgres")
    assert "can't be reached" in result.error
    assert "refused" in result.error
    assert "secret-word" not in repr(result)


def test_a_slow_query_ends_at_the_time_limit(read, postgres):
    start = time.monotonic()
    result = read(postgres.url(), query="SELECT pg_sleep(30)::text AS id", timeout=0.5)
    assert "within 0.5 s" in result.error
    assert "timeout" in result.hint
    assert time.monotonic() - start < 5


def test_a_connection_that_is_cut_half_way_leaves_nothing(read, postgres):
    with proxy(postgres.port, cut_after=200_000) as passing:
        source = postgres.url().replace(str(postgres.port), str(passing.port))
        result = read(source, query=NUMBERS.format(20_000))
    assert result.error
    assert result.sessions == ()


@pytest.mark.parametrize("freeze_after", [0, 200_000])
def test_a_server_that_falls_silent_ends_at_the_time_limit(read, postgres, freeze_after):
    with proxy(postgres.port, freeze_after=freeze_after) as passing:
        source = postgres.url().replace(str(postgres.port), str(passing.port))
        start = time.monotonic()
        result = read(source, query=NUMBERS.format(20_000), timeout=1)
        assert "within 1 s" in result.error
        assert result.sessions == ()
        assert time.monotonic() - start < 5


def test_a_read_is_cancelled_at_once(postgres):
    cancel = threading.Event()
    settings = registry(postgres.url(), query="SELECT pg_sleep(30)::text AS id", timeout=30)
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    start = time.monotonic()
    (result,) = read_all([settings], cancel=cancel).reads
    assert result.error == "cancelled"
    assert time.monotonic() - start < 2
    timer.join()


def test_a_server_that_crashes_meanwhile_leaves_nothing(read):
    directory = directory_for_server()
    server = PostgreSQL.created(directory)
    crash = threading.Timer(0.3, server.stop, [signal.SIGQUIT])
    crash.start()
    try:
        result = read(server.url(), query="SELECT pg_sleep(30)::text AS id")
        assert result.error
        assert result.sessions == ()
    finally:
        crash.join()
        remove(directory)


def test_a_standby_is_not_trusted_unless_told(read, postgres, standby):
    result = read(standby.url())
    assert "standby" in result.error
    assert "primary" in result.hint
    assert result.sessions == ()
    assert len(read(standby.url(), allow_replica=True).sessions) == 2


def test_text_of_a_database_without_an_encoding_is_read_as_utf_8(read, postgres):
    postgres.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'")
    url = postgres.url("admin", ADMIN_PASSWORD, "ascii")
    (session,) = read(url, query="SELECT 'grün-1234567890' AS id").sessions
    assert session.id == "grün-1234567890"
    with psycopg.connect(url) as connection:
        connection.execute(r"CREATE TABLE t AS SELECT E'\xff-123456789012345'::text AS id")
    assert read(url, query="SELECT id FROM t").error


@pytest.mark.parametrize(
    ("source", "variables", "identity"),
    [
        (
            "postgresql://u:p@DB.example.org/collab",
            {},
            RegistryIdentity("postgresql", "db.example.org", 5432, "collab"),
        ),
        ("postgresql+psycopg://u@h:6432/c%20d", {}, RegistryIdentity("postgresql", "h", 6432, "c d")),
        ("postgresql:///c?host=/run/PG&port=7", {}, RegistryIdentity("postgresql", "/run/PG", 7, "c")),
        ("postgresql:///c?host=a&host=b", {}, RegistryIdentity("postgresql", "a,b", 5432, "c")),
        ("postgres:///c", {"PGHOST": "elsewhere", "PGPORT": "8"}, RegistryIdentity("postgresql", "elsewhere", 8, "c")),
        ("postgres:///c", {}, RegistryIdentity("postgresql", "localhost", 5432, "c")),
        # parameters replace what stands before them, and libpq's variables lead elsewhere as well
        ("postgresql://a/c?host=b&port=7&dbname=d", {}, RegistryIdentity("postgresql", "b", 7, "d")),
        ("postgresql://a/c?hostaddr=10.0.0.9", {}, RegistryIdentity("postgresql", "a[10.0.0.9]", 5432, "c")),
        ("postgresql://a/c", {"PGHOSTADDR": "10.0.0.9"}, RegistryIdentity("postgresql", "a[10.0.0.9]", 5432, "c")),
        ("postgresql:///c?service=s", {}, RegistryIdentity("postgresql", "by the service s", 5432, "c")),
        ("postgresql://a/c?host=b&host=d&port=1&port=2", {}, RegistryIdentity("postgresql", "b,d:1,2", None, "c")),
    ],
)
def test_the_identity_names_the_place_and_no_secret(monkeypatch, source, variables, identity):
    for name in ("PGHOST", "PGPORT", "PGHOSTADDR", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert identity_of(registry(source)) == msgspec.structs.replace(identity, query=DEFAULT_QUERY)


def test_what_a_policy_hides_is_an_error_and_not_left_out(read, postgres):
    """A row-level policy leaves sessions out without a word, and each would look like one that never was."""
    postgres.execute(
        "CREATE TABLE guarded (id text, deleted_at bigint); INSERT INTO guarded VALUES ('a', NULL), ('b', NULL);"
        "GRANT SELECT ON guarded TO reader; CREATE POLICY one ON guarded USING (id = 'a');"
        "ALTER TABLE guarded ENABLE ROW LEVEL SECURITY"
    )
    try:
        result = read(postgres.url(), query="SELECT * FROM guarded")
        assert "row-level security" in result.error
        assert "BYPASSRLS" in result.hint
        assert not result.sessions
    finally:
        postgres.execute("DROP TABLE guarded")


def test_a_server_says_which_one_it_is(read, postgres):
    answered = read(postgres.url()).identity.answered
    assert answered.startswith("the database postgres with the schemas public in the cluster ")
    assert answered.rpartition(" ")[2].isdecimal()
    postgres.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        assert read(postgres.url()).identity.answered == "the database postgres with the schemas public"
    finally:
        postgres.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
