"""The settings: what is read from where, and that every bad value is told with its place and without its secrets."""

import json
import os
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from sweeper_gui.core.plan import Order
from sweeper_gui.core.policy import Treatment
from sweeper_gui.settings import (
    DEFAULT_QUERY,
    Problem,
    RegistrySettings,
    Settings,
    SettingsError,
    dangerous_root,
    find_config,
    load,
    load_settings,
    state_dir,
    toml,
)
from sweeper_gui.settings.model import SECTIONS, field_names
from sweeper_gui.settings.secrets import contains_secret, masked, secrets_in, without
from tests.support.nobody import NOBODY, as_nobody

EXAMPLE = Path(__file__).parent.parent / "resources" / "sweeper.toml"
PASSWORD = "hunter2-s3cret"


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "sweeper.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def problems(config: Path | None = None, overrides=None, environ=None) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, overrides, environ or {})
    return caught.value.problems


def problem(config: Path | None = None, overrides=None, environ=None) -> Problem:
    (only,) = problems(config, overrides, environ)
    return only


# --- reading ---------------------------------------------------------------------------------------------------------


def test_everything_of_the_file_arrives(config):
    path = config("""
[volume]
root = "/mnt/efs/workspaces"
id_pattern = "ws-(?P<id>[0-9a-f]+)"
depth = 2
require_mount = true
control_dir = "/mnt/efs/control"
control_group = "ops"

[[registry]]
source = "postgresql+psycopg://reader@db/collab"
query = "SELECT id FROM s"
timeout = "1.5m"
allow_replica = true

[[registry]]
source = "https://api.example.org/sessions"
token_env = "API_TOKEN"
items = "data.sessions"

[policy]
min_age = "48h"
max_registry_age = 30
max_usage_age = "2h"
protect = ["demo-*", "keep"]
unexplained = "remove"
unsaved_work = "set-aside"
unsaved_work_budget = "3s"

[sweep]
max_per_sweep = 25
max_bytes = "20GiB"
order = "largest"
impact = "gentle"
max_in_flight = 8
max_ops_per_second = 500
remove = "set-aside"
keep_set_aside = "2w"
syslog = true
""")
    settings = load_settings(path, {}, {})

    assert settings.config_file == path
    assert settings.volume.root == Path("/mnt/efs/workspaces")
    match = settings.volume.pattern.fullmatch("ws-0af")
    assert match is not None
    assert match["id"] == "0af"
    assert (settings.volume.depth, settings.volume.require_mount) == (2, True)
    assert (settings.volume.control_dir, settings.volume.control_group) == (Path("/mnt/efs/control"), "ops")
    sql, http = settings.registry
    assert (sql.kind, sql.query, sql.timeout, sql.allow_replica) == ("sql", "SELECT id FROM s", 90.0, True)
    assert (http.kind, http.token_env, http.items, http.timeout) == ("http", "API_TOKEN", "data.sessions", 10.0)
    policy = settings.policy.policy(frozenset({b"pinned"}))
    assert (policy.min_age, policy.max_registry_age, policy.max_usage_age) == (172_800.0, 30.0, 7_200.0)
    assert (policy.protect, policy.pinned) == (("demo-*", "keep"), frozenset({b"pinned"}))
    assert (policy.unexplained, policy.unsaved_work) == (Treatment.REMOVE, Treatment.SET_ASIDE)
    assert settings.policy.unsaved_work_budget == 3.0
    assert settings.rules().id_pattern == "ws-(?P<id>[0-9a-f]+)"
    sweep = settings.sweep
    assert (sweep.max_per_sweep, sweep.max_bytes, sweep.order, sweep.impact) == (25, 20 << 30, Order.LARGEST, "gentle")
    assert (sweep.max_in_flight, sweep.max_ops_per_second, sweep.remove) == (8, 500, "set-aside")
    assert (sweep.keep_set_aside, sweep.syslog) == (1_209_600.0, "auto")


def test_without_a_file_everything_has_its_default():
    settings = load_settings(None, {}, {})

    assert settings == Settings()
    assert settings.volume.root is None
    assert settings.registry == ()


