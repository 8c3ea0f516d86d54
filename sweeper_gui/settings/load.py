"""Finding, reading and uniting the configuration file, the environment and the command line."""

import difflib
import os
import shlex
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sweeper_gui.settings import secrets, toml
from sweeper_gui.settings.model import SECTIONS, Layer, Settings, Variable, field_names, kind_of
from sweeper_gui.settings.opening import open_named
from sweeper_gui.settings.problems import Problem, SettingsError
from sweeper_gui.settings.roots import known_homes

FILE_NAME = "sweeper.toml"
SITE_CONFIG = Path("/etc/sweeper") / FILE_NAME
MAX_CONFIG_BYTES = 1 << 20
PREFIX = "SWEEPER_"

#: Short names of settings: the command line's flags and, in capitals behind the prefix, variables.
_SHORT = {
    "root": ("volume", "root"),
    "control_dir": ("volume", "control_dir"),
    "registry": ("registry", "source"),
    "query": ("registry", "query"),
    "min_age": ("policy", "min_age"),
}

#: Variables of ours that are no settings.
_OTHER_VARIABLES = frozenset({"SWEEPER_CONFIG", "SWEEPER_STATE_DIR"})

#: The source system's variable for the root: what is taken where nothing else is set.
_SOURCE_SYSTEM_ROOT = "COLLAB_WORKSPACE_ROOT"

Location = tuple[str | int, ...]


def state_dir() -> Path:
    """Where this user's state lives: $SWEEPER_STATE_DIR, else the XDG state directory. Not created.

    A variable that holds no absolute path counts as not set: window, engine and command line run in directories of
    their own, and the pins that the one writes would be missed by the other.
    """
    chosen, xdg = (os.environ.get(name, "") for name in ("SWEEPER_STATE_DIR", "XDG_STATE_HOME"))
    if os.path.isabs(chosen):
        return Path(chosen)
    if os.path.isabs(xdg):
        return Path(xdg) / "sweeper"
    return Path.home() / ".local" / "state" / "sweeper"


