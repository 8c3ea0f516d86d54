"""No command shows or keeps a secret of its settings, whether its registries answer or not."""

import json
import os
from pathlib import Path

import pytest

from sweeper_gui.engine import messages as m
from sweeper_gui.engine.process import EngineProcess
from sweeper_gui.settings import Settings, load_settings
from tests.cli.conftest import CommandLine, Ran
from tests.support.volume import FakeVolume

#: Each is found nowhere else.
CANARY = "c4n4ry"


def secret(number: int) -> str:
    return f"{CANARY}{number}x"


DATABASE = f"postgresql://reader:{secret(1)}@127.0.0.1:1/collab"
READING = [
    ["list"], ["list", "--json"], ["sweep", "--dry-run"], ["sweep", "--dry-run", "--json"], ["trash", "--json"],
    ["history", "--json"], ["doctor"], ["doctor", "--json"], ["plan"],
]  # fmt: skip
CHANGING = [
    ["sweep", "gone-0", "--set-aside", "--yes"], ["restore", "gone-0"], ["bind"],
    ["sweep", "gone-0", "--yes", "--json"], ["sweep", "lost-0", "--yes"], ["purge", "lost-0", "--yes"],
    ["resume", "--yes"],
]  # fmt: skip


@pytest.fixture
def kept(volume: FakeVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume, and where everything is kept that the commands write."""
    volume.live("live-0")
    volume.deleted("gone-0")
    volume.unexplained("lost-0")
    monkeypatch.setenv("SWEEPER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def configured(volume: FakeVolume, *registries: str) -> str:
    parts = [f'[volume]\nroot = "{volume.root}"', *(f"[[registry]]\n{one}" for one in registries)]
    return "\n".join([*parts, '[policy]\nmin_age = "0s"', ""])


def told_nothing(kept: Path, *ran: Ran) -> None:
    for one in ran:
        assert CANARY not in one.out + one.err, one
        assert "Traceback" not in one.out + one.err
    for path in kept.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name not in ("sweeper.toml", "token", "registry"):
            assert CANARY.encode() not in path.read_bytes(), path


def test_registries_that_answer(kept: Path, volume: FakeVolume, sweeper: CommandLine) -> None:
    """A command that is given secrets in every way there is, and a database."""
    sessions = [
        {"id": "live-0", "title": "a"},
        {"id": "gone-0", "deleted_at": 1_600_000_000},
    ]
    (kept / "registry").write_text(json.dumps(sessions))
    command = f"exec:sh -c 'cat {kept}/registry' x --password={secret(1)} --token {secret(2)} https://u:{secret(3)}@h/"
    sweeper.configure(configured(volume, f'source = "{command} ${{SECRET}}"', f'source = "{volume.source}"'))
    environ = {"SECRET": secret(4)}
    reading = [sweeper.start(*arguments, environ=environ) for arguments in READING]
    told_nothing(kept, *map(sweeper.end, reading))
    ran = [sweeper(*arguments, environ=environ) for arguments in CHANGING]
    assert [one.code for one in ran] == [0] * len(CHANGING), ran
    told_nothing(kept, *ran)
    assert "c4n4ry" not in str(sorted(kept.rglob("*")))
    told_nothing(kept, *(sweeper(*arguments, environ=environ) for arguments in (["history"], ["trash"])))


def test_registries_that_fail(kept: Path, volume: FakeVolume, sweeper: CommandLine) -> None:
    (kept / "token").write_text(secret(6))
    (kept / "token").chmod(0o600)
    failing = "exec:sh -c 'echo refused: $0 $1 >&2; exit 3'"
    sweeper.configure(
        configured(
            volume,
            f'source = "postgresql://reader:{secret(1)}@127.0.0.1:1/collab?sslpassword={secret(2)}"',
            f'source = "https://user:{secret(3)}@127.0.0.1:1/x?access_token={secret(4)}"',
            f'source = "https://127.0.0.1:1/y"\ntoken_file = "{kept}/token"',
            f'source = "{failing} --api-key={secret(5)} --secret=${{SECRET}}"',
        )
    )
    environ = {"SECRET": secret(7)}
    commands = [*READING, ["sweep", "--yes"], ["bind"], ["purge", "--older-than", "0s", "--yes"], ["resume", "--yes"]]
    told_nothing(kept, *map(sweeper.end, [sweeper.start(*arguments, environ=environ) for arguments in commands]))


@pytest.mark.parametrize(
    "source",
    [
        f"postgresql://reader:{secret(1)}/x@:db", f"https://user:{secret(1)}@[::1/x", f"mysql://u:{secret(1)}@h/d",
        f"exec:'unclosed --password={secret(1)}", f"postgresql://u:{secret(1)}@h:port/d",
    ],
)  # fmt: skip
def test_settings_that_are_wrong(kept: Path, volume: FakeVolume, sweeper: CommandLine, source: str) -> None:
    sweeper.configure(configured(volume, f'source = "{source}"'))
    ran = sweeper("doctor", "--json")
    assert ran.code == 2
    told_nothing(kept, ran)


def test_the_engines_arguments_hold_nothing_and_no_setting_shows_one(volume: FakeVolume, tmp_path: Path) -> None:
    """Anyone on the host may read what a process was started with: the engine gets its settings through the pipe."""
    (tmp_path / "sweeper.toml").write_text(configured(volume, f'source = "{DATABASE}"'))
    (tmp_path / "sweeper.toml").chmod(0o600)
    settings = load_settings(tmp_path / "sweeper.toml")
    assert secret(1) in settings.secrets
    engine = EngineProcess()
    try:
        assert isinstance(engine.request(m.Open(settings.to_wire())), m.Opened)
        for name in ("cmdline", "environ", "comm"):
            assert CANARY.encode() not in Path(f"/proc/{engine.pid}/{name}").read_bytes()
    finally:
        engine.close()
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.registry[0])):
        assert CANARY not in text


def test_an_error_that_should_not_happen_holds_none(kept: Path, volume: FakeVolume, sweeper: CommandLine) -> None:
    """The module that reads the trash fails with the secret in its words, and in the error that led to it."""
    (kept / "faulty").mkdir()
    (kept / "faulty" / "sitecustomize.py").write_text(
        "import sys\n"
        "def fail(*_, **__):\n"
        f"    try: raise OSError('u:{secret(1)}@h')\n"
        f"    except OSError as error: raise RuntimeError('it was {secret(1)}') from error\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'sweeper_gui.engine.diagnose':\n"
        "            from sweeper_gui.engine import scan\n"
        "            scan.list_workspaces = fail\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    sweeper.configure(configured(volume, f'source = "{DATABASE}"'))
    ran = sweeper("list", environ={"PYTHONPATH": f"{kept / 'faulty'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})
    (kept / "faulty" / "sitecustomize.py").unlink()
    assert ran.code == 1, ran
    assert "RuntimeError: it was ***" in ran.err
    told_nothing(kept, ran)
    log = (kept / "state" / "sweeper.log").read_text()
    assert "RuntimeError: it was ***" in log
    assert "OSError: u:***@h" in log
    assert "Traceback" in log


def test_settings_hide_what_variables_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", secret(1))
    settings = Settings.model_validate(
        {"registry": [{"source": "https://h/x", "token_env": "TOKEN"}, {"source": f"https://h/?token={secret(2)}"}]}
    )
    assert settings.secrets == {secret(1), secret(2)}