def test_the_example_file_says_the_defaults():
    text = EXAMPLE.read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (?=\[\[registry\]\]$|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    assert tomllib_keys(uncommented) == {
        (section, key) for section, keys in SECTIONS.items() for key in field_names(keys)
    }


def tomllib_keys(text: str) -> set[tuple[str, str]]:
    document = toml.parse(text)
    tables = [(name, table) for name, content in document.items() for table in _as_list(content)]
    return {(name, key) for name, table in tables for key in table}


def _as_list(content):
    return content if isinstance(content, list) else [content]


def test_the_example_file_is_valid_as_it_is_and_with_all_keys(config):
    text = EXAMPLE.read_text(encoding="utf-8")
    overrides = {"root": "/mnt/x", "registry": ("file:/ids",)}
    as_it_is = load_settings(config(text, 0o644), overrides, {})
    defaults = load_settings(None, overrides, {})
    assert as_it_is.model_copy(update={"config_file": None}) == defaults

    uncommented = re.sub(r"^# (?=\[\[registry\]\]$|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    settings = load_settings(config(uncommented, 0o644), {}, {"COLLAB_DB_PASSWORD": PASSWORD})
    assert settings.volume.root == Path("/mnt/efs/workspaces")
    (registry,) = settings.registry
    assert registry.source.get_secret_value() == f"postgresql://reader:{PASSWORD}@db.example.org/collab"
    assert registry.model_dump(exclude={"source", "written"}) == RegistrySettings(
        source=SecretStr("file:/x")
    ).model_dump(exclude={"source", "written"})


# --- the environment and the command line ----------------------------------------------------------------------------


def test_variables_win_over_the_file_and_flags_over_variables(config):
    path = config('[volume]\nroot = "/mnt/file"\ndepth = 2\n[policy]\nmin_age = "1h"\n[sweep]\nmax_per_sweep = 3\n')
    environ = {"SWEEPER_VOLUME__ROOT": "/mnt/variable", "SWEEPER_MIN_AGE": "2h", "SWEEPER_SWEEP__MAX_PER_SWEEP": "7"}

    settings = load_settings(path, {"min_age": "3h", "query": None, "registry": ()}, environ)

    assert settings.volume.root == Path("/mnt/variable")
    assert settings.policy.min_age == 10_800.0
    assert settings.sweep.max_per_sweep == 7
    assert settings.volume.depth == 2


@pytest.mark.parametrize(
    ("name", "text", "where", "value"),
    [
        ("SWEEPER_ROOT", "/mnt/x", ("volume", "root"), Path("/mnt/x")),
        ("SWEEPER_CONTROL_DIR", "/mnt/c", ("volume", "control_dir"), Path("/mnt/c")),
        ("SWEEPER_VOLUME__DEPTH", "3", ("volume", "depth"), 3),
        ("SWEEPER_VOLUME__REQUIRE_MOUNT", "yes", ("volume", "require_mount"), True),
        ("SWEEPER_SWEEP__SYSLOG", "0", ("sweep", "syslog"), ""),
        ("SWEEPER_SWEEP__MAX_BYTES", "1.5GB", ("sweep", "max_bytes"), 1_500_000_000),
        ("SWEEPER_SWEEP__ORDER", "largest", ("sweep", "order"), Order.LARGEST),
        ("SWEEPER_POLICY__PROTECT", "demo-*, keep", ("policy", "protect"), ("demo-*", "keep")),
        ("SWEEPER_POLICY__UNSAVED_WORK", "remove", ("policy", "unsaved_work"), Treatment.REMOVE),
    ],
)
def test_a_variable_sets_its_key(name, text, where, value):
    settings = load_settings(None, {}, {name: text})
    section, key = where
    assert getattr(getattr(settings, section), key) == value


def test_the_source_systems_variable_is_the_last_resort_for_the_root(config):
    environ = {"COLLAB_WORKSPACE_ROOT": "/var/opencode/workspaces"}
    assert load_settings(None, {}, environ).volume.root == Path("/var/opencode/workspaces")
    assert load_settings(config('[volume]\nroot = "/mnt/x"'), {}, environ).volume.root == Path("/mnt/x")


def test_registries_of_a_variable_or_flag_replace_those_of_the_file(config):
    path = config('[[registry]]\nsource = "file:/a"\ntimeout = "3s"')
    variable = load_settings(path, {}, {"SWEEPER_REGISTRY": "file:/b\nexec:cat 'a b'\n"})
    assert [r.source.get_secret_value() for r in variable.registry] == ["file:/b", "exec:cat 'a b'"]
    assert variable.registry[0].timeout == 10.0
    flag = load_settings(path, {"registry": ("file:/c",)}, {"SWEEPER_REGISTRY": "file:/b"})
    assert [r.source.get_secret_value() for r in flag.registry] == ["file:/c"]


def test_a_registry_key_from_outside_holds_for_every_registry(config):
    path = config('[[registry]]\nsource = "sqlite:////a"\n[[registry]]\nsource = "sqlite:////b"\nquery = "SELECT 1"')
    settings = load_settings(path, {"query": "SELECT id FROM t"}, {"SWEEPER_REGISTRY__TIMEOUT": "3s"})
    assert [(r.query, r.timeout) for r in settings.registry] == [("SELECT id FROM t", 3.0)] * 2


def test_a_query_without_a_registry_is_an_error():
    assert problem(None, {"query": "SELECT 1"}).key == "--query"


def test_an_empty_variable_is_none():
    assert load_settings(None, {}, {"SWEEPER_ROOT": "", "SWEEPER_POLICY__MIN_AGE": ""}) == Settings()


def test_two_variables_for_one_key_must_agree():
    environ = {"SWEEPER_ROOT": "/mnt/a", "SWEEPER_VOLUME__ROOT": "/mnt/b"}
    assert "contradicts SWEEPER_ROOT" in problem(None, {}, environ).message
    environ = {"SWEEPER_REGISTRY": "file:/a", "SWEEPER_REGISTRY__SOURCE": "file:/b"}
    assert "contradicts SWEEPER_REGISTRY" in problem(None, {}, environ).message


def test_a_misspelt_variable_is_an_error_and_others_programs_variables_are_not():
    assert "did you mean 'SWEEPER_ROOT'" in problem(None, {}, {"SWEEPER_ROTO": "/mnt/x"}).message
    assert "did you mean 'min_age'" in problem(None, {}, {"SWEEPER_POLICY__MIN_AEG": "1h"}).message
    assert "did you mean 'SWEEPER_POLICY__MIN_AGE'" in problem(None, {}, {"SWEEPER_POLICIES__MIN_AGE": "1h"}).message
    others = {"SWEEPER_PYTHON": "3", "SWEEPER_TEST_NUMBER": "4", "SWEEPERS": "5", "SWEEPER_STATE_DIR": "/x"}
    assert load_settings(None, {}, others) == Settings()


def test_a_bad_value_from_outside_names_the_variable_or_flag():
    found = problem(None, {}, {"SWEEPER_MIN_AGE": "soon"})
    assert (found.key, found.value, found.file, found.line) == ("SWEEPER_MIN_AGE", '"soon"', None, None)
    assert problem(None, {"min_age": "soon"}).key == "--min-age"
    assert problem(None, {"registry": ("ftp://x",)}).key == "--registry"
    assert problem(None, {}, {"SWEEPER_SWEEP__MAX_PER_SWEEP": "ten"}).message == "must be a whole number"


def test_paths_of_the_command_line_are_relative_to_where_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {"root": "ws/../volume", "control_dir": Path("control")}, {})
    assert settings.volume.root == tmp_path / "volume"
    assert settings.volume.control_dir == tmp_path / "control"


# --- bad values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        ("volume", 'root = "mnt/x"', "absolute"),
        ("volume", 'root = "/mnt/../etc"', "'..'"),
        ("volume", "root = 3", "must be text"),
        ("volume", 'root = "/usr"', "system directory"),
        ("volume", 'root = "/mnt/x\\u0000"', "NUL"),
        ("volume", 'id_pattern = "(?P<id>["', "regular expression"),
        ("volume", 'id_pattern = "[a-z]+"', "group named 'id'"),
        ("volume", 'id_pattern = "(?P<id>.*)"', "empty name"),
        ("volume", "depth = 0", "greater than or equal to 1"),
        ("volume", "depth = 5", "less than or equal to 4"),
        ("volume", 'depth = "2"', "whole number"),
        ("volume", "depth = true", "whole number"),
        ("volume", "depth = 1.0", "whole number"),
        ("volume", 'require_mount = "yes"', "true or false"),
        ("volume", "require_mount = 1", "true or false"),
        ("policy", 'min_age = "1 fortnight"', "not a duration"),
        ("policy", 'min_age = "-1h"', "not a duration"),
        ("policy", "min_age = -1", "between 0 and"),
        ("policy", "min_age = nan", "between 0 and"),
        ("policy", "min_age = inf", "between 0 and"),
        ("policy", "min_age = true", "not a duration"),
        ("policy", "min_age = 2024-01-01", "not a duration"),
        ("policy", 'protect = "demo-*"', "list of patterns"),
        ("policy", 'protect = ["a", 3]', "not a pattern"),
        ("policy", 'protect = ["a/"]', "'/' at its ends"),
        ("policy", 'unexplained = "delete"', "must be 'remove' or 'set-aside'"),
        ("sweep", "max_per_sweep = 0", "greater than or equal to 1"),
        ("sweep", 'max_bytes = "20 potatoes"', "not a size"),
        ("sweep", "max_bytes = 0", "at least one byte"),
        ("sweep", "max_bytes = 1.5", "not a size"),
        ("sweep", 'order = "newest"', "must be 'oldest' or 'largest'"),
        ("sweep", 'impact = "brutal"', "must be 'gentle', 'balanced' or 'fast'"),
        ("sweep", "max_ops_per_second = 0", "at least 1"),
        ("sweep", 'remove = "later"', "must be 'now' or 'set-aside'"),
        ("sweep", 'syslog = "on"', "must be true, false, "),
        ("sweep", 'syslog = "/dev/../log"', "must not contain '..'"),
        ("sweep", "syslog = 1", "must be true, false, "),
        ("sweep", 'ticket_pattern = "("', "is not a regular expression"),
        ("sweep", 'plan_max_age = "soon"', "is not a duration"),
    ],
)
def test_a_bad_value_names_key_value_file_and_line(config, section, line, message):
    path = config(f"# a comment\n\n[{section}]\n{line}\n")
    found = problem(path)
    assert message in found.message
    assert found.key == f"{section}.{line.partition(' ')[0]}"
    assert (found.file, found.line) == (path, 4)
    assert found.value
    assert str(found).startswith(f"{path}:4: {found.key} = {found.value}: ")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "is no registry"),
        ("collab.db", "is no registry"),
        ("mysql://u@h/d", "is no registry"),
        ("postgresql+asyncpg://u@h/d", "needs the driver psycopg"),
        ("postgresql://u@h/", "names no database"),
        ("postgresql:u@h/d", "'//' is missing"),
        ("postgresql://u@h:port/d", "is no URL"),
        ("sqlite://", "names no database file"),
        ("sqlite:///:memory:", "names no database file"),
        ("sqlite:///collab.db", "four slashes"),
        ("sqlite:////a.db?mode=rwc", "no '?' parameters"),
        ("sqlite+aiosqlite:////a.db", "Python's own driver"),
        ("https:///sessions", "names no host"),
        ("https://h/a b", "white space"),
        ("https://h/a#b", "'#'"),
        ("file:ids.txt", "relative path"),
        ("file://host/ids.txt", "another host"),
        ("exec:", "names no command"),
        ("exec:ssh 'db", "command line"),
    ],
)
def test_a_source_that_can_not_be_meant_is_refused(config, source, message):
    found = problem(config(f'[[registry]]\nsource = "{source}"\n'))
    assert message in found.message
    assert (found.key, found.line) == ("registry[0].source", 2)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("postgresql://u@h/d", "sql"),
        ("postgres://u@h/d", "sql"),
        ("postgresql+psycopg://u@[::1]:5433/d?sslmode=require", "sql"),
        ("postgresql:///d?host=/run/postgresql", "sql"),
        ("sqlite:////a b/c%20d.db", "sql"),
        ("sqlite+pysqlite:////a.db", "sql"),
        ("http://h:8080/sessions", "http"),
        ("https://h/sessions?per_page=100", "http"),
        ("file:/ids", "file"),
        ("file:///ids", "file"),
        ("exec:ssh h 'sqlite3 -json db \"SELECT 1\"'", "exec"),
    ],
)
def test_the_kind_follows_from_the_source(source, kind):
    assert RegistrySettings(source=SecretStr(source)).kind == kind


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("file:/a", 'query = "SELECT 1"', "only for SQL"),
        ("sqlite:////a", 'query = " "', "empty"),
        ("sqlite:////a", 'items = "data"', "only for HTTP and file and exec"),
        ("exec:a", "allow_replica = true", "only for SQL"),
        ("file:/a", 'token_env = "T"', "only for HTTP"),
        ("https://h/", 'token_env = "a token"', "name of a variable"),
        ("https://h/", 'token_env = "T"\ntoken_file = "/t"', "both set"),
        ("https://u:p@h/", 'token_env = "T"', "both set"),
        ("http://h/", 'token_env = "T"', "without encryption"),
        ("http://h/", 'token_file = "/t"', "without encryption"),
        ("https://h/", 'timeout = "0s"', "between 0.1 seconds"),
    ],
)
def test_keys_that_do_not_fit_the_source_are_refused(config, source, line, message):
    found = problem(config(f'[[registry]]\nsource = "{source}"\n{line}\n'))
    assert message in found.message


