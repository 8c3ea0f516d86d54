"""A registry behind a command: no shell, no waiting for ever, nothing left behind."""

import os
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest

from sweeper_gui.core.snapshot import RegistryIdentity, Session
from sweeper_gui.registries import command, identity_of, read_all
from sweeper_gui.settings import load_settings
from tests.registries.conftest import Reader, registry


def exec_(*arguments: object) -> str:
    return "exec:" + shlex.join(map(str, arguments))


def python(code: str, *arguments: object) -> str:
    return exec_(sys.executable, "-c", code, *arguments)


def sh(script: str) -> str:
    return exec_("sh", "-c", script)


def wait_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="ascii"):
            return True
        time.sleep(0.01)
    return False


def test_what_it_prints_is_read_like_a_file(read: Reader):
    assert read("exec:printf 'a\\nb\\n'").sessions == (Session("a"), Session("b"))
    result = read(exec_("echo", '{"rows": [{"id": 1, "deleted_at": 1700000000}]}'), items="rows")
    assert result.sessions == (Session("1", True, deleted_at=1700000000.0),)


def test_no_shell_is_involved(read: Reader, tmp_path: Path):
    text = f"a;touch{tmp_path}/x&&$(touch{tmp_path}/x)>{tmp_path}/y`id`*"
    (session,) = read(exec_("echo", text)).sessions
    assert session.id == text
    assert list(tmp_path.iterdir()) == []


def test_it_has_the_users_environment_and_no_input(read: Reader, monkeypatch):
    monkeypatch.setenv("OF_THE_USER", "yes")
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    os.write(writing, b"typed in the terminal")
    os.close(writing)
    try:
        result = read(python("import os, sys; print(os.environ['OF_THE_USER'] + repr(sys.stdin.read()))"))
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)
    assert result.sessions == (Session("yes''"),)


def test_a_bundles_library_path_is_kept_from_it(read: Reader, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/bundle")
    code = "import os; print(os.environ.get('LD_LIBRARY_PATH', 'none'))"
    assert read(python(code)).sessions[0].id == "none"
    monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", "/the/users")
    assert read(python(code)).sessions[0].id == "/the/users"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("exec:no-such-program-anywhere a b", "names a command that does not exist"),
        (sh("exit 3"), "failed with exit code 3"),
        (sh("echo a; echo b; exit 1"), "failed with exit code 1"),
        (sh("echo 'no such host' >&2; exit 255"), "failed with exit code 255: no such host"),
        (sh("kill -9 $$"), "was ended by signal SIGKILL"),
        (sh("exit 0"), "printed nothing"),
        (sh("echo 'is it on?' >&2"), "printed nothing: is it on?"),
        (sh("echo '[1, 2'"), "no complete JSON document"),
    ],
)
def test_a_failure_is_explained(read: Reader, source: str, error: str):
    result = read(source)
    assert error in (result.error or "")
    assert result.sessions == ()


def test_a_file_that_is_no_program_is_explained(read: Reader, tmp_path: Path):
    path = tmp_path / "program"
    path.write_text("echo a", encoding="ascii")
    assert "may not be executed" in (read(exec_(path)).error or "")
    path.chmod(0o755)
    assert "can't be started: Exec format error" in (read(exec_(path)).error or "")


def test_complaints_beside_a_success_are_no_failure(read: Reader):
    assert read(sh("echo 'Welcome to db1' >&2; echo a")).sessions == (Session("a"),)


def test_much_output_on_both_sides_blocks_nothing(read: Reader):
    code = "import sys\nfor n in range(20000): print(f'id-{n}'); print('complaint ' * 9, file=sys.stderr)"
    assert len(read(python(code)).sessions) == 20_000


def test_complaints_are_quoted_short_and_harmless(read: Reader):
    code = "import sys; sys.stderr.write('x' * 10**7 + '\\n\\x1b[31mred\\u202e\\n'); sys.exit(1)"
    error = read(python(code)).error or ""
    assert len(error) < 400
    assert "\x1b" not in error
    error = read(python("import sys; sys.stderr.write('\\x1b[31mred\\u202e\\n'); sys.exit(1)")).error or ""
    assert "\\x1b[31mred\\u202e" in error


