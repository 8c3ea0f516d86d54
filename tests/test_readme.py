"""The README names the commands, the options and the exit codes that there are."""

import re
import tomllib
from pathlib import Path

import typer

from sweeper_gui.cli.app import app
from sweeper_gui.cli.codes import Code
from sweeper_gui.settings import load_settings

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()

#: Said once for all commands.
_COMMON = {"--root", "--registry", "--query", "--min-age", "--control-dir", "--config", "--help"}
#: Spoken by the window, not by people.
_INTERNAL = {"engine"}


def test_every_command_is_told_with_its_options():
    told = {
        row.split()[1].rstrip("`"): set(re.findall(r"--[a-z-]+", row))
        for row in re.findall(r"^\| `(sweeper [a-z]+[^`]*)`", README, re.MULTILINE)
    }
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    there = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")} - _COMMON
        for name, command in group.commands.items()
        if name not in _INTERNAL
    }
    assert told == there


def test_every_common_option_is_told():
    sentence = README[README.index("`sweeper` opens the window.") :].split("|")[0]
    assert set(re.findall(r"--[a-z-]+", sentence)) == _COMMON - {"--help"}


def test_every_exit_code_is_told():
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == {int(code) for code in Code}


def test_the_example_of_a_configuration_is_one(tmp_path: Path):
    example = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    (tmp_path / "sweeper.toml").write_text(example.group(1))
    settings = load_settings(tmp_path / "sweeper.toml")
    assert settings.volume.root == Path("/mnt/efs/workspaces")
    assert settings.volume.require_mount
    assert len(settings.registry) == 1


def test_what_it_refers_to_exists():
    for target in re.findall(r"\]\(([^):]+)\)", README):
        assert (PROJECT / target).exists(), target
    tomllib.loads((PROJECT / "resources" / "sweeper.toml").read_text())