def load_settings(
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings, from the file, then the environment, then the command line; later ones win.

    `config` is the file to read instead of the one that is found. `overrides` has the keys root, control_dir, query,
    min_age and registry (a tuple of sources); None means not given. `environ` is os.environ where not given. Raises
    `SettingsError` with everything that is wrong.
    """
    environ = os.environ if environ is None else environ
    file = _read_file(config, environ)
    variables = _read_variables(environ)
    flags = _read_flags(overrides or {})
    sources = [source for source in (_source_system(environ), file, variables, flags) if source is not None]
    return _Union(sources, environ).settings(file.path if file else None)


def find_config(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the given one, $SWEEPER_CONFIG's, this user's, the host's; None if there is none.

    The first two are not looked for: where one was asked for and is missing, nothing else will do.
    """
    if config is not None:
        return config
    if environ.get("SWEEPER_CONFIG"):
        return Path(environ["SWEEPER_CONFIG"])
    return next(filter(_is_there, (platformdirs.user_config_path("sweeper") / FILE_NAME, SITE_CONFIG)), None)


def _is_there(place: Path) -> bool:
    """Whether there is something, be it a dangling link or out of reach: that is to be told, not to be looked past."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


# --- sources of values -----------------------------------------------------------------------------------------------


@dataclass
class _Source:
    """One place that values come from. `registries` replaces those of earlier sources, `each` sets keys in all."""

    sections: dict[str, Layer] = field(default_factory=dict)
    registries: list[Layer] | None = None
    each: Layer = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    path: Path | None = None
    text: str = ""
    #: what a person calls the setting here: a variable or a flag
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def problem(self, location: Location, value: str, message: str) -> Problem:
        """A problem with a value of this source."""
        key = self.names.get(_section_and_key(location)) or _dotted(location)
        return Problem(key, value, self.path, self._line(location), message)

    def _line(self, location: Location) -> int | None:
        if self.path is None:
            return None
        for length in range(len(location), 0, -1):  # a missing key has no line, its table has
            line = toml.line_of(self.text, location[:length])
            if line is not None:
                return line
        return None

    def add(self, section: str, key: str, value: object, name: str) -> None:
        """A value from a variable or flag that is called `name`."""
        target = self.each if section == "registry" else self.sections.setdefault(section, {})
        target[key] = value
        self.names[section, key] = name


def _read_file(config: Path | None, environ: Mapping[str, str]) -> _Source | None:
    found = find_config(config, environ)
    if found is None:
        return None
    path = found.absolute()
    text, mode = _read_text(path)
    try:
        document = toml.parse(text)
    except tomllib.TOMLDecodeError as error:
        line, what = toml.line_of_error(error)
        raise SettingsError([Problem("", "", path, line, f"not valid TOML: {what}")]) from None
    source = _Source(path=path, text=text)
    _take_document(source, document)
    if mode & stat.S_IROTH and any(_has_secret(registry) for registry in source.registries or []):
        source.problems.append(
            Problem("", "", path, None, f"holds a secret and anyone may read it: chmod o-r {shlex.quote(str(path))}")
        )
    return source


def _read_text(path: Path) -> tuple[str, int]:
    """The file's text and mode. Only one that nobody else can change is read: it says what may be deleted."""
    try:
        with open_named(path) as file:
            status = os.fstat(file.fileno())
            _refuse_unsafe(path, status)
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, f"can't be read: {error.strerror}") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise _unreadable(path, f"is larger than {MAX_CONFIG_BYTES >> 10} KiB")
    try:
        return data.decode("utf-8-sig"), status.st_mode
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError([Problem("", "", path, line, "is not UTF-8")]) from None


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(path, "is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise _unreadable(path, f"belongs to another user (uid {status.st_uid}): it must be yours or root's")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        who = "anyone" if status.st_mode & stat.S_IWOTH else "its group"
        raise _unreadable(path, f"can be changed by {who}: chmod go-w {shlex.quote(str(path))}")


def _unreadable(path: Path, message: str) -> SettingsError:
    return SettingsError([Problem("", "", path, None, message)])


def _take_document(source: _Source, document: dict[str, Any]) -> None:
    for name, content in document.items():
        if name not in SECTIONS:
            source.problems.append(source.problem((name,), "", _unknown(name, SECTIONS, "section")))
        elif name == "registry":
            _take_registries(source, content)
        elif isinstance(content, dict):
            source.sections[name] = content
        else:
            source.problems.append(source.problem((name,), "", f"must be a table: write [{name}]"))


def _take_registries(source: _Source, content: object) -> None:
    if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        source.registries = content
    else:
        source.problems.append(source.problem(("registry",), "", "must be a list of tables: write [[registry]]"))


def _has_secret(registry: Layer) -> bool:
    written = registry.get("source")
    return isinstance(written, str) and secrets.contains_secret(written)


def _read_variables(environ: Mapping[str, str]) -> _Source:
    source = _Source()
    for name in sorted(environ):
        # An empty variable counts as not set: that is how shells and unit files clear one.
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES or not environ[name]:
            continue
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if separator and section in SECTIONS:
            _take_variable(source, section, key, environ[name], name)
        elif section in _SHORT and not separator:
            _take_variable(source, *_SHORT[section], environ[name], name)
        elif separator or _resembles(name, _variable_names()):  # others may have variables of this prefix too
            source.problems.append(Problem(name, "", None, None, _unknown(name, _variable_names(), "variable")))
    return source


def _take_variable(source: _Source, section: str, key: str, text: str, name: str) -> None:
    known = source.each if section == "registry" else source.sections.get(section, {})
    if (section, key) == ("registry", "source"):
        known = {"source": "\n".join(r["source"] for r in source.registries)} if source.registries else {}
    if known.get(key, text) != text:
        other = source.names[section, key]
        source.problems.append(Problem(name, "", None, None, f"contradicts {other}: keep one of them"))
    elif (section, key) == ("registry", "source"):
        source.registries = [{"source": Variable(line)} for line in text.splitlines() if line.strip()]
        source.names[section, key] = name
    else:
        source.add(section, key, Variable(text), name)


def _variable_names() -> list[str]:
    short = [PREFIX + name.upper() for name in _SHORT]
    long = [
        f"{PREFIX}{name.upper()}__{key.upper()}" for name, section in SECTIONS.items() for key in field_names(section)
    ]
    return [*short, *long, *sorted(_OTHER_VARIABLES)]


def _source_system(environ: Mapping[str, str]) -> _Source | None:
    root = environ.get(_SOURCE_SYSTEM_ROOT)
    if not root:
        return None
    source = _Source()
    source.add("volume", "root", Variable(root), _SOURCE_SYSTEM_ROOT)
    return source


def _read_flags(overrides: Mapping[str, object]) -> _Source:
    source = _Source()
    for name, value in overrides.items():
        if value is None or value == ():
            continue
        section, key = _SHORT[name]
        flag = "--" + name.replace("_", "-")
        if (section, key) == ("registry", "source"):
            written = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
            source.registries = [{"source": one} for one in written]
            source.names[section, key] = flag
        else:
            source.add(section, key, _from_here(value) if section == "volume" else value, flag)
    return source


def _from_here(value: object) -> object:
    """A path that was typed, made absolute: the engine may run elsewhere. Looks at nothing but our own directory."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    return os.path.abspath(text) if isinstance(text, str) and text else value


# --- uniting them ----------------------------------------------------------------------------------------------------


class _Union:
    """All sources, the later ones on top, as one document; knows where each of its values came from."""

    def __init__(self, sources: Sequence[_Source], environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems = [problem for source in sources for problem in source.problems]
        self._document: dict[str, Any] = {}
        self._origin: dict[Location, _Source] = {}
        for source in sources:
            self._lay(source)
        for source in sources:
            self._set_in_each_registry(source)

    def settings(self, config_file: Path | None) -> Settings:
        """The model. Raises `SettingsError` with all problems."""
        self._drop_unknown_keys()
        self._fill_in_variables()
        try:
            settings = Settings.model_validate(
                {**self._document, "config_file": config_file}, context={"homes": known_homes(self._environ)}
            )
        except ValidationError as error:
            self._problems += [self._explained(detail) for detail in error.errors(include_url=False)]
        else:
            if not self._problems:
                return settings
        raise SettingsError(self._in_reading_order())

    def _lay(self, source: _Source) -> None:
        for section, layer in source.sections.items():
            for key, value in layer.items():
                self._document.setdefault(section, {})[key] = value
                self._origin[section, key] = source
        if source.registries is not None:
            self._document["registry"] = [dict(registry) for registry in source.registries]
            self._origin = {place: origin for place, origin in self._origin.items() if place[0] != "registry"}
            for index, registry in enumerate(source.registries):
                places: list[Location] = [("registry", index), *(("registry", index, key) for key in registry)]
                self._origin |= dict.fromkeys(places, source)

    def _set_in_each_registry(self, source: _Source) -> None:
        registries = self._document.get("registry", [])
        if source.each and not registries:
            name = source.names["registry", next(iter(source.each))]
            self._problems.append(Problem(name, "", None, None, "there is no registry that it could be for"))
        for index, registry in enumerate(registries):
            for key, value in source.each.items():
                registry[key] = value
                self._origin["registry", index, key] = source

    def _tables(self) -> list[tuple[Location, Layer, list[str]]]:
        """Every table of the document with its location and the keys that it may have."""
        tables: list[tuple[Location, Layer, list[str]]] = []
        for name, content in self._document.items():
            known = field_names(SECTIONS[name])
            if isinstance(content, list):
                tables += [((name, index), table, known) for index, table in enumerate(content)]
            else:
                tables.append(((name,), content, known))
        return tables

    def _drop_unknown_keys(self) -> None:
        """Tells of unknown keys, never of their values: `pasword` may have been meant to be a secret."""
        for location, table, known in self._tables():
            for key in [key for key in table if key not in known]:
                place = (*location, key)
                self._problems.append(self._origin[place].problem(place, "", _unknown(key, known, "key")))
                del table[key]

    def _fill_in_variables(self) -> None:
        for index, registry in enumerate(self._document.get("registry", [])):
            written = registry.get("source")
            if not isinstance(written, str) or "${" not in written:
                continue
            place: Location = ("registry", index, "source")
            missing = [name for name in secrets.references(written) if not self._environ.get(name)]
            if missing:
                message = f"the variable {missing[0]} that it refers to is not set"
                self._problems.append(self._origin[place].problem(place, _shown_source(written), message))
                # The rest of it is judged with something in its place, so that all problems are told at once.
            values = {name: self._environ.get(name) or "x" for name in secrets.references(written)}
            registry["written"] = str(written)
            registry["source"] = _filled_in(str(written), values)

    def _explained(self, detail: ErrorDetails) -> Problem:
        location = _known_part(detail["loc"])
        origin = self._origin.get(location) or self._origin.get(location[:2]) or _Source()
        return origin.problem(location, self._shown_value(location), _message(detail))

    def _shown_value(self, location: Location) -> str:
        value: Any = self._document
        for step in location:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return ""
        if location[0] == "registry" and location[-1] == "source":
            registry = self._document["registry"][location[1]]
            return _shown_source(registry.get("written", value))
        if isinstance(value, dict | list) and location[-1] != "protect":
            return ""
        return secrets.masked(_quoted(value))

    def _in_reading_order(self) -> list[Problem]:
        return sorted(self._problems, key=lambda problem: (str(problem.file or "~"), problem.line or 0, problem.key))


def _filled_in(written: str, values: dict[str, str]) -> str:
    """The source with its variables. In a command each stays within its argument, whatever it holds."""
    if not written.startswith("exec:"):
        return secrets.expanded(written, values)
    try:
        arguments = shlex.split(written.removeprefix("exec:"))
    except ValueError:
        return written  # refused by the model, which says why
    return "exec:" + shlex.join(secrets.expanded(argument, values) for argument in arguments)


def _shown_source(written: object) -> str:
    """A source that may be wrong: where it can't be taken apart, nobody knows where its secret is."""
    if not isinstance(written, str):
        return ""
    try:
        kind_of(written)
    except ValueError:
        return _quoted(secrets.masked_wholly(written))
    return _quoted(secrets.masked_if_sure(written))


def _known_part(location: tuple[int | str, ...]) -> Location:
    """The location without what pydantic adds for items of lists and branches of unions."""
    return location[:3] if location[0] == "registry" else location[:2]


def _section_and_key(location: Location) -> tuple[str, str]:
    return str(location[0]), str(location[-1])


def _dotted(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail.get("ctx", {}).get("error", "is not valid"))
    if detail["type"] == "missing":
        return "is missing"
    return detail["msg"].replace("Input should be", "must be", 1)


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= 120 else text[:117] + "…"


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    close = _resembles(name, known)
    return f"unknown {what}" + (f": did you mean '{close}'?" if close else "")


def _resembles(name: str, known: Iterable[str]) -> str | None:
    # Without the prefix that all variables share: it would make any two of them look alike.
    by_short = {one.removeprefix(PREFIX): one for one in known}
    matches = difflib.get_close_matches(name.removeprefix(PREFIX), by_short, n=1, cutoff=0.75)
    return by_short[matches[0]] if matches else None
