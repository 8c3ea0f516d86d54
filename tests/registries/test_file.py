"""A registry in a file: one id a line or JSON, whole or not at all."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.core.snapshot import RegistryIdentity, Session
from sweeper_gui.registries import file, identity_of, read_all
from tests.registries.conftest import Reader, registry
from tests.support.nobody import as_nobody

LONG_AGO = 1_700_000_000

Written = Callable[[str | bytes], str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(content: str | bytes) -> str:
        path = tmp_path / "ids"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (LONG_AGO, LONG_AGO))
        return f"file:{path}"

    return write


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\n",
        "a\nb",
        "a\r\nb\r\n",
        "\ufeffa\nb\n",
        "# exported by cron\n\n  a  \n# b2\nb\n\n",
        "a\nb\na\n",
        '["a", "b"]',
        ' \n[{"id": "a"}, {"id": "b"}]',
        '\ufeff["a", "b"]',
        '{"sessions": ["a", "b"], "next": 1}',
        '{"data": [{"id": "a"}, {"id": "b"}], "links": {}}',
    ],
)
def test_all_ids_are_live_sessions(read: Reader, written: Written, content: str):
    result = read(written(content))
    assert result.error is None
    assert result.sessions == (Session("a"), Session("b"))
    assert not result.knows_deleted


def test_objects_tell_more(read: Reader, written: Written):
    objects = [
        {"id": 7, "title": "One", "owner": "octocat", "createdAt": "2024-10-01T00:00:00Z", "deletedAt": None},
        {"id": "b", "name": "Two", "deleted_at": 1700000100000, "owner": {"login": "hubot"}},
        {"id": "c"},
    ]
    result = read(written(json.dumps({"result": {"list": objects}})), items="result.list")
    assert result.sessions == (
        Session("7", False, "One", "octocat", 1727740800.0, None),
        Session("b", True, "Two", None, None, 1700000100.0),
        Session("c"),
    )
    assert result.knows_deleted


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        (b"a\n\xff\n", "is not UTF-8 (byte 2)"),
        ("id  | name\n----+-----\n", "line 1 holds more than one id"),
        ("a\nb c\n", "line 2 holds more than one id: 'b c'"),
        ("a\x00b\n", "line 1 holds more than one id: 'a\\x00b'"),
        ('["a", "b"', "no complete JSON document"),
        ('{"id": "a"}\n{"id": "b"}\n', "no complete JSON document"),
        ('{"ids": ["a"]}', "is an object with the keys 'ids', not a list"),
        ('{"data": [], "items": []}', "not a list"),
        ("{}", "is an object with no keys"),
        ('["a", null]', "item 2 is neither an id nor an object with one: null"),
        ('["a", ["b"]]', "item 2 is neither"),
        ("[true]", "item 1 is neither"),
        ("[1.5]", "item 1 is neither"),
        ('[""]', "row 1 has an empty id"),
        ('[{"name": "a"}]', "returns no column 'id', but name"),
        ('[{"id": null}]', "row 1 has an empty id"),
        ('[{"id": {"x": 1}}]', "no text: an object"),
        ('[{"id": "a", "deleted_at": null}, {"id": "a", "deleted_at": 1700000000}]', "both live and deleted"),
        ('{"error": "database is down"}', "answered with an error: database is down"),
        ('{"success": false, "sessions": []}', "answered with an error"),
    ],
)
def test_what_can_not_be_read_for_sure_is_an_error(read: Reader, written: Written, content: str | bytes, error: str):
    result = read(written(content))
    assert error in (result.error or "")
    assert result.sessions == ()


@pytest.mark.parametrize(
    ("content", "items", "error"),
    [
        ('{"data": {"list": ["a"]}}', "data.sessions", "'sessions' is missing, found the keys 'list'"),
        ('{"data": ["a"]}', "data.list", "'list' is missing, found no object there"),
        ('{"data": {"list": "a"}}', "data.list", "has no list at 'data.list'"),
        ("a\nb\n", "data", "is no JSON document"),
    ],
)
def test_a_wrong_path_into_the_document_is_explained(read: Reader, written: Written, content, items, error):
    assert error in (read(written(content), items=items).error or "")


def test_an_empty_json_list_is_no_error_but_empty(read: Reader, written: Written):
    result = read(written("[]"))
    assert (result.error, result.sessions) == (None, ())


def test_a_file_that_is_none_is_explained(read: Reader, tmp_path: Path):
    assert read(f"file:{tmp_path}/none").error == "does not exist"
    assert "Is a directory" in (read(f"file:{tmp_path}").error or "")
    os.mkfifo(tmp_path / "pipe")
    assert read(f"file:{tmp_path}/pipe").error == "is not a regular file"
    assert read("file:/dev/zero").error == "is not a regular file"
    assert read("file:/proc/sys/kernel/ostype").error  # its size says that there is nothing in it


def test_a_file_that_is_too_large_is_refused(read: Reader, written: Written, monkeypatch):
    monkeypatch.setattr(file, "MAX_BYTES", 1 << 20)
    assert "larger than 1 MiB" in (read(written(b"a\n" * (1 << 20))).error or "")


def test_a_file_that_may_not_be_read_names_the_user(nobodys: Path):
    path = nobodys / "ids"
    path.write_text("a\n", encoding="utf-8")
    path.chmod(0o600)
    (result,) = as_nobody(read_all, [registry(f"file:{path}")]).reads
    assert result.error == "may not be read by this user"
    assert "65534" in (result.hint or "")


@pytest.mark.parametrize("how", ["append", "rewrite", "replace", "relink", "truncate"])
def test_a_file_that_changes_while_it_is_read_is_an_error(read: Reader, tmp_path: Path, monkeypatch, how: str):
    target, path = tmp_path / "target", tmp_path / "ids"
    target.write_text("a\nb\n", encoding="utf-8")
    os.utime(target, (LONG_AGO, LONG_AGO))
    path.symlink_to(target)
    content = file._content

    def change_then_read(*arguments):
        change(path, how)
        return content(*arguments)

    monkeypatch.setattr(file, "_content", change_then_read)
    result = read(f"file:{path}")
    assert "was written while it was read" in (result.error or "")
    assert "rename" in (result.hint or "")


def change(path: Path, how: str) -> None:
    if how == "append":
        with path.open("a", encoding="utf-8") as stream:
            stream.write("c\n")
    elif how == "rewrite":
        with path.open("r+", encoding="utf-8") as stream:
            stream.write("x\n")
        os.utime(path, ns=(1, 1))
    elif how == "replace":
        path.with_name("new").write_text("a\nb\n", encoding="utf-8")
        os.replace(path.with_name("new"), path.resolve())
    elif how == "relink":
        path.with_name("other").write_text("a\nb\n", encoding="utf-8")
        path.unlink()
        path.symlink_to("other")
    else:
        os.truncate(path, 2)


def test_a_writer_who_pauses_in_the_middle_is_noticed(read: Reader, tmp_path: Path):
    path = tmp_path / "ids"
    with path.open("w", encoding="utf-8", buffering=1) as writer:
        writer.write("a\n")
        rest = threading.Timer(0.2, writer.write, ["b\n"])
        rest.start()
        result = read(f"file:{path}")
        rest.join()
    assert "was written while it was read" in (result.error or "")
    assert read(f"file:{path}").sessions == (Session("a"), Session("b"))


def test_the_identity_is_the_path():
    assert identity_of(registry("file:///var/ids")) == RegistryIdentity("file", path="/var/ids")