def test_a_secret_over_plain_http_is_refused_but_to_this_host():
    with pytest.raises(ValidationError, match="without encryption"):
        RegistrySettings(source=SecretStr("http://u:p@h/"))
    assert RegistrySettings(source=SecretStr("http://127.0.0.1:8000/"), token_env="T").kind == "http"


def test_all_problems_are_told_at_once_in_reading_order(config):
    path = config(
        '[volume]\ndepth = 9\nroot = "/srv/people"\n[policy]\nmin_age = 1979-01-01\n[[registry]]\ntimeout = 1\n'
    )
    environ = {"SWEEPER_SWEEP__ORDER": "x", "HOME": "/srv/people/ann"}
    assert [(p.key, p.line) for p in problems(path, {}, environ)] == [
        ("volume.depth", 2),
        ("volume.root", 3),
        ("policy.min_age", 5),
        ("registry[0].source", 6),
        ("SWEEPER_SWEEP__ORDER", None),
    ]
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {}, environ)
    assert len(str(caught.value).splitlines()) == 5


def test_a_missing_source_points_to_its_table(config):
    found = problem(config('[[registry]]\nsource = "file:/a"\n\n[[registry]]\ntimeout = "3s"\n'))
    assert (found.key, found.line, found.message) == ("registry[1].source", 4, "is missing")


