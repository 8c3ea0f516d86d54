"""A registry in a database: SQLite or PostgreSQL, through SQLAlchemy. Nothing is ever written."""

import math
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import Dialect, ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sweeper_gui.registries.base import Attempt, RegistryError, quoted
from sweeper_gui.registries.rows import Gatherer, Sessions, fields_of
from sweeper_gui.registries.sqlite_files import NetworkCheck, trusted_files
from sweeper_gui.settings.model import RegistrySettings, sql_dialect, sqlite_path

_ROWS_AT_ONCE = 5_000
#: After how many of SQLite's instructions the time is looked at: some milliseconds.
_SQLITE_STEPS = 50_000
_ALLOWED_IN_SQLITE = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)


def read_sql(settings: RegistrySettings, attempt: Attempt, network_file_system: NetworkCheck) -> Sessions:
    """All sessions that the query returns. Raises `RegistryError`.

    `network_file_system` says of a path which network file system it lies on, None for a local one.
    """
    source = settings.source.get_secret_value()
    sqlite = sql_dialect(source) == "sqlite"
    try:
        if sqlite:
            return _read_sqlite(settings, sqlite_path(source), attempt, network_file_system)
        return _read_postgresql(settings, attempt)
    except (SQLAlchemyError, sqlite3.Error, sqlite3.Warning, psycopg.Error, UnicodeDecodeError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        if not getattr(cause, "sqlite_errorname", "").startswith("SQLITE_BUSY"):  # its time was spent on waiting
            attempt.check()  # stopping it causes errors as well
        raise _explained(cause, attempt) from None


def _gathered(connection: Connection, query: str, attempt: Attempt) -> Sessions:
    """The query's sessions. The text goes to the driver as it is, so that `::text` and `%` mean what they say."""
    connection = connection.execution_options(stream_results=True, no_parameters=True)
    with connection.exec_driver_sql(query) as result:
        if not result.returns_rows:
            raise RegistryError("has a query that returns no rows", _ONE_SELECT)
        names = tuple(result.keys())
        fields = fields_of(names)
        gatherer = Gatherer()
        for rows in result.partitions(_ROWS_AT_ONCE):
            attempt.check()
            for row in rows:
                gatherer.take(dict(zip(names, row, strict=True)), fields)
    return gatherer.sessions()


def _explained(error: BaseException, attempt: Attempt) -> RegistryError:
    if isinstance(error, sqlite3.Error | sqlite3.Warning):
        return _sqlite_error(error, attempt)
    if isinstance(error, psycopg.Error):
        return _postgresql_error(error, attempt)
    return RegistryError(f"can't be read: {quoted(str(error))}", "check the URL and the query of this registry")


# --- SQLite ----------------------------------------------------------------------------------------------------------


def _read_sqlite(
    settings: RegistrySettings, path: Path, attempt: Attempt, network_file_system: NetworkCheck
) -> Sessions:
    engine = create_engine("sqlite://", creator=lambda: _open_sqlite(path, attempt), poolclass=NullPool)
    with trusted_files(path, attempt, network_file_system), engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        # What the connection does for itself is done now; the user's query may only select.
        driver.set_authorizer(_only_selecting)
        sessions = _gathered(connection, settings.query, attempt)
    # A link may lead to another copy today.
    return msgspec.structs.replace(sessions, answered=f"the file {os.path.realpath(path)}")


def _open_sqlite(path: Path, attempt: Attempt) -> sqlite3.Connection:
    # mode=ro never creates and never writes, but does see the write-ahead log; immutable=1 would miss it.
    url = f"file:{quote(str(path))}?mode=ro"
    # A lock is waited for a little less than the whole time, so that it is named as the reason.
    connection = sqlite3.connect(url, uri=True, timeout=attempt.remaining() * 0.9, check_same_thread=False)
    connection.set_progress_handler(lambda: int(attempt.over), _SQLITE_STEPS)
    return connection


def _only_selecting(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED_IN_SQLITE else sqlite3.SQLITE_DENY


def _sqlite_error(error: sqlite3.Error | sqlite3.Warning, attempt: Attempt) -> RegistryError:
    name = getattr(error, "sqlite_errorname", "")
    text = quoted(str(error))
    if name == "SQLITE_INTERRUPT":
        return attempt.timeout()
    for prefix, message, hint in _SQLITE_ERRORS:
        if name.startswith(prefix):
            return RegistryError(message.format(text), hint)
    if "one statement" in text or "not authorized" in text:
        return RegistryError("has a query that does more than select", _ONE_SELECT)
    return RegistryError(f"refuses the query: {text}", "check 'query': is this the right database?")


_ONE_SELECT = "the query must be one SELECT and nothing else"

_SQLITE_ERRORS = (
    ("SQLITE_BUSY", "is locked by another program for longer than the timeout", "try again, or raise 'timeout'"),
    ("SQLITE_AUTH", "has a query that does more than select", _ONE_SELECT),
    (
        "SQLITE_CANTOPEN",
        "can't be opened: {}",
        "in WAL mode its -shm and -wal files must be readable, or the program that writes it must be running",
    ),
    (
        "SQLITE_READONLY",
        "was left in the middle of a change that only a writer can finish: {}",
        "open it once with the program that it belongs to",
    ),
    ("SQLITE_NOTADB", "is no SQLite database, or an encrypted one", "check the path of this registry"),
    ("SQLITE_CORRUPT", "is damaged: {}", "check it with: sqlite3 FILE 'PRAGMA integrity_check'"),
    ("SQLITE_IOERR", "can't be read: {}", "check the disk that it lies on"),
    ("SQLITE_PROTOCOL", "is being locked by too many others: {}", "try again"),
)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def _read_postgresql(settings: RegistrySettings, attempt: Attempt) -> Sessions:
    with ExitStack() as stack:
        engine = _postgresql_engine(settings, attempt, stack)
        connection = stack.enter_context(engine.connect().execution_options(postgresql_readonly=True))
        with connection.begin():
            milliseconds = max(1, int(attempt.remaining() * 1000))
            # LOCAL to the transaction: a start-up parameter would be refused by PgBouncer
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
            if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one() and not settings.allow_replica:
                raise RegistryError(
                    "is a standby server: it may lag behind and not know the newest sessions",
                    "name the primary server; allow_replica = true trusts this one all the same",
                )
            # A row-level policy would leave sessions out without a word: with this it is an error.
            connection.exec_driver_sql("SET LOCAL row_security = off")
            answered = _postgresql_answer(connection)
            # Streaming declares a cursor, which PostgreSQL does for one SELECT only.
            sessions = _gathered(connection, settings.query, attempt)
            return msgspec.structs.replace(sessions, answered=answered)


def _postgresql_answer(connection: Connection) -> str:
    """Which database this is, as it says itself: a name may lead to a staging copy today.

    A dump that was restored elsewhere is another cluster. A copy of the files has the same identifier: there only the
    configured place tells.
    """
    database, schemas = connection.exec_driver_sql(
        "SELECT current_database(), array_to_string(current_schemas(false), ', ')"
    ).one()
    words = f"the database {database} with the schemas {schemas or 'none'}"
    try:
        with connection.begin_nested():
            cluster = connection.exec_driver_sql("SELECT system_identifier FROM pg_control_system()").scalar_one()
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedFunction):
            raise
        return words
    return f"{words} in the cluster {cluster}"


def _postgresql_engine(settings: RegistrySettings, attempt: Attempt, stack: ExitStack) -> Engine:
    url = make_url(settings.source.get_secret_value()).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        poolclass=NullPool,
        use_native_hstore=False,
        connect_args={
            "connect_timeout": math.ceil(attempt.remaining()),
            "client_encoding": "utf8",
            "application_name": "sweeper",
            "prepare_threshold": None,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, _: object, arguments: list[Any], parameters: dict[str, Any]) -> DBAPIConnection:
        connection = dialect.connect(*arguments, **parameters)
        stack.enter_context(_cuttable(connection.fileno(), attempt))
        return connection

    @event.listens_for(engine, "handle_error")
    def close_cursor(context: ExceptionContext) -> None:
        cursor: Any = context.execution_context.cursor if context.execution_context is not None else None
        if context.is_disconnect and cursor is not None:  # SQLAlchemy leaves that one to the collector
            cursor.connection.close()
            cursor.close()

    return engine


@contextmanager
def _cuttable(descriptor: int, attempt: Attempt) -> Iterator[None]:
    """While in here, stopping the attempt cuts the connection: a dead server would not hear a cancel request.

    The socket is held by a descriptor of our own, so that closing the connection meanwhile can't make it another's.
    """
    with socket.socket(fileno=os.dup(descriptor)) as own:

        def cut() -> None:
            with suppress(OSError):
                own.shutdown(socket.SHUT_RDWR)

        with attempt.stoppable(cut):
            yield


def _postgresql_error(error: psycopg.Error, attempt: Attempt) -> RegistryError:
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.ConnectionTimeout):
        return attempt.timeout()
    text = quoted(error.diag.message_primary or str(error))
    if error.sqlstate is None:
        return RegistryError(f"can't be reached: {text}", _connection_hint(text))
    message, hint = _POSTGRESQL_ERRORS.get(error.sqlstate, _POSTGRESQL_ERRORS.get(error.sqlstate[:2], _OTHER_ERROR))
    return RegistryError(message.format(text), hint)


def _connection_hint(text: str) -> str:
    if "password" in text or "authentication" in text or "pg_hba" in text:
        return "check the user and the password in the source"
    if "does not exist" in text:
        return "check the database and the user in the source"
    return "check the host, the port and the network"


_OTHER_ERROR = ("refuses the query: {}", "check 'query': is this the right database?")
_POSTGRESQL_ERRORS = {
    "0A": ("has a query that is no plain SELECT: {}", _ONE_SELECT),
    "25006": ("has a query that wants to write: {}", _ONE_SELECT),
    "42501": (
        "does not let this user read the whole table: {}",
        "GRANT SELECT ON … TO this user; past a row-level policy: ALTER ROLE … BYPASSRLS",
    ),
    "42601": ("does not understand the query: {}", _ONE_SELECT),
    "08": ("broke the connection off: {}", "check the server and the network"),
    "28": ("does not let this user in: {}", "check the user and the password in the source"),
    "53": ("has no room for another connection: {}", "try again"),
    "57": ("is shutting down or starting up: {}", "try again"),
}
