"""The settings model. It checks syntax and what contradicts itself; every message names no secret."""

import json
import math
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SerializationInfo,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from sweeper_gui.core.audit import TicketRule
from sweeper_gui.core.plan import Order
from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.units import parse_duration, parse_size
from sweeper_gui.settings.roots import dangerous_root
from sweeper_gui.settings.secrets import contains_secret, masked, references, secrets_in

#: The source system's own table.
DEFAULT_QUERY = "SELECT id, name AS title, owner_github_login AS owner, created_at, deleted_at FROM collab_session"

RegistryKind = Literal["sql", "http", "file", "exec"]

_YEAR = 366 * 86_400.0
_SQL_SCHEMES = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Variable(str):
    """A value from an environment variable: always text, also where the file would have a number or a list."""


# --- values ----------------------------------------------------------------------------------------------------------


def _duration(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('is not a duration: write a number with ms, s, m, h, d or w in quotes, such as "24h"')
    seconds = parse_duration(value) if isinstance(value, str) else float(value)
    if not math.isfinite(seconds) or not 0 <= seconds <= 100 * _YEAR:
        raise ValueError("must lie between 0 and 100 years")
    return seconds


def _size(value: object) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("is not a size: write a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB in quotes")
    size = parse_size(value) if isinstance(value, str) else value
    if not 1 <= size < 2**63:
        raise ValueError('must be at least one byte; "" means no bound')
    return size


def _whole(value: object) -> int:
    if isinstance(value, Variable) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def _rate(value: object) -> int | None:
    if value is None or value == "":
        return None
    rate = _whole(value)
    if rate < 1:
        raise ValueError('must be at least 1; "" means no bound')
    return rate


def _switch(value: object) -> bool:
    if isinstance(value, Variable):
        word = value.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")
    if "\0" in value:
        raise ValueError("holds a NUL character")
    return str(value)


def _path(value: object) -> Path | None:
    """An absolute path; "" means not set. Nothing is looked up."""
    if value is None or value == "":
        return None
    text = str(value) if isinstance(value, Path) else _text(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8") from None
    if not text.startswith("/"):
        raise ValueError("must be an absolute path, one that starts with '/'")
    if ".." in PurePosixPath(text).parts:
        raise ValueError("must not contain '..': where it leads depends on links")
    return Path(os.path.normpath("/" + text.lstrip("/")))


def _own_path(value: object) -> Path | None:
    """As `_path`, but '~/' stands for the user's home: for files that are never on the volume."""
    return _path(os.path.expanduser(value) if isinstance(value, str) and value.startswith("~/") else value)


def _patterns(value: object) -> tuple[str, ...]:
    if isinstance(value, Variable):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError('must be a list of patterns, such as ["demo-*"]')
    for pattern in value:
        if not isinstance(pattern, str) or not pattern.strip():
            raise ValueError("holds something that is not a pattern in quotes")
        if pattern.startswith("/") or pattern.endswith("/"):
            raise ValueError(f"'{pattern}' matches nothing: a pattern is for a name below the root, no '/' at its ends")
    return tuple(value)


def _syslog(value: object) -> str:
    if isinstance(value, str) and not isinstance(value, Variable) and value in ("", "auto"):
        return value  # as it comes over the wire
    if isinstance(value, str) and (value == "journald" or value.startswith("/")):
        return str(_path(value)) if value.startswith("/") else value
    try:
        return "auto" if _switch(value) else ""
    except ValueError:
        raise ValueError('must be true, false, "journald", or the path of a socket such as "/dev/log"') from None


def _expression(value: object) -> str:
    text = _text(value)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


Duration = Annotated[float, BeforeValidator(_duration)]
Whole = Annotated[int, BeforeValidator(_whole)]
Switch = Annotated[bool, BeforeValidator(_switch)]
Text = Annotated[str, BeforeValidator(_text)]
VolumePath = Annotated[Path | None, BeforeValidator(_path)]
OwnPath = Annotated[Path | None, BeforeValidator(_own_path)]


class _Section(BaseModel):
    """Frozen, no unknown keys; an error never carries the input, which may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


# --- sections --------------------------------------------------------------------------------------------------------


class VolumeSettings(_Section):
    """The mounted directory tree. `root` and `control_dir` are absolute and not resolved; None means not set."""

    root: VolumePath = None
    id_pattern: Text = "(?P<id>[A-Za-z0-9][A-Za-z0-9._-]{0,127})"
    depth: Annotated[Whole, Field(ge=1, le=4)] = 1
    require_mount: Switch = False
    control_dir: VolumePath = None
    control_group: Text = ""

    @field_validator("root")
    @classmethod
    def _check_root(cls, root: Path | None, info: ValidationInfo) -> Path | None:
        homes = info.context.get("homes", ()) if isinstance(info.context, Mapping) else ()
        reason = None if root is None else dangerous_root(root, homes)
        if reason:
            raise ValueError(f"{reason}: name the directory that holds the workspaces and nothing else")
        return root

    @field_validator("id_pattern")
    @classmethod
    def _check_pattern(cls, text: str) -> str:
        try:
            pattern = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if "id" not in pattern.groupindex:
            raise ValueError("has no group named 'id': write (?P<id>…) around the part that is the session's id")
        if pattern.fullmatch(""):
            raise ValueError("matches an empty name")
        return text

    @field_validator("control_dir")
    @classmethod
    def _check_control_dir(cls, place: Path | None, info: ValidationInfo) -> Path | None:
        root = info.data.get("root")
        if place is None or root is None:
            return place
        if root.is_relative_to(place):
            raise ValueError("must not be the root or contain it")
        if place.is_relative_to(root) and not place.relative_to(root).parts[0].startswith("."):
            raise ValueError("lies in a workspace: choose a place outside the root, or a hidden directory in it")
        return place

    @property
    def pattern(self) -> re.Pattern[str]:
        """The id pattern, to be matched in full against a directory's name; group 'id' is the id."""
        return re.compile(self.id_pattern)


class RegistrySettings(_Section):
    """One source of sessions. `timeout` is seconds; `items` is a dotted path into a JSON document."""

    source: SecretStr
    query: Text = DEFAULT_QUERY
    timeout: Duration = 10.0
    token_file: OwnPath = None
    token_env: Text = ""
    items: Text = ""
    allow_replica: Switch = False
    #: the URL parameter that is another one in each request, so that no cache has an answer; empty for none
    unique_parameter: Text = "_"
    #: the source before its variables were filled in, where it had any; set by the loader, no key of the file
    written: SecretStr | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _read_source(cls, value: object) -> object:
        return value if isinstance(value, SecretStr) else SecretStr(_text(value).strip())

    @field_validator("source")
    @classmethod
    def _check_source(cls, source: SecretStr) -> SecretStr:
        check_source(source.get_secret_value())
        return source

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str, info: ValidationInfo) -> str:
        if query != DEFAULT_QUERY:
            _only_for(info, "sql")
        if not query.strip():
            raise ValueError("is empty")
        return query

    @field_validator("timeout")
    @classmethod
    def _check_timeout(cls, seconds: float) -> float:
        if not 0.1 <= seconds <= 3600:
            raise ValueError("must lie between 0.1 seconds and one hour")
        return seconds

    @field_validator("token_file")
    @classmethod
    def _check_token_file(cls, place: Path | None, info: ValidationInfo) -> Path | None:
        if place is not None:
            _check_token(info)
        return place

    @field_validator("token_env")
    @classmethod
    def _check_token_env(cls, name: str, info: ValidationInfo) -> str:
        if not name:
            return name
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("is not the name of a variable")
        _check_token(info)
        if info.data.get("token_file") is not None:
            raise ValueError("and token_file are both set: keep one")
        return name

    @field_validator("items")
    @classmethod
    def _check_items(cls, path: str, info: ValidationInfo) -> str:
        if path:
            _only_for(info, "http", "file", "exec")
        return path

    @field_validator("allow_replica")
    @classmethod
    def _check_allow_replica(cls, allowed: bool, info: ValidationInfo) -> bool:
        if allowed:
            _only_for(info, "sql")
        return allowed

    @field_validator("unique_parameter")
    @classmethod
    def _check_unique_parameter(cls, name: str, info: ValidationInfo) -> str:
        if name != "_":
            _only_for(info, "http")
        if not re.fullmatch(r"[A-Za-z0-9_.-]*", name):
            raise ValueError("is not the name of a URL parameter")
        return name

    @field_serializer("source", "written")
    def _write_source(self, source: SecretStr | None, info: SerializationInfo) -> object:
        reveal = isinstance(info.context, Mapping) and info.context.get("reveal")
        return source.get_secret_value() if reveal and source is not None else source

    @property
    def kind(self) -> RegistryKind:
        """How the source is read."""
        return kind_of(self.source.get_secret_value())

    @property
    def shown(self) -> str:
        """The source as it may be shown and logged: without secrets."""
        return masked((self.written or self.source).get_secret_value())


class PolicySettings(_Section):
    """Ages are seconds; `protect` are shell patterns for names below the root.

    `unsaved_work_budget` is for how many seconds the repositories of one workspace may be read.
    """

    min_age: Duration = 86_400.0
    max_registry_age: Duration = 600.0
    max_usage_age: Duration = 3_600.0
    protect: Annotated[tuple[str, ...], BeforeValidator(_patterns)] = ()
    unexplained: Treatment = Treatment.SET_ASIDE
    unsaved_work: Treatment = Treatment.SET_ASIDE
    unsaved_work_budget: Duration = 10.0

    def policy(self, pinned: frozenset[bytes] = frozenset()) -> Policy:
        """The rules for `judge`, with the names that a person has pinned."""
        return Policy(
            min_age=self.min_age,
            max_registry_age=self.max_registry_age,
            max_usage_age=self.max_usage_age,
            protect=self.protect,
            pinned=pinned,
            unexplained=self.unexplained,
            unsaved_work=self.unsaved_work,
        )


class SweepSettings(_Section):
    """How much is swept at once, and how hard.

    `max_bytes` is allocated bytes and `max_ops_per_second` changes of the volume; both are None for no bound.
    `keep_set_aside` and `plan_max_age` are seconds. `syslog` is where each step is forwarded to: "" for nowhere, auto
    for journald or else /dev/log, journald, or the absolute path of a syslog daemon's socket. `ticket_pattern` must
    match the whole of a ticket reference. With `two_persons` only plans are swept that somebody else has proposed.
    """

    max_per_sweep: Annotated[Whole, Field(ge=1, le=100_000)] = 10
    max_bytes: Annotated[int | None, BeforeValidator(_size)] = None
    order: Order = Order.OLDEST
    impact: Literal["gentle", "balanced", "fast"] = "balanced"
    max_in_flight: Annotated[Whole, Field(ge=1, le=1024)] = 64
    max_ops_per_second: Annotated[int | None, BeforeValidator(_rate)] = None
    remove: Literal["now", "set-aside"] = "now"
    keep_set_aside: Duration = 604_800.0
    syslog: Annotated[str, BeforeValidator(_syslog)] = ""
    ticket_required: Switch = False
    ticket_pattern: Annotated[str, BeforeValidator(_expression)] = ""
    plan_max_age: Duration = 604_800.0
    two_persons: Switch = False


class Settings(_Section):
    """Everything a person can set. `config_file` is where it was read from, None without a file."""

    volume: VolumeSettings = VolumeSettings()
    registry: tuple[RegistrySettings, ...] = ()
    policy: PolicySettings = PolicySettings()
    sweep: SweepSettings = SweepSettings()
    config_file: Path | None = None

    def rules(self, pinned: frozenset[bytes] = frozenset()) -> Policy:
        """The whole policy for `judge`: the section's, with the volume's id pattern and the pinned names."""
        return msgspec.structs.replace(self.policy.policy(pinned), id_pattern=self.volume.id_pattern)

    @property
    def secrets(self) -> frozenset[str]:
        """Everything in it that must not be shown, and what variables put into it: for whoever shows an error."""
        found: set[str] = set()
        for registry in self.registry:
            found |= secrets_in(registry.source.get_secret_value())
            written = registry.written.get_secret_value() if registry.written is not None else ""
            names = [*references(written), registry.token_env]
            found |= {os.environ.get(name, "") for name in names if name}
        return frozenset(secret for secret in found if secret)

    @property
    def ticket_rule(self) -> TicketRule:
        """What a ticket reference must be."""
        return TicketRule(self.sweep.ticket_pattern, self.sweep.ticket_required)

    def to_wire(self) -> bytes:
        """JSON with the secrets in it, for the engine's ears only."""
        return self.model_dump_json(context={"reveal": True}).encode("utf-8")

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """What `to_wire` wrote. Raises ValueError for anything else."""
        return cls.model_validate(json.loads(data))


# --- sources ---------------------------------------------------------------------------------------------------------


def kind_of(source: str) -> RegistryKind:
    """How this source is read. Raises ValueError that names the kinds there are."""
    scheme = source.partition(":")[0].lower()
    if scheme in ("http", "https"):
        return "http"
    if scheme == "file":
        return "file"
    if scheme == "exec":
        return "exec"
    if scheme in _SQL_SCHEMES:
        return "sql"
    raise ValueError(_unknown_scheme(scheme))


def check_source(source: str) -> None:
    """Raises ValueError where the source can't be meant so. The message never quotes it: it may hold a secret."""
    checks = {"sql": _check_sql, "http": _check_http, "file": _check_file, "exec": _check_exec}
    checks[kind_of(source)](source)


def sql_dialect(source: str) -> str:
    """'sqlite' or 'postgresql'."""
    return _SQL_SCHEMES[source.partition(":")[0].lower()]


def sqlite_path(source: str) -> Path:
    """The database file of an SQLite URL. Raises ValueError where it names none."""
    _, _, rest = source.partition("://")
    place, _, parameters = rest.partition("?")
    if parameters:
        raise ValueError("takes no '?' parameters: an SQLite registry is always opened read-only")
    if not place.startswith("/") or place in ("/", "/:memory:"):
        raise ValueError("names no database file: write sqlite:////absolute/path (four slashes)")
    if not place.startswith("//"):
        raise ValueError("has a relative path: write sqlite:////absolute/path (four slashes)")
    return Path(unquote(place[1:]))


def file_path(source: str) -> Path:
    """The path of a file: source. Raises ValueError where it is not absolute."""
    place = source.partition(":")[2]
    if place.startswith("//"):
        place = place[2:]
        if not place.startswith("/"):
            raise ValueError("names another host: write file:/absolute/path")
    if not place.startswith("/"):
        raise ValueError("has a relative path: write file:/absolute/path")
    return Path(place)


def command_of(source: str) -> list[str]:
    """The argument vector of an exec: source. Raises ValueError where its quotes are not closed or it is empty."""
    try:
        arguments = shlex.split(source.partition(":")[2])
    except ValueError as error:
        raise ValueError(f"is no command line: {str(error).lower()}") from None
    if not arguments:
        raise ValueError("names no command: write exec:program arguments")
    return arguments


def _unknown_scheme(scheme: str) -> str:
    if scheme.startswith("postgres"):
        return "needs the driver psycopg: write postgresql:// or postgresql+psycopg://"
    if scheme.startswith("sqlite"):
        return "is read with Python's own driver: write sqlite:////absolute/path"
    return "is no registry: write postgresql://…, sqlite:////path, https://…, file:/path or exec:command arguments"


def _check_sql(source: str) -> None:
    if sql_dialect(source) == "sqlite":
        sqlite_path(source)
        return
    parts = _split(source)
    if not parts.path.strip("/"):
        raise ValueError("names no database: write postgresql://user@host/database")
    if "@" in parts.path:
        raise ValueError("has an '@' or '/' in its user or password: write it as %40 or %2F")


def _check_http(source: str) -> None:
    parts = _split(source)
    if not parts.hostname:
        raise ValueError("names no host")
    if parts.fragment:
        raise ValueError("has a '#' part, which is never sent")
    if contains_secret(source) and not _secure(parts):
        raise ValueError("would send a secret without encryption: write https://")


def _check_file(source: str) -> None:
    file_path(source)


def _check_exec(source: str) -> None:
    command_of(source)


def _split(source: str) -> SplitResult:
    try:
        parts = urlsplit(source)
        _ = parts.port  # parsed only now
    except ValueError:
        raise ValueError(
            "is no URL: characters such as @ : / # ? in a user or password are written as %40 %3A %2F %23 %3F"
        ) from None
    if not source.partition(":")[2].startswith("//"):
        raise ValueError("is no URL: '//' is missing after the colon")
    if any(character.isspace() for character in source):
        raise ValueError("is no URL: it holds white space")
    return parts


def _secure(parts: SplitResult) -> bool:
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


def _only_for(info: ValidationInfo, *kinds: RegistryKind) -> None:
    source = info.data.get("source")
    if source is not None and kind_of(source.get_secret_value()) not in kinds:
        names = {"sql": "SQL", "http": "HTTP", "file": "file", "exec": "exec"}
        raise ValueError(f"is only for {' and '.join(names[kind] for kind in kinds)} registries")


def _check_token(info: ValidationInfo) -> None:
    _only_for(info, "http")
    source = info.data.get("source")
    if source is None:
        return
    parts = urlsplit(source.get_secret_value())
    if not _secure(parts):
        raise ValueError("would send the token without encryption: the source must be https://")
    if parts.username is not None:
        raise ValueError("and a user in the source are both set: keep one")


def field_names(section: type[BaseModel]) -> list[str]:
    """The keys that a person may set."""
    internal: dict[type[BaseModel], set[str]] = {RegistrySettings: {"written"}, Settings: {"config_file"}}
    return [name for name in section.model_fields if name not in internal.get(section, set())]


SECTIONS: dict[str, type[BaseModel]] = {
    "volume": VolumeSettings,
    "registry": RegistrySettings,
    "policy": PolicySettings,
    "sweep": SweepSettings,
}

#: A section as it comes from a file or the environment.
Layer = dict[str, Any]