@pytest.mark.parametrize(
    ("text", "key", "line", "hint"),
    [
        ("[volume]\nrooot = 1", "volume.rooot", 2, "did you mean 'root'?"),
        ("[volum]\nroot = 1", "volum", 1, "did you mean 'volume'?"),
        ("[[registry]]\nsource = 'file:/a'\ntimeuot = 1", "registry[0].timeuot", 3, "did you mean 'timeout'?"),
        ("config_file = '/x'", "config_file", 1, "unknown section"),
        ("[[registry]]\nsource = 'file:/a'\nwritten = 'file:/b'", "registry[0].written", 3, "unknown key"),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(config, text, key, line, hint):
    found = problem(config(text))
    assert (found.key, found.line) == (key, line)
    assert hint in found.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volume = 3", "write [volume]"),
        ("[registry]\nsource = 'file:/a'", "[[registry]]"),
        ("registry = [1]", "[[registry]]"),
    ],
)
def test_a_section_of_the_wrong_kind_is_explained(config, text, message):
    assert message in problem(config(text)).message


def test_broken_toml_names_the_line(config):
    found = problem(config('[volume]\nroot = "/mnt/x\n'))
    assert found.line == 2
    assert "not valid TOML" in found.message


def test_a_file_in_another_encoding_names_the_line(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b"[volume]\n# gr\xfc\xdfe\n")
    path.chmod(0o600)
    assert (problem(path).line, problem(path).message) == (2, "is not UTF-8")


