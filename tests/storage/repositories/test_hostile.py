"""Repositories made to run something, to lead elsewhere, to hang, or to use up what we have."""

import hashlib
import os
import random
import resource
import shutil
import stat
import struct
import threading
import time
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from dulwich.object_format import SHA1
from dulwich.pack import pack_object_header, write_pack_index_v2

from sweeper_gui.storage.queue import WorkPool
from tests.storage.repositories.rig import Repo, clone, init, make_upstream, unsaved, usage_of
from tests.support.removals import measured
from tests.support.root import need_root
from tests.support.slowfs import Fault, slow_volume


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return make_upstream(tmp_path_factory.mktemp("upstream") / "upstream.git")


@pytest.fixture
def repo(upstream: Repo, tmp_path: Path) -> Repo:
    return clone(upstream, tmp_path / "workspace" / "web", "--no-local")  # with a pack, and files of its own


@pytest.fixture
def mount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a slow volume is mounted that holds the workspace."""
    return tmp_path_factory.mktemp("volume") / "mount"


def said(pool: WorkPool, repo: Repo) -> str:
    """What is told of the only repository in a workspace."""
    lines = unsaved(pool, repo.path.parent)
    assert len(lines) <= 1, lines
    return lines[0] if lines else ""


# --- nothing of it is run ---------------------------------------------------------------------------------------------


def test_no_command_of_a_repository_is_run(repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    canary = tmp_path / "canary"
    command = f"touch {canary}"
    keys = [
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.gitProxy", "core.askPass",
        "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "diff.external",
        "credential.helper", "gpg.program", "uploadpack.packObjectsHook", "alias.status", "remote.origin.uploadpack",
        "core.alternateRefsCommand",
    ]  # fmt: skip
    for key in keys:
        repo.git("config", key, command)
    repo.git("config", "core.hooksPath", ".git/hooks")
    repo.git("config", "include.path", str(tmp_path / "included"))
    (tmp_path / "included").write_text(f"[core]\n\tfsmonitor = {command}\n\tworktree = /\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-commit"):
        repo.write(f".git/hooks/{hook}", f"#!/bin/sh\n{command}\n").chmod(0o755)
    repo.write(".gitattributes", "* filter=evil diff=evil\n")
    repo.write("README.md", "changed")
    assert said(pool, repo) == "web main: 1 uncommitted file, 1 untracked file"
    assert not canary.exists()
    repo.git("-c", "core.hooksPath=/nowhere", "status", check=False)
    assert canary.exists()  # so the commands would have worked


# --- nothing leads out ------------------------------------------------------------------------------------------------

_PARTS = [
    ".git", ".git/objects", ".git/refs", ".git/HEAD", ".git/config", ".git/index", ".git/packed-refs",
    ".git/objects/pack", ".git/info", ".git/info/exclude", ".git/refs/heads/main", ".git/refs/heads", ".git/logs",
    ".git/shallow",
]  # fmt: skip


@pytest.mark.parametrize("part", _PARTS)
def test_no_link_is_followed(part: str, repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    """What is behind it would be clean, but it is elsewhere, and goes on without this workspace."""
    repo.git("pack-refs")
    repo.git("update-ref", "refs/heads/main", "HEAD")
    place, outside = repo.path / part, tmp_path / "outside"
    if place.exists():
        place.rename(outside)
    place.symlink_to(outside)
    assert said(pool, repo) != ""


def block(path: Path, kind: str) -> None:
    """Something that is no file takes its place."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["pipe", "zero", "device", "directory"])
