"""Every command, over names, titles and errors that would command a terminal, a shell or whoever formats them."""

import json
import os
import shlex
from pathlib import Path

import pytest

from sweeper_gui.core.names import visible
from tests.cli.conftest import CommandLine, Ran
from tests.support.evil import NAMES, TEXT, TEXTS
from tests.support.volume import FakeVolume

REPO = Path(__file__).parents[2]


@pytest.fixture
def evil(volume: FakeVolume, sweeper: CommandLine) -> list[bytes]:
    """Workspaces of all the names, whose sessions are deleted, with titles and owners to match; the names as bytes."""
    made = []
    for number, name in enumerate(NAMES):
        path = os.fsencode(volume.root) + b"/" + name
        os.makedirs(path + b"/repo/" + name[:100])
        try:
            id_ = name.decode("utf-8")
        except UnicodeDecodeError:
            continue  # is foreign: no id can be in it
        volume.session(id_, deleted_at=1_600_000_000, title=TEXTS[number], owner=TEXTS[-number])
        made.append(name)
    volume.live("alive")
    (Path(sweeper.config)).write_text(
        f'[volume]\nroot = "{volume.root}"\nid_pattern = "(?s)(?P<id>.+)"\n'
        f'[[registry]]\nsource = "{volume.source}"\n[policy]\nmin_age = "0s"\n'
    )
    return made


def harmless(ran: Ran) -> str:
    """What was said: nothing in it that a terminal would obey, and nothing that was obeyed."""
    text = ran.out + ran.err
    assert text.replace("\n", "").isprintable(), repr(text)
    assert "Traceback" not in text
    assert not [place for place in (REPO, Path.home(), Path("/")) if (place / "pwned").exists()]
    return text


def test_every_command_over_every_name(evil: list[bytes], sweeper: CommandLine, volume: FakeVolume) -> None:
    listing, documents = sweeper("list"), sweeper("list", "--json")
    text = harmless(listing)
    assert [name for name in NAMES if visible(name) not in text] == [], text
    harmless(documents)
    assert {w["name"] for w in documents.json["workspaces"]} >= {visible(name) if b"\xff" in name else os.fsdecode(name)
                                                               for name in NAMES}  # fmt: skip
    for arguments in (["--dry-run"], ["--set-aside", "--yes"]):
        ran = sweeper("sweep", *arguments, "--", *evil)
        text = harmless(ran)
        assert ran.code == 0, text
        assert all(visible(name) in text for name in evil)
    for command in (
        ["trash"],
        ["trash", "--json"],
        ["history"],
        ["history", "--json"],
        ["doctor"],
        ["resume", "--yes"],
    ):
        harmless(sweeper(*command))
    (found,) = {path for path in volume.root.iterdir() if path.name == "alive"}
    assert found.is_dir()
    ran = sweeper("history", "--", evil[3])
    assert visible(evil[3]) in harmless(ran)
    some = evil[:6]
    assert sweeper("restore", "--json", "--", *some).json["outcomes"]
    text = harmless(sweeper("purge", "--yes", "--", *evil))
    assert all(visible(name) in text for name in evil)
    harmless(sweeper("list", "--compare", os.devnull))
    left = {os.fsencode(path.name) for path in volume.root.iterdir()} - {b".sweeper-claim"}
    assert left == {*some, b"alive", *(set(NAMES) - set(evil))}


def test_errors_and_options_that_repeat_what_strangers_say(evil: list[bytes], sweeper: CommandLine) -> None:
    """A registry's complaint, a name that is not there, a list of another tool, a root and a ticket."""
    complaint = shlex.join(["sh", "-c", 'printf "%s" "$1" >&2; exit 3', "x", TEXT])
    for registry in (
        f"exec:{complaint}",
        "exec:" + shlex.join(["printf", "%s", json.dumps([{"id": 1, "x": TEXT}, TEXT])]),
    ):
        for command in (["list"], ["doctor"], ["sweep", "--yes"], ["bind"]):
            harmless(sweeper("--registry", registry, *command))
    listed = sweeper.config.parent / "their-list"
    listed.write_bytes(b"\n".join(name for name in NAMES if b"\n" not in name))
    harmless(sweeper("list", "--no-size", "--compare", str(listed)))
    for arguments in (
        ["sweep", "--yes", "--", f"nowhere{TEXT}"], ["restore", "--", f"nowhere{TEXT}"], ["--root", f"/{TEXT}", "list"],
        ["--config", f"/{TEXT}", "list"], ["sweep", "--yes", "--ticket", TEXT], ["--min-age", TEXT, "list"],
        ["--registry", TEXT, "list"], ["--control-dir", f"/{TEXT}", "list"], ["history", "--ticket", TEXT], [TEXT],
    ):  # fmt: skip
        harmless(sweeper(*arguments))