# --- lines -----------------------------------------------------------------------------------------------------------


DOCUMENT = """# a comment: root = 1

[volume]
root = "/a"   # [registry]
id_pattern = '''
depth = 2
[policy]
'''
depth = 1

[[registry]]
source = "x"

[[registry]]

timeout = 3
[policy]
protect = [
  "a",
  # min_age = 3
  "b",
]
min_age = 4

[sweep]
order = "x"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("volume",), 3),
        (("volume", "root"), 4),
        (("volume", "id_pattern"), 5),
        (("volume", "depth"), 9),
        (("registry", 0), 11),
        (("registry", 0, "source"), 12),
        (("registry", 1), 14),
        (("registry", 1, "timeout"), 16),
        (("policy", "protect"), 18),
        (("policy", "protect", 1), 18),
        (("policy", "min_age"), 23),
        (("sweep", "order"), 26),
        (("sweep", "nothing"), None),
        (("registry", 2), None),
    ],
)
def test_the_line_of_a_key_is_where_its_statement_begins(path, line):
    assert toml.line_of(DOCUMENT, path) == line


STATEMENTS = st.lists(
    st.sampled_from(
        [
            "# a comment\n",
            "\n",
            "{} = 1\n",
            "{} = 'x' # {}\n",
            '{} = """\n# a\n\nb = 2\n"""\n',
            "{} = [\n  1,\n\n  # {}\n  2,\n]\n",
            "[{}]\n",
            "[[{}]]\n",
        ]
    ),
    max_size=30,
)


