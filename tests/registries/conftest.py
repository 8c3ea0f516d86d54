"""What the tests of the registries share: reading one source, and the servers to read from."""

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from sweeper_gui.core.snapshot import RegistryRead
from sweeper_gui.registries import read_all
from sweeper_gui.settings import RegistrySettings
from tests.registries.postgres import PostgreSQL, directory_for_server, remove
from tests.registries.servers import Authority, HttpServer, http_server, make_authority

Reader = Callable[..., RegistryRead]


def registry(source: str, **keys: object) -> RegistrySettings:
    """The settings of one source."""
    return RegistrySettings.model_validate({"source": SecretStr(source), **keys})


@pytest.fixture
def read() -> Reader:
    """Reads one source through `read_all`, as everybody does."""

    def read_one(source: str, **keys: object) -> RegistryRead:
        (result,) = read_all([registry(source, **keys)]).reads
        return result

    return read_one


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A server that all tests share; one that breaks it starts it again."""
    directory = directory_for_server()
    server = PostgreSQL.created(directory)
    yield server
    server.stop()
    remove(directory)


@pytest.fixture(scope="session")
def standby(postgres: PostgreSQL) -> Iterator[PostgreSQL]:
    """A standby of `postgres`."""
    directory = directory_for_server()
    server = postgres.standby(directory)
    yield server
    server.stop()
    remove(directory)


@pytest.fixture(scope="session")
def staging() -> Iterator[PostgreSQL]:
    """Another server, with the same table, role and password: what was cloned from a dump."""
    directory = directory_for_server()
    server = PostgreSQL.created(directory)
    yield server
    server.stop()
    remove(directory)


@pytest.fixture
def http() -> Iterator[HttpServer]:
    """A server without encryption on this host."""
    with http_server() as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody knows."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def https(authority: Authority) -> Iterator[HttpServer]:
    """A server with a certificate of that authority."""
    with http_server(authority.context) as server:
        yield server
