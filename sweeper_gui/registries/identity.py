"""Which registry a source is, as far as that can be said without asking it."""

import hashlib
import os
from urllib.parse import parse_qs, unquote, urlsplit

from sweeper_gui.core.snapshot import RegistryIdentity
from sweeper_gui.settings.model import RegistrySettings, file_path, sql_dialect, sqlite_path
from sweeper_gui.settings.secrets import masked

_PORTS = {"http": 80, "https": 443}
_POSTGRESQL_PORT = 5432


def identity_of(settings: RegistrySettings) -> RegistryIdentity:
    """Kind, host, port, database and path of the source and what is asked there, never a user or a secret. No I/O."""
    source = settings.source.get_secret_value()
    written = settings.written.get_secret_value() if settings.written is not None else source
    if settings.kind == "http":
        return _of_http(source, written, settings.items)
    if settings.kind == "file":
        return RegistryIdentity("file", path=str(file_path(source)), query=settings.items)
    if settings.kind == "exec":
        command = _told(masked(written), masked(source)).removeprefix("exec:")
        return RegistryIdentity("exec", path=command, query=settings.items)
    query = " ".join(settings.query.split())
    if sql_dialect(source) == "sqlite":
        return RegistryIdentity("sqlite", path=str(sqlite_path(source)), query=query)
    return _of_postgresql(source, query)


def _told(written: str, meant: str) -> str:
    """As it is written, without what variables hold, which may be a secret anywhere in it.

    A digest tells apart what they make of it: the variable may choose between production and staging.
    """
    if written == meant:
        return meant
    return f"{written} [{hashlib.sha256(meant.encode()).hexdigest()[:8]}]"


def _of_http(source: str, written: str, items: str) -> RegistryIdentity:
    parts = urlsplit(masked(source))
    path = _told(_path_of(written), _path_of(source))
    host = (parts.hostname or "").lower()
    return RegistryIdentity("http", host, parts.port or _PORTS[parts.scheme], path=path, query=items)


def _path_of(source: str) -> str:
    """The query tells registries apart as well: ?environment=staging."""
    parts = urlsplit(masked(source))
    return (parts.path + (f"?{parts.query}" if parts.query else "")) or "/"


def _of_postgresql(source: str, query: str) -> RegistryIdentity:
    """As the driver would understand it: parameters replace what stands before them, and the rest is libpq's to find.

    libpq takes what is missing from the service, if one is named, and then from the PG* variables.
    """
    parts = urlsplit(source)
    parameters = {
        key: ",".join(values) for key, values in parse_qs(parts.query).items()
    }  # several hosts, tried in turn
    service = parameters.get("service") or os.environ.get("PGSERVICE", "")
    address = parameters.get("hostaddr") or os.environ.get("PGHOSTADDR", "")
    host = parameters.get("host") or parts.hostname or os.environ.get("PGHOST") or ("" if service else "localhost")
    port = parameters.get("port") or str(parts.port or os.environ.get("PGPORT") or _POSTGRESQL_PORT)
    place = unquote(host).lower() if not host.startswith("/") else host
    place += f"[{address}]" if address else ""
    place += f" by the service {service}" if service else ""
    return RegistryIdentity(
        "postgresql",
        host=place.strip() if port.isdecimal() else f"{place}:{port}",
        port=int(port) if port.isdecimal() else None,
        database=parameters.get("dbname") or unquote(parts.path.lstrip("/")),
        query=query,
    )