@given(STATEMENTS)
def test_every_statements_line_is_found(statements):
    text = ""
    table: tuple[str | int, ...] = ()
    expected: dict[tuple[str | int, ...], int] = {}
    for index, statement in enumerate(statements):
        key = f"k{index}"
        path: tuple[str | int, ...] = (*table, key)
        if statement.startswith("["):
            path = (key, 0) if statement.startswith("[[") else (key,)
            table = path
        if "{}" in statement:
            expected[path] = text.count("\n") + 1
        text += statement.replace("{}", key)
    assert {path: toml.line_of(text, path) for path in expected} == expected


# --- the file itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "who"), [(0o664, "its group"), (0o646, "anyone"), (0o666, "anyone")])
def test_a_file_that_others_may_change_is_refused(config, mode, who):
    found = problem(config('[volume]\nroot = "/mnt/x"', mode))
    assert found.message.startswith(f"can be changed by {who}: chmod go-w ")


@pytest.mark.parametrize(
    "source",
    [
        f"postgresql://u:{PASSWORD}@h/d",
        f"https://{PASSWORD}@h/",
        f"https://h/s?token={PASSWORD}",
        f"exec:get --api-key {PASSWORD}",
    ],
)
def test_a_file_with_a_secret_that_anyone_may_read_is_refused(config, source):
    text = f"[[registry]]\nsource = '{source}'"
    found = problem(config(text, 0o644))
    assert "anyone may read it: chmod o-r" in found.message
    assert PASSWORD not in str(found)
    assert load_settings(config(text, 0o640), {}, {}).registry[0].source.get_secret_value() == source


def test_a_reference_to_a_variable_is_no_secret_in_the_file(config):
    path = config('[[registry]]\nsource = "postgresql://u:${PW}@h/d"', 0o644)
    (registry,) = load_settings(path, {}, {"PW": PASSWORD}).registry
    assert registry.source.get_secret_value() == f"postgresql://u:{PASSWORD}@h/d"
    assert registry.shown == "postgresql://u:${PW}@h/d"


def test_a_file_of_somebody_else_is_refused(nobodys):
    path = nobodys / "sweeper.toml"
    path.write_text("", encoding="utf-8")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o600)
    assert "belongs to another user" in problem(path).message
    assert as_nobody(load_settings, path, {}, {}).config_file == path
    os.chown(path, 0, 0)
    path.chmod(0o644)
    assert as_nobody(load_settings, path, {}, {}).config_file == path
    path.chmod(0o600)
    assert "Permission denied" in as_nobody(problem, path).message
    path.parent.chmod(0o000)
    assert "Permission denied" in as_nobody(problem, path).message


def test_a_file_that_is_none_is_refused(tmp_path):
    assert "Is a directory" in problem(tmp_path).message
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in problem(tmp_path / "pipe").message
    assert "No such file" in problem(tmp_path / "missing").message
    big = tmp_path / "big"
    big.write_bytes(b"#" * (load.MAX_CONFIG_BYTES + 1))
    assert "larger than" in problem(big).message


