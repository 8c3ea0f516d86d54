"""Which registry a source is, as far as that can be said without asking it."""

import os
from urllib.parse import parse_qs, unquote, urlsplit

from sweeper_gui.core.snapshot import RegistryIdentity
from sweeper_gui.settings.model import RegistrySettings, file_path, sql_dialect, sqlite_path
from sweeper_gui.settings.secrets import masked

_PORTS = {"http": 80, "https": 443}
_POSTGRESQL_PORT = 5432


def identity_of(settings: RegistrySettings) -> RegistryIdentity:
    """Kind, host, port, database and path of the source, never a user or a secret. No I/O."""
    source = settings.source.get_secret_value()
    if settings.kind == "http":
        return _of_http(source)
    if settings.kind == "file":
        return RegistryIdentity("file", path=str(file_path(source)))
    if settings.kind == "exec":
        return RegistryIdentity("exec", path=masked(source).removeprefix("exec:"))
    if sql_dialect(source) == "sqlite":
        return RegistryIdentity("sqlite", path=str(sqlite_path(source)))
    return _of_postgresql(source)


def _of_http(source: str) -> RegistryIdentity:
    parts = urlsplit(masked(source))
    # The query tells registries apart as well: ?environment=staging
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return RegistryIdentity(
        "http", host=(parts.hostname or "").lower(), port=parts.port or _PORTS[parts.scheme], path=path or "/"
    )


def _of_postgresql(source: str) -> RegistryIdentity:
    """As libpq would understand it: what the URL leaves out comes from the PG* variables."""
    parts = urlsplit(source)
    parameters = {
        key: ",".join(values) for key, values in parse_qs(parts.query).items()
    }  # several hosts, tried in turn
    host = parts.hostname or parameters.get("host") or os.environ.get("PGHOST") or "localhost"
    port = str(parts.port or parameters.get("port") or os.environ.get("PGPORT") or _POSTGRESQL_PORT)
    return RegistryIdentity(
        "postgresql",
        host=unquote(host).lower() if not host.startswith("/") else host,
        port=int(port) if port.isdecimal() else None,
        database=unquote(parts.path.lstrip("/")),
    )