def test_what_is_no_file_is_never_opened(kind: str, repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    need_root()
    names = ["HEAD", "index", "config", "packed-refs", "shallow", "info/exclude", "logs/refs/stash", "info"]
    for number, name in enumerate(names):
        one = Repo(tmp_path / str(number) / "web")
        shutil.copytree(repo.path, one.path, symlinks=True)
        path = one.path / ".git" / name
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(exist_ok=True, parents=True)
        block(path, kind)
        if (name, kind) != ("info", "directory"):
            assert said(pool, one), name
    (pack,) = (repo.path / ".git/objects/pack").glob("*.idx")
    block(pack, kind)
    assert said(pool, repo)


@pytest.mark.parametrize("kind", ["pipe", "zero"])
def test_a_strange_git_entry_is_a_doubt_and_a_strange_ignore_file_ignores_nothing(
    kind: str, repo: Repo, tmp_path: Path, pool: WorkPool
) -> None:
    (tmp_path / "other" / "web").mkdir(parents=True)
    block(tmp_path / "other" / "web" / ".git", kind)
    assert unsaved(pool, tmp_path / "other") == ("web: web/.git is no regular file",)
    block(repo.path / "src/.gitignore", kind)
    repo.write("src/generated.py", "x")
    assert "1 untracked file" in said(pool, repo)


@pytest.mark.parametrize(
    "content",
    ["gitdir: .", "gitdir: .git", "gitdir: ..", "gitdir: ../../../../..", "gitdir: /", "gitdir: \0", "", "gitdir:",
     "gitdir: {outside}/.git", "gitdir: ../web/.git", "gitdir: ../loop/.git", "nonsense", "gitdir: " + "a/" * 4000],
)  # fmt: skip
def test_a_git_file_leads_nowhere_else(
    content: str, repo: Repo, upstream: Repo, tmp_path: Path, pool: WorkPool
) -> None:
    outside = clone(upstream, tmp_path / "outside")
    stray = repo.path.parent / "stray"
    stray.mkdir()
    (stray / ".git").write_text(content.format(outside=outside.path))
    (repo.path.parent / "loop").mkdir()
    (repo.path.parent / "loop" / ".git").write_text("gitdir: ../stray/.git")
    lines = unsaved(pool, repo.path.parent)
    assert any(line.startswith("stray") for line in lines), lines
    assert any(line.startswith("loop") for line in lines), lines


def test_a_git_directory_must_name_the_work_tree_in_turn(repo: Repo, upstream: Repo, pool: WorkPool) -> None:
    """What is clean in another work tree says nothing of this one."""
    repo.git("worktree", "add", "-q", "--detach", "../topic")
    repo.git("submodule", "--quiet", "add", str(upstream.path), "sub")
    for name in ("../topic", "sub"):
        shutil.copytree(repo.path / name, repo.path.parent / "stray")
        content = (repo.path / name / ".git").read_text().replace("../.git", "../web/.git")
        (repo.path.parent / "stray" / ".git").write_text(content)
        shutil.rmtree(repo.path / name)
        lines = unsaved(pool, repo.path.parent)
        assert any("its git directory belongs to another work tree" in line for line in lines), lines
        shutil.rmtree(repo.path.parent / "stray")


def test_a_configured_work_tree_is_not_followed(repo: Repo, pool: WorkPool) -> None:
    repo.git("config", "core.worktree", "/")
    assert said(pool, repo) == "web main: its configuration names another work tree"


def test_a_common_directory_outside_is_not_followed(repo: Repo, upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    outside = clone(upstream, tmp_path / "outside")
    (repo.path / ".git/commondir").write_text(f"{outside.path}/.git\n")
    assert said(pool, repo) == "web: it belongs to a repository outside of this workspace"


def test_borrowing_in_a_circle_ends(repo: Repo, upstream: Repo, pool: WorkPool) -> None:
    other = clone(upstream, repo.path.parent / "other")
    for one, two in ((repo, other), (other, repo)):
        one.write(".git/objects/info/alternates", f"{two.path}/.git/objects\n../../.git/objects\n.\n../../../../..\n")
    assert unsaved(pool, repo.path.parent) == ()


# --- nothing is too large ---------------------------------------------------------------------------------------------


BOMB = 400 << 20


@cache
def bomb(header: bytes = b"") -> bytes:
    """Little that becomes hundreds of megabytes. Made without ever holding these."""
    compressor = zlib.compressobj(1)
    parts = [compressor.compress(header), *(compressor.compress(bytes(1 << 20)) for _ in range(BOMB >> 20))]
    return b"".join([*parts, compressor.flush()])


def store(repo: Repo, kind: bytes, data: bytes, id_: str | None = None) -> str:
    """A loose object, as an id that it need not have."""
    content = b"%s %d\0%s" % (kind, len(data), data)
    id_ = id_ or hashlib.sha1(content).hexdigest()
    path = repo.path / ".git/objects" / id_[:2] / id_[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(content))
    return id_


def put_pack(repo: Repo, entries: list[tuple[bytes, bytes]]) -> None:
    """A pack of these objects, id and what the pack holds of it, and its index."""
    content, index = b"PACK" + struct.pack(">II", 2, len(entries)), []
    for id_, raw in entries:
        index.append((id_, len(content), zlib.crc32(raw)))
        content += raw
    digest = hashlib.sha1(content).digest()
    folder = repo.path / ".git/objects/pack"
    (folder / "pack-x.pack").write_bytes(content + digest)
    file = BytesIO()
    write_pack_index_v2(file, sorted(index), digest)
    (folder / "pack-x.idx").write_bytes(file.getvalue())


def number(value: int) -> bytes:
    """As deltas write sizes."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def put_delta_cycle(repo: Repo, ids: list[bytes]) -> None:
    delta = zlib.compress(number(3) + number(3) + b"\x03abc")
    entries = []
    for id_, base in ((ids[0], ids[1]), (ids[1], ids[0])):
        entries.append((id_, bytes(pack_object_header(7, base, len(number(3) * 2) + 4, SHA1)) + delta))
    put_pack(repo, entries)


def put_large_delta(repo: Repo, ids: list[bytes]) -> None:
    """The same megabyte again and again."""
    megabyte = 1 << 20
    base = (ids[1], bytes(pack_object_header(3, None, megabyte, SHA1)) + zlib.compress(bytes(megabyte)))
    delta = number(megabyte) + number(BOMB) + b"\xc0\x10" * (BOMB >> 20)
    put_pack(repo, [(ids[0], bytes(pack_object_header(7, ids[1], len(delta), SHA1)) + zlib.compress(delta)), base])


def put_large_object(repo: Repo, ids: list[bytes]) -> None:
    put_pack(repo, [(ids[0], bytes(pack_object_header(1, None, 1 << 33, SHA1)) + bomb())])


def put_lying_object(repo: Repo, ids: list[bytes]) -> None:
    put_pack(repo, [(ids[0], bytes(pack_object_header(1, None, 100, SHA1)) + bomb())])


def put_large_loose_object(repo: Repo, ids: list[bytes]) -> None:
    path = repo.path / ".git/objects" / ids[0].hex()[:2] / ids[0].hex()[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bomb(b"commit %d\0" % BOMB))


def put_endless_header(repo: Repo, ids: list[bytes]) -> None:
    put_pack(repo, [(ids[0], b"\xff" * (1 << 20))])


@pytest.mark.parametrize(
    "put",
    [put_delta_cycle, put_large_delta, put_large_object, put_lying_object, put_large_loose_object, put_endless_header],
)
def test_objects_that_would_fill_the_memory(
    put: Callable[[Repo, list[bytes]], None], repo: Repo, pool: WorkPool
) -> None:
    head = bytes.fromhex(repo.git("rev-parse", "HEAD"))
    shutil.rmtree(repo.path / ".git/objects/pack")
    (repo.path / ".git/objects/pack").mkdir()
    put(repo, [head, b"\1" * 20])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = said(pool, repo)
    assert line.startswith("web main: ")
    assert any(words in line for words in ("damaged", "too large", "too long")), line
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # kilobytes


def test_trees_in_trees_without_end(repo: Repo, pool: WorkPool) -> None:
    tree = store(repo, b"tree", b"100644 f\0" + bytes.fromhex(store(repo, b"blob", b"x")))
    for _ in range(1_000):
        tree = store(repo, b"tree", b"40000 d\0" + bytes.fromhex(tree))
    commit = repo.git("commit-tree", "-m", "deep", tree)
    repo.git("update-ref", "refs/remotes/origin/main", commit)
    repo.git("update-ref", "refs/heads/main", commit)
    assert said(pool, repo).startswith("web main: 10 uncommitted files")


def an_index(entries: list[bytes]) -> bytes:
    """An index of these paths."""
    content = b"DIRC" + struct.pack(">II", 2, len(entries))
    for path in entries:
        entry = struct.pack(">10I20sH", *[0] * 6, 0o100644, *[0] * 3, b"\1" * 20, min(len(path), 0xFFF)) + path
        content += entry + bytes(8 - len(entry) % 8)
    return content + hashlib.sha1(content).digest()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (an_index([b"a/" * 500 + b"%04d" % n for n in range(9)]), "uncommitted"),
        (an_index([b"a/" * 2_000 + b"x"]), "too many directories in each other"),
        (an_index([b"%04d/" % n + b"a/" * 2_000 + b"x" for n in range(500)]), "too many directories in each other"),
        (an_index([b"a" * 5_000]), "damaged"),
        (an_index([b"b", b"a"]), "damaged"),
        (an_index([b"a", b"a"]), "damaged"),
        (an_index([b"../../etc/passwd", b"../x"]), "uncommitted"),  # nothing is opened by it
        (b"DIRC" + struct.pack(">II", 2, 0xFFFFFFFF) + bytes(40), "damaged"),
        (b"DIRC" + struct.pack(">II", 9, 0) + bytes(20), "unknown format"),
        (b"DIRC" + struct.pack(">II", 2, 0) + b"abcd" + bytes(4) + bytes(20), "unknown extension"),
        (b"DIRC" + struct.pack(">II", 4, 1) + bytes(62) + b"\xff" * 100 + bytes(20), "damaged"),
        (b"", "damaged"),
        (b"DIRC", "damaged"),
    ],
)
def test_an_index_that_lies(content: bytes, words: str, repo: Repo, pool: WorkPool) -> None:
    (repo.path / ".git/index").write_bytes(content)
    assert words in said(pool, repo)


def test_an_index_cut_off_anywhere_is_a_doubt(repo: Repo, pool: WorkPool) -> None:
    index = repo.path / ".git/index"
    content = index.read_bytes()
    for length in range(0, len(content), 37):
        index.write_bytes(content[:length])
        assert said(pool, repo) == "web main: its index is damaged"


def test_files_too_large_are_not_read(repo: Repo, pool: WorkPool) -> None:
    os.truncate(repo.path / ".git/index", 1 << 40)
    assert said(pool, repo) == "web main: the workspace/web/.git/index is larger than 65,536 KiB"


def test_many_refs(repo: Repo, pool: WorkPool) -> None:
    head = repo.git("rev-parse", "HEAD")
    lines = [f"{head} refs/heads/branch{n:06}\n" for n in range(20_000)]
    origin = repo.git("rev-parse", "refs/remotes/origin/main")
    repo.write(".git/packed-refs", "".join([*lines, f"{origin} refs/remotes/origin/main\n"]))
    assert said(pool, repo) == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config", b"[core]\n" + b"\tk = v\n" * 50_000, "config is larger than"),
        ("packed-refs", b"0" * 40 + b" refs/heads/" + b"a" * 5_000 + b"\n", "packed-refs are damaged"),
        ("packed-refs", bytes(1 << 25), "packed-refs is larger than"),
        ("config", b"[core\n", "config is damaged"),
        ("refs/heads/main", b"", "refs/heads/main is damaged"),
        ("refs/heads/stray", b"ref", "refs/heads/stray is damaged"),
        ("HEAD", b"", "HEAD is damaged"),
        ("HEAD", b"ref: ../../../etc/passwd", "HEAD is damaged"),
    ],
)
def test_small_files_that_are_none_are_a_doubt(
    name: str, content: bytes, words: str, repo: Repo, pool: WorkPool
) -> None:
    (repo.path / ".git" / name).write_bytes(content)
    assert words in said(pool, repo)


@pytest.mark.parametrize(
    "pattern",
    ["a*" * 100 + "b", "**/" * 1_000 + "b", "[" * 3_000, "a/**/" * 200 + "b", "*" * 4_000 + "b", "?*" * 2_000 + "b"],
)
def test_patterns_that_would_take_for_ever(pattern: str, repo: Repo, pool: WorkPool) -> None:
    repo.write(".gitignore", f"{pattern}\n")
    repo.write("/".join(["a" * 200] * 15) + "/" + "a" * 250, "x")
    assert "1 untracked file" in said(pool, repo)


@pytest.mark.parametrize("content", ["a" * 5_000, "a\n" * 10_001, "\0"])
def test_patterns_that_nobody_writes_are_a_doubt(content: str, repo: Repo, pool: WorkPool) -> None:
    repo.write("docs/.gitignore", content)
    assert said(pool, repo) != ""


# --- whatever is damaged ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pack", "idx"])
def test_a_damaged_pack_is_a_doubt(name: str, repo: Repo, pool: WorkPool) -> None:
    repo.git("gc", "-q")
    (path,) = (repo.path / ".git/objects/pack").glob(f"*.{name}")
    path.chmod(0o600)
    content = path.read_bytes()
    for damaged in (content[:20], content[:9], b"", bytes(len(content)), content[::-1]):
        path.write_bytes(damaged)
        assert "web main: " in said(pool, repo)


def test_damage_of_any_kind_is_no_failure_of_the_walk(repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    """Bytes are changed at random; the walk comes to its end, and nothing is logged."""
    repo.git("gc", "-q")
    repo.git("tag", "-am", "kept", "kept")
    repo.write("README.md", "staged")
    repo.git("add", "README.md")
    chance = random.Random(20261124)
    paths = [path for path in (repo.path / ".git").rglob("*") if path.is_file() and "hooks" not in path.parts]
    for _ in range(150):
        path = chance.choice(paths)
        content = path.read_bytes()
        path.chmod(0o600)
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 1, 2, 20])):
            at = chance.randrange(len(damaged) + 1)
            damaged[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        if path.name == "index":
            damaged[-20:] = bytes(20)  # such an index has no checksum
        path.write_bytes(damaged)
        lines = usage_of(pool, repo.path.parent).unsaved_work
        assert lines, f"{path.name} {bytes(damaged)!r}"  # one file is staged, and remains so
        path.write_bytes(content)


# --- time and cancelling ----------------------------------------------------------------------------------------------


def test_what_takes_too_long_is_a_doubt(repo: Repo, mount: Path, pool: WorkPool) -> None:
    with slow_volume(repo.path.parents[1], mount, Fault("open", "workspace/web/.git/*", delay=0.3)) as volume:
        result = measured(pool, volume.path / "workspace", repository_seconds=0.2)
    assert (result.usage.complete, result.usage.unsaved_work) == (True, ("web: could not be read in 0.2 s",))


def test_the_time_is_that_of_the_repositories_alone(repo: Repo, mount: Path, pool: WorkPool) -> None:
    with slow_volume(repo.path.parents[1], mount, Fault("readdir", "workspace/web", delay=0.5)) as volume:
        result = measured(pool, volume.path / "workspace", repository_seconds=30.0)
    assert (result.usage.complete, result.usage.unsaved_work) == (True, ())


def test_a_cancel_ends_the_comparing_of_contents(repo: Repo, mount: Path, pool: WorkPool) -> None:
    for number_ in range(400):
        repo.write(f"many/{number_}", "x")
    repo.commit()
    repo.git("read-tree", "HEAD")  # everything must be read
    cancel = threading.Event()
    with slow_volume(repo.path.parents[1], mount, latency={"read": 0.01}) as volume:

        def opened() -> int:
            return sum(path.startswith("workspace/web/many") for what, path in volume.calls() if what == "open")

        at_cancel: list[int] = []

        def cancel_soon() -> None:
            while not opened():
                time.sleep(0.02)
            cancel.set()
            at_cancel.append(opened())

        waiting = threading.Thread(target=cancel_soon)
        waiting.start()
        result = measured(pool, volume.path / "workspace", cancel=cancel)
        waiting.join()
        assert result.cancelled
        assert opened() <= at_cancel[0] + 10  # what was under way


def test_the_comparison_with_the_index_reads_nothing_twice(repo: Repo, mount: Path, pool: WorkPool) -> None:
    """What a repository costs beyond the walk does not depend on how many files it has."""
    for number_ in range(300):
        repo.write(f"many/{number_ % 10}/{number_}", "x")
    repo.commit()
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    repo.git("gc", "-q", "--prune=now")
    for path in repo.path.rglob("*"):
        if ".git" not in path.parts:
            os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
    repo.git("update-index", "-q", "--refresh")
    entries = sum(1 for _ in repo.path.parent.rglob("*"))
    with slow_volume(repo.path.parents[1], mount, cache=60.0) as volume:
        result = measured(pool, volume.path / "workspace")
        counts = volume.counts()
    assert (result.usage.complete, result.usage.unsaved_work) == (True, ())
    assert counts["getattr"] <= entries + 100
    assert counts["open"] + counts["read"] <= 60


def test_a_hung_repository_is_told_by_the_pool(repo: Repo, mount: Path, pool: WorkPool) -> None:
    cancel = threading.Event()
    with slow_volume(repo.path.parents[1], mount, Fault("open", "workspace/web/.git/index", hang=True)) as volume:
        results = []
        measuring = threading.Thread(
            target=lambda: results.append(measured(pool, volume.path / "workspace", cancel=cancel))
        )
        measuring.start()
        while not volume.hanging() or pool.stalled_for < 0.2:
            time.sleep(0.02)
        cancel.set()
        volume.set_plan()
        measuring.join()
    assert results[0].cancelled


def test_an_object_that_is_not_what_its_name_says(repo: Repo, pool: WorkPool) -> None:
    """A commit put in the place of another one: it would make what is staged look committed."""
    repo.write("README.md", "staged")
    repo.git("add", "README.md")
    head = repo.git("rev-parse", "HEAD")
    lie = repo.git("cat-file", "commit", repo.git("commit-tree", "-m", "x", repo.git("write-tree")))
    for pack in (repo.path / ".git/objects/pack").iterdir():
        pack.unlink()
    store(repo, b"commit", lie.encode() + b"\n", head)
    assert said(pool, repo) == f"web main: the object {head[:12]} is damaged"


def test_an_unborn_branch_beside_damage(tmp_path: Path, pool: WorkPool) -> None:
    repo = init(tmp_path / "ws" / "web")
    shutil.rmtree(repo.path / ".git/refs")
    assert said(pool, repo) == "web: it has no refs"