def test_the_file_is_found_in_the_documented_order(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(load, "SITE_CONFIG", tmp_path / "etc.toml")
    environ = {"SWEEPER_CONFIG": str(tmp_path / "variable.toml")}
    own = tmp_path / "xdg" / "sweeper" / "sweeper.toml"
    assert find_config(None, {}) is None
    load.SITE_CONFIG.touch()
    assert find_config(None, {}) == load.SITE_CONFIG
    own.parent.mkdir(parents=True)
    own.symlink_to(tmp_path / "nowhere")  # a dangling link is told, not looked past
    assert find_config(None, {}) == own
    assert "No such file" in problem(None, {}, {}).message
    assert find_config(None, environ) == tmp_path / "variable.toml"
    assert "No such file" in problem(None, {}, environ).message
    assert find_config(tmp_path / "flag.toml", environ) == tmp_path / "flag.toml"


def test_the_state_directory_can_be_chosen(tmp_path, monkeypatch):
    assert state_dir() == Path(os.environ["SWEEPER_STATE_DIR"])
    monkeypatch.delenv("SWEEPER_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_dir() == tmp_path / "sweeper"
    assert not state_dir().exists()


# --- secrets ---------------------------------------------------------------------------------------------------------

SECRET_SOURCES = [
    (f"postgresql://reader:{PASSWORD}@db/collab", "postgresql://reader:***@db/collab"),
    (
        f"postgresql://reader@db/collab?password={PASSWORD}&sslmode=require",
        "postgresql://reader@db/collab?password=***&sslmode=require",
    ),
    (f"https://{PASSWORD}@api/s", "https://***@api/s"),
    (f"https://me:{PASSWORD}@api/s?page=1", "https://***@api/s?page=1"),
    (f"https://api/s?api_key={PASSWORD}&page=1", "https://api/s?api_key=***&page=1"),
    (f"https://api/s?X-Amz-Signature={PASSWORD}", "https://api/s?X-Amz-Signature=***"),
    (f"exec:env PGPASSWORD={PASSWORD} psql -c 'SELECT id'", "exec:env PGPASSWORD=*** psql -c 'SELECT id'"),
    (f"exec:get --token {PASSWORD} --all", "exec:get --token *** --all"),
    (f"exec:get --token={PASSWORD}", "exec:get --token=***"),
    (
        f"exec:curl -H 'Authorization: Bearer {PASSWORD}' https://api/",
        "exec:curl -H 'Authorization: Bearer ***' https://api/",
    ),
    (f"exec:psql postgresql://u:{PASSWORD}@h/d", "exec:psql postgresql://***@h/d"),
]


@pytest.mark.parametrize(("source", "shown"), SECRET_SOURCES)
def test_a_secret_is_shown_nowhere(source, shown):
    registry = RegistrySettings(source=SecretStr(source))
    settings = Settings(registry=(registry,))
    assert registry.shown == shown
    assert contains_secret(source)
    assert not contains_secret(shown)
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert PASSWORD not in text
    assert PASSWORD not in without(f"error near {PASSWORD}", secrets_in(source))
    assert settings.to_wire().count(PASSWORD.encode()) == 1


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://reader@db/collab?sslmode=verify-full&sslkey=/etc/key.pem",
        "sqlite:////var/lib/secret/tokens.db",
        "https://api/tokens/sessions?sort=key&page=2",
        "exec:ssh host sqlite3 -json /db 'SELECT id, author, session_key FROM s'",
        "exec:list --author=me --keep",
        "file:/password=abc",
    ],
)
def test_what_is_no_secret_stays_readable(source):
    assert masked(source) == source


@pytest.mark.parametrize(
    "source",
    [
        f"postgresql://u:{PASSWORD}/x@h/d",
        f"postgresql://u:{PASSWORD}#x@h/d",
        f"postgresql://u:123/{PASSWORD}@h/d",
        f"mysql://u:{PASSWORD}@h/d",
        f"https://u:{PASSWORD}/x@h/d",
        f"ftp://{PASSWORD}",
        f"exec:get --token {PASSWORD} 'oops",
        f"{PASSWORD}",
        f"http://u:{PASSWORD}@h/d",
    ],
)
def test_an_error_about_a_source_does_not_print_its_secret(config, source):
    for found in (problem(config(f'[[registry]]\nsource = "{source}"')), problem(None, {"registry": (source,)})):
        assert PASSWORD not in str(found)
    with pytest.raises(ValidationError) as caught:
        RegistrySettings(source=SecretStr(source))
    assert PASSWORD not in str(caught.value)


def test_an_unknown_keys_value_is_not_printed(config):
    text = f'[[registry]]\nsource = "https://h/"\npassword = "{PASSWORD}"\n[volume]\npasword = "{PASSWORD}"'
    with pytest.raises(SettingsError) as caught:
        load_settings(config(text), {}, {})
    assert len(caught.value.problems) == 2
    assert PASSWORD not in str(caught.value)


def test_a_missing_variable_is_an_error_and_nothing_else_is_hidden_by_it(config):
    path = config('[[registry]]\nsource = "postgresql://u:${NO_SUCH}@h/d"\ntimeout = "x"')
    first, second = problems(path, {}, {"NO_SUCH": ""})
    assert (first.line, second.line) == (2, 3)
    assert "NO_SUCH that it refers to is not set" in first.message
    assert first.value == '"postgresql://u:${NO_SUCH}@h/d"'