def test_too_much_output_is_refused(read: Reader, monkeypatch):
    monkeypatch.setattr(command, "MAX_BYTES", 1 << 20)
    assert "more than 1 MiB" in (read("exec:yes").error or "")


def test_the_time_limit_ends_it_and_all_that_it_started(read: Reader, tmp_path: Path):
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $! $$ > {pids}; while :; do sleep 60; done"
    start = time.monotonic()
    result = read(sh(script), timeout=0.5)
    assert "within 0.5 s" in (result.error or "")
    assert time.monotonic() - start < 5
    assert all(wait_gone(int(pid)) for pid in pids.read_text(encoding="ascii").split())


def test_output_that_a_child_may_still_add_to_is_not_believed(read: Reader, tmp_path: Path):
    pid = tmp_path / "pid"
    result = read(sh(f"echo a; sleep 60 & echo $! > {pid}"), timeout=0.5)
    assert "within 0.5 s" in (result.error or "")
    assert wait_gone(int(pid.read_text(encoding="ascii")))


def test_a_child_that_keeps_only_the_complaints_open_is_not_waited_for(read: Reader, tmp_path: Path):
    """As ssh does when it shares its connection with later calls."""
    end, gone = tmp_path / "end", tmp_path / "gone"
    script = f"(while [ ! -e {end} ]; do sleep 0.05; done; touch {gone}) > /dev/null & echo a"
    start = time.monotonic()
    assert read(sh(script), timeout=30).sessions == (Session("a"),)
    assert time.monotonic() - start < 10
    end.touch()
    while not gone.exists():
        time.sleep(0.01)


def test_a_read_is_cancelled_at_once_and_leaves_nothing(tmp_path: Path):
    cancel = threading.Event()
    pid = tmp_path / "pid"
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    start = time.monotonic()
    (result,) = read_all([registry(sh(f"echo $$ > {pid}; sleep 60"), timeout=60)], cancel=cancel).reads
    assert result.error == "cancelled"
    assert time.monotonic() - start < 2
    assert wait_gone(int(pid.read_text(encoding="ascii")))
    timer.join()


def test_its_secrets_are_kept_out_of_errors(read: Reader):
    script = 'echo "bad token $2, password $PGPASSWORD" >&2; exit 1'
    source = exec_("env", "PGPASSWORD=hunter2-secret", "sh", "-c", script, "x", "--token", "other-secret")
    result = read(source)
    assert "bad token" in (result.error or "")
    assert "secret" not in repr(result).replace("***", "")


def test_a_variables_value_is_kept_out_of_errors(monkeypatch):
    monkeypatch.setenv("THE_SECRET", "hunter2")
    settings = registry(sh("echo hunter2 >&2; exit 1"), written="exec:sh -c 'echo ${THE_SECRET} >&2; exit 1'")
    (result,) = read_all([settings]).reads
    assert result.error == "failed with exit code 1: ***"
    assert "hunter2" not in result.shown


def test_the_identity_is_the_command_without_secrets():
    identity = identity_of(registry("exec:ssh db 'list --token abc'"))
    assert identity == RegistryIdentity("exec", path="ssh db 'list --token ***'")


def test_the_directory_it_runs_in_is_ours(read: Reader):
    assert read("exec:pwd").sessions[0].id == os.getcwd()


def test_the_identity_tells_variables_apart_and_holds_none() -> None:
    """A variable may choose between production and staging, and it may be a token."""

    def identity(value: str, source: str) -> RegistryIdentity:
        settings = load_settings(
            overrides={"registry": (source,), "root": "/mnt/volume"}, environ={"STAGE": value, "HOME": "/nonexistent"}
        )
        return identity_of(settings.registry[0])

    for source in ("exec:sessions --of ${STAGE}", "https://example.org/${STAGE}/sessions"):
        production, staging = identity("production-token", source), identity("staging", source)
        assert production != staging
        assert production == identity("production-token", source)
        assert "production-token" not in str(production)
        assert "${STAGE}" in str(production)