def test_a_variable_stays_within_its_argument_and_can_be_escaped():
    environ = {"SWEEPER_REGISTRY": "exec:ssh ${HOST} 'echo $${HOME}' \"${ODD}\"", "HOST": "db", "ODD": "a b; 'c"}
    (registry,) = load_settings(None, {}, environ).registry
    assert registry.source.get_secret_value() == """exec:ssh db 'echo ${HOME}' 'a b; '"'"'c'"""
    assert registry.shown == environ["SWEEPER_REGISTRY"]


@given(st.text(st.sampled_from(string.ascii_letters + string.digits + "-._~!$&'()*+,;=%")).filter(lambda s: len(s) > 3))
def test_no_password_that_a_url_can_carry_is_ever_shown(password):
    for source in (f"postgresql://zz:{password}@zz/zz", f"https://zz:{password}@zz/zz", f"https://{password}@zz/"):
        scheme, _, shown = masked(source).partition("://")
        assert scheme in ("postgresql", "https")
        assert password not in shown.replace("***", "")


# --- the wire --------------------------------------------------------------------------------------------------------


def test_settings_survive_the_wire_with_their_secrets(config):
    path = config(f"""
[volume]
root = "/mnt/grün"
[[registry]]
source = "postgresql://u:{PASSWORD}@h/d"
[[registry]]
source = "https://h/"
token_file = "/run/secrets/token"
[policy]
protect = ["a", "b"]
unexplained = "remove"
[sweep]
max_bytes = "1GB"
order = "largest"
""")
    settings = load_settings(path, {}, {})
    again = Settings.from_wire(settings.to_wire())
    assert again == settings
    assert again.registry[0].source.get_secret_value().count(PASSWORD) == 1


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"volume": {"depth": 77}}', b'{"surprise": 1}'])
def test_anything_else_on_the_wire_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        Settings.from_wire(data)


def test_the_wire_is_json():
    assert set(json.loads(Settings().to_wire())) == {"volume", "registry", "policy", "sweep", "config_file"}


def test_the_default_query_reads_the_source_systems_table():
    assert "FROM collab_session" in DEFAULT_QUERY
    assert RegistrySettings(source=SecretStr("sqlite:////a")).query == DEFAULT_QUERY


# --- roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    "/ // /home /home/ann /root /usr /usr/share/x /etc /etc/x /var /var/lib /var/log/x /bin /lib/x /lib64 /boot/efi"
    " /dev /proc/1 /sys /tmp /opt /run /run/user /dev/shm /lost+found /srv/home /srv/home/ann /home/../usr /mnt/../etc"
    " /usr//bin/ //etc".split(),
)
def test_a_dangerous_root_is_refused(path):
    assert dangerous_root(Path(path), [Path("/srv/home/ann"), Path("/home/bob")])


@pytest.mark.parametrize(
    "path",
    "/mnt /mnt/efs /srv/ws /var/opencode /var/opencode/workspaces /var/lib/collab /home/ann/workspaces /data"
    " /dev/shm/x /tmp/x /opt/collab/ws /usrlocal /media/usb/ws /srv/home/ann/ws /run/media/ann/ws".split(),
)
def test_a_place_for_workspaces_is_accepted(path):
    assert dangerous_root(Path(path), [Path("/srv/home/ann")]) is None


def test_the_users_own_homes_are_refused(config):
    environ = {"HOME": "/srv/people/ann"}
    for root in ("/srv/people/ann", "/srv/people"):
        found = problem(config(f'[volume]\nroot = "{root}"'), {}, environ)
        assert "home directory" in found.message
        assert found.line == 2
    assert problem(None, {}, {**environ, "SWEEPER_ROOT": "/srv/people"}).key == "SWEEPER_ROOT"
    assert load_settings(config('[volume]\nroot = "/srv/people/ann/ws"'), {}, environ).volume.root


@pytest.mark.parametrize(
    ("control", "message"),
    [("/mnt/ws", "must not be the root"), ("/mnt", "contain it"), ("/mnt/ws/control", "lies in a workspace")],
)
def test_a_control_directory_among_the_workspaces_is_refused(config, control, message):
    path = config(f'[volume]\nroot = "/mnt/ws"\ncontrol_dir = "{control}"')
    assert message in problem(path).message


@pytest.mark.parametrize("control", ["/mnt/.sweeper-ws", "/mnt/ws/.sweeper", "/elsewhere", ""])
def test_other_control_directories_are_accepted(config, control):
    path = config(f'[volume]\nroot = "/mnt/ws"\ncontrol_dir = "{control}"')
    assert load_settings(path, {}, {}).volume.control_dir == (Path(control) if control else None)
