"""What counts as unsaved work, and what does not, in repositories that git made."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from tests.storage.repositories.rig import Repo, clone, git_says, init, make_upstream, unsaved
from tests.support.nobody import NOBODY, as_nobody
from tests.support.pieces import list_in_pieces
from tests.support.slowfs import Fault, slow_volume


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return make_upstream(tmp_path_factory.mktemp("upstream") / "upstream.git")


@pytest.fixture
def repo(upstream: Repo, tmp_path: Path) -> Repo:
    """A clean clone in a workspace."""
    return clone(upstream, tmp_path / "workspace" / "web")


def said(pool: WorkPool, repo: Repo) -> str:
    """What is told of the only repository in a workspace, without its name."""
    lines = unsaved(pool, repo.path.parent)
    assert len(lines) <= 1, lines
    return lines[0] if lines else ""


# --- each kind of work ------------------------------------------------------------------------------------------------


def modify(repo: Repo) -> None:
    repo.write("README.md", "# Another project altogether\n")


def modify_with_the_same_size(repo: Repo) -> None:
    repo.write("README.md", "# X project\n")


def stage(repo: Repo) -> None:
    modify(repo)
    repo.git("add", "README.md")


def stage_and_take_back(repo: Repo) -> None:
    """Only the index still holds it."""
    stage(repo)
    repo.write("README.md", "# A project\n")


def stage_new_directory(repo: Repo) -> None:
    repo.write("new/dir/one", "1")
    repo.write("new/dir/two", "2")
    repo.git("add", "new")


def stage_removal_of_directory(repo: Repo) -> None:
    repo.git("rm", "-rq", "src")


def delete_directory(repo: Repo) -> None:
    shutil.rmtree(repo.path / "src/deep")


def directory_for_file(repo: Repo) -> None:
    (repo.path / "README.md").unlink()
    repo.write("README.md/inside", "x")


def link_for_directory(repo: Repo) -> None:
    shutil.rmtree(repo.path / "docs")
    (repo.path / "docs").symlink_to("src")


def intend_to_add(repo: Repo) -> None:
    """An empty file, so that its content is what the index says."""
    repo.write("new", "")
    repo.git("add", "--intent-to-add", "new")


def conflict(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "theirs", "origin/release")
    repo.write("src/main.py", "theirs")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.git("merge", "theirs", check=False)
    repo.git("branch", "-D", "theirs", "-q")


def rebase(repo: Repo) -> None:
    repo.git("checkout", "-q", "release")
    repo.write("src/main.py", "ours")
    repo.commit()
    repo.git("rebase", "main", check=False)


def cherry_pick(repo: Repo) -> None:
    repo.git("checkout", "-q", "release")
    repo.git("cherry-pick", "main", check=False)


def merge_without_change(repo: Repo) -> None:
    repo.git("checkout", "-q", "-B", "release", "origin/release")
    repo.git("merge", "--no-ff", "--no-commit", "--strategy=ours", "main")


def stash(repo: Repo) -> None:
    modify(repo)
    repo.git("stash", "-q")
    modify_with_the_same_size(repo)
    repo.git("stash", "-q")


def commit(repo: Repo) -> None:
    modify(repo)
    repo.commit()
    modify_with_the_same_size(repo)
    repo.commit()


def commit_on_other_branch(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "topic")
    commit(repo)
    repo.git("checkout", "-q", "main")


def commit_on_detached_head(repo: Repo) -> None:
    repo.git("checkout", "-q", "--detach")
    commit(repo)


def commit_that_only_a_tag_holds(repo: Repo) -> None:
    commit_on_detached_head(repo)
    repo.git("tag", "-a", "-m", "kept", "keep")
    repo.git("checkout", "-q", "main")


def merge_of_unpushed(repo: Repo) -> None:
    commit_on_other_branch(repo)
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "topic")


def no_remote(repo: Repo) -> None:
    repo.git("remote", "remove", "origin")


def packed(repo: Repo) -> None:
    """Deltas, a packed ref, and no loose object."""
    commit_on_other_branch(repo)
    repo.git("gc", "-q", "--aggressive", "--prune=now")


def make_executable(repo: Repo) -> None:
    (repo.path / "README.md").chmod(0o755)


def hide_behind_assume_unchanged(repo: Repo) -> None:
    repo.git("update-index", "--assume-unchanged", "README.md")
    modify(repo)


def hide_behind_skip_worktree(repo: Repo) -> None:
    repo.git("update-index", "--skip-worktree", "README.md")
    modify(repo)


def hide_behind_times(repo: Repo) -> None:
    """The size and the mtime are the index's; only the ctime tells."""
    before = os.lstat(repo.path / "README.md")
    modify_with_the_same_size(repo)
    os.utime(repo.path / "README.md", ns=(before.st_atime_ns, before.st_mtime_ns))


def hide_in_fsmonitor(repo: Repo) -> None:
    repo.git("update-index", "--fsmonitor")
    repo.git("update-index", "--fsmonitor-valid", "README.md")
    modify(repo)


def retarget_link(repo: Repo) -> None:
    (repo.path / "link").unlink()
    (repo.path / "link").symlink_to("src/deep.py")


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (modify, "web main: 1 uncommitted file"),
        (modify_with_the_same_size, "web main: 1 uncommitted file"),
        (stage, "web main: 1 uncommitted file"),
        (stage_and_take_back, "web main: 1 uncommitted file"),
        (stage_new_directory, "web main: 2 uncommitted files"),
        (stage_removal_of_directory, "web main: 4 uncommitted files"),
        (delete_directory, "web main: 2 uncommitted files"),
        (lambda repo: (repo.path / "README.md").unlink(), "web main: 1 uncommitted file"),
        (directory_for_file, "web main: 1 uncommitted file, 1 untracked file"),
        (link_for_directory, "web main: 1 uncommitted file, 1 untracked file"),
        (lambda repo: repo.git("mv", "README.md", "READ.ME"), "web main: 2 uncommitted files"),
        (make_executable, "web main: 1 uncommitted file"),
        (retarget_link, "web main: 1 uncommitted file"),
        (intend_to_add, "web main: 1 uncommitted file"),
        (conflict, "web main: 1 uncommitted file, a merge in progress"),
        (rebase, "web detached HEAD: 1 uncommitted file, 1 unpushed commit, a rebase in progress"),
        (cherry_pick, "web release: 1 uncommitted file, a cherry-pick in progress"),
        (merge_without_change, "web release: a merge in progress"),
        (stash, "web main: 2 stashes"),
        (commit, "web main: 2 unpushed commits"),
        (commit_on_other_branch, "web main: 2 unpushed commits"),
        (commit_on_detached_head, "web detached HEAD: 2 unpushed commits"),
        (commit_that_only_a_tag_holds, "web main: 2 unpushed commits"),
        (merge_of_unpushed, "web main: 3 unpushed commits"),
        (no_remote, "web main: 4 unpushed commits"),
        (packed, "web main: 2 unpushed commits"),
        (lambda repo: repo.write("new", "x"), "web main: 1 untracked file"),
        (lambda repo: repo.write(b"n\xffw\n", "x"), "web main: 1 untracked file"),
        (lambda repo: repo.write("new/deep/er", "x"), "web main: 1 untracked file"),
        (lambda repo: repo.write("a.log/x.log", "x"), ""),
        (lambda repo: repo.write("docs/keep.log", "x"), "web main: 1 untracked file"),
        (lambda repo: repo.write("src/any.log", "x"), "web main: 1 untracked file"),
        (lambda repo: repo.write("docs/node_modules/x", "x"), "web main: 1 untracked file"),
        (lambda repo: os.symlink("nowhere", repo.path / "new"), "web main: 1 untracked file"),
        (hide_behind_assume_unchanged, "web main: 1 uncommitted file"),
        (hide_behind_skip_worktree, "web main: 1 uncommitted file"),
        (hide_behind_times, "web main: 1 uncommitted file"),
        (hide_in_fsmonitor, "web main: 1 uncommitted file"),
    ],
)  # fmt: skip
def test_work_is_told_with_branch_and_count(
    work: Callable[[Repo], object], expected: str, repo: Repo, pool: WorkPool
) -> None:
    work(repo)
    assert said(pool, repo) == expected


# --- nothing of that kind ---------------------------------------------------------------------------------------------


def touch_everything(repo: Repo) -> None:
    """The contents are the same, and only reading them tells."""
    for path in repo.path.rglob("*"):
        if ".git" not in path.parts:
            os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)


def copy(repo: Repo) -> None:
    """As a backup would bring it back: other inodes, other change times."""
    shutil.copytree(repo.path, repo.path.parent / "copy", symlinks=True)
    shutil.rmtree(repo.path)


def ignored_files(repo: Repo) -> None:
    repo.write("build/x.o", "x")
    repo.write("src/build/deep/y.o", "x")
    repo.write("node_modules/left-pad/.gitignore", "!index.js\n")
    repo.write("node_modules/left-pad/index.js", "x")
    repo.write("some.log", "x")
    repo.write("src/generated.py", "x")
    repo.write(".git/info/exclude", "/private\n")
    repo.write("private", "x")
    (repo.path / "empty/dir").mkdir(parents=True)


def branch_without_upstream(repo: Repo) -> None:
    repo.git("branch", "--no-track", "mine", "origin/release")
    repo.git("branch", "--no-track", "older", "origin/main~2")


def rewrite_index(*options: str) -> Callable[[Repo], object]:
    return lambda repo: repo.git("update-index", "--force-write-index", *options)


def sparse(repo: Repo, *options: str) -> None:
    repo.git("sparse-checkout", "set", "--cone", *options, "docs")
    assert not (repo.path / "src").exists()


def bisect(repo: Repo) -> None:
    repo.git("bisect", "start", "main", "release", check=False)
    repo.git("bisect", "good", "origin/release")


def autocrlf(repo: Repo) -> None:
    """The files in the work tree have other line endings than what is committed, as git left them."""
    repo.git("config", "core.autocrlf", "true")
    repo.git("rm", "-rq", "--cached", ".")
    repo.git("reset", "-q", "--hard")
    assert b"\r\n" in (repo.path / "README.md").read_bytes()
    settle(repo)


def settle(repo: Repo) -> None:
    """No file is as young as the index, so that attributes alone decide."""
    for path in [*repo.path.rglob("*")]:
        if ".git" not in path.parts and not path.is_symlink():
            os.utime(path, ns=(0, time.time_ns() - 10**10))
    repo.git("update-index", "-q", "--refresh")


def file_modes_do_not_count(repo: Repo) -> None:
    repo.git("config", "core.fileMode", "false")
    make_executable(repo)


def untracked_cache(repo: Repo) -> None:
    repo.git("config", "core.untrackedCache", "true")
    repo.git("-c", "core.fsmonitor=false", "update-index", "--untracked-cache", check=False)
    repo.git("update-index", "--force-untracked-cache")


def staged_and_pushed(repo: Repo) -> None:
    repo.git("remote", "add", "other", str(repo.path))
    modify(repo)
    repo.commit()
    repo.git("update-ref", "refs/remotes/other/main", "HEAD")
    repo.git("pack-refs", "--all")


@pytest.mark.parametrize(
    "nothing",
    [
        lambda repo: None,
        lambda repo: repo.write("README.md", "# A project\n"),
        touch_everything,
        copy,
        ignored_files,
        branch_without_upstream,
        rewrite_index("--index-version=2"),
        rewrite_index("--index-version=3"),
        rewrite_index("--index-version=4"),
        untracked_cache,
        sparse,
        lambda repo: sparse(repo, "--sparse-index"),
        bisect,
        autocrlf,
        file_modes_do_not_count,
        staged_and_pushed,
        lambda repo: repo.git("checkout", "-q", "--detach", "origin/main~1"),
        lambda repo: repo.git("pack-refs", "--all"),
        lambda repo: repo.git("gc", "-q", "--aggressive", "--prune=now"),
        lambda repo: repo.git("commit-graph", "write", "--reachable"),
        lambda repo: repo.git("read-tree", "HEAD"),  # all attributes in the index are zero now
        lambda repo: os.mkfifo(repo.path / "pipe"),  # which can't be committed
        lambda repo: (repo.path / "src/.gitignore").chmod(0o600),
    ],
)
def test_what_is_saved_makes_no_doubt(nothing: Callable[[Repo], object], repo: Repo, pool: WorkPool) -> None:
    nothing(repo)
    assert said(pool, repo) == ""


def test_touched_files_are_compared_and_one_that_differs_is_found(repo: Repo, pool: WorkPool) -> None:
    touch_everything(repo)
    modify_with_the_same_size(repo)
    assert said(pool, repo) == "web main: 1 uncommitted file"


def test_a_file_as_young_as_the_index_is_compared(repo: Repo, pool: WorkPool) -> None:
    """The change leaves no trace in the attributes: it fell into the same tick of the clock as the index."""
    path = repo.path / "README.md"
    modify_with_the_same_size(repo)
    status = os.lstat(path)
    index = repo.path / ".git/index"
    repo.git("update-index", "--cacheinfo", f"100644,{repo.git('rev-parse', 'HEAD:README.md')},README.md")
    content = bytearray(index.read_bytes())
    at = content.index(b"README.md\0") - 62
    stamps = (*divmod(status.st_ctime_ns, 10**9), *divmod(status.st_mtime_ns, 10**9))
    content[at : at + 16] = b"".join(stamp.to_bytes(4, "big") for stamp in stamps)
    content[at + 36 : at + 40] = status.st_size.to_bytes(4, "big")
    content[-20:] = bytes(20)
    index.write_bytes(content)
    os.utime(index, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert said(pool, repo) == "web main: 1 uncommitted file"
    os.utime(index, ns=(status.st_mtime_ns + 1, status.st_mtime_ns + 1))
    assert said(pool, repo) == ""  # so it was the tick that told


def test_a_touched_file_behind_a_filter_is_a_doubt(repo: Repo, pool: WorkPool) -> None:
    """A pointer is committed, its content lies in the work tree: only the filter could tell whether they agree."""
    repo.write(".gitattributes", "*.bin filter=lfs\n")
    repo.write("large.bin", "content")
    repo.git("config", "filter.lfs.clean", "echo pointer")
    repo.commit()
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    settle(repo)
    assert said(pool, repo) == ""
    os.utime(repo.path / "large.bin")
    assert said(pool, repo) == "web main: 1 uncommitted file"


# --- whole repositories -----------------------------------------------------------------------------------------------


def test_a_shallow_clone_is_clean_and_its_new_commit_is_not(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    repo = clone(f"file://{upstream.path}", tmp_path / "ws" / "web", "--depth=1")
    assert said(pool, repo) == ""
    commit(repo)
    assert said(pool, repo) == "web main: 2 unpushed commits"
    repo.git("remote", "remove", "origin")
    assert said(pool, repo) == "web main: 3 unpushed commits"  # as many as are there


def test_a_repository_without_commits(tmp_path: Path, pool: WorkPool) -> None:
    repo = init(tmp_path / "ws" / "web")
    assert said(pool, repo) == ""
    repo.write("new", "x")
    assert said(pool, repo) == "web main: 1 untracked file"
    repo.git("add", "new")
    assert said(pool, repo) == "web main: 1 uncommitted file"


def test_the_top_of_a_workspace_is_called_by_its_branch(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    repo = clone(upstream, tmp_path / "workspace")
    assert unsaved(pool, repo.path) == ()
    modify(repo)
    assert unsaved(pool, repo.path) == ("main: 1 uncommitted file",)


def test_a_bare_repository(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    """It has no remote-tracking branches: nothing says that its commits are elsewhere."""
    clone(upstream, tmp_path / "ws" / "web.git", "--bare")
    assert unsaved(pool, tmp_path / "ws") == ("web.git main: 4 unpushed commits",)
    init(tmp_path / "other" / "empty.git", "--bare")
    assert unsaved(pool, tmp_path / "other") == ()


def test_a_clone_without_checkout_lacks_its_files(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    repo = clone(upstream, tmp_path / "ws" / "web", "--no-checkout")
    assert said(pool, repo) == "web main: 9 uncommitted files"
    assert git_says(repo) == {"uncommitted": 9}


def test_a_repository_in_an_ignored_directory(repo: Repo, upstream: Repo, pool: WorkPool) -> None:
    inner = clone(upstream, repo.path / "node_modules" / "fork")
    assert unsaved(pool, repo.path.parent) == ()
    modify(inner)
    assert unsaved(pool, repo.path.parent) == ("web/node_modules/fork main: 1 uncommitted file",)


def test_a_repository_beside_the_tracked_files_is_told_for_itself(repo: Repo, upstream: Repo, pool: WorkPool) -> None:
    inner = clone(upstream, repo.path / "vendor")
    assert unsaved(pool, repo.path.parent) == ()
    stash(inner)
    assert unsaved(pool, repo.path.parent) == ("web/vendor main: 2 stashes",)


def test_a_repository_over_tracked_files_is_a_doubt(repo: Repo, pool: WorkPool) -> None:
    init(repo.path / "docs")
    (line, inner) = unsaved(pool, repo.path.parent)
    assert line == "web main: files of it lie in another repository's work tree"
    assert inner == "web/docs main: 1 untracked file"


def test_many_repositories_are_counted(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    first = clone(upstream, tmp_path / "ws" / "000")
    modify(first)
    for number in range(1, 12):
        shutil.copytree(first.path, tmp_path / "ws" / f"{number:03}", symlinks=True)
    lines = unsaved(pool, tmp_path / "ws")
    assert lines == (*(f"00{n} main: 1 uncommitted file" for n in range(5)), "7 more repositories")


def test_thousands_of_repositories(tmp_path: Path, pool: WorkPool) -> None:
    for number in range(1_000):
        top = tmp_path / "ws" / f"{number:03}"
        for inner in (".git/objects", ".git/refs"):
            (top / inner).mkdir(parents=True)
        (top / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / "ws/777/new").touch()
    assert unsaved(pool, tmp_path / "ws") == ("777 main: 1 untracked file",)


def test_names_that_deceive_are_shown_as_they_are(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    repo = clone(upstream, tmp_path / "ws" / "web")
    repo.git("checkout", "-q", "-b", "a\u202eb")
    modify(repo)
    os.rename(os.fsencode(repo.path), os.fsencode(tmp_path / "ws") + b"/w\xff\n")
    assert unsaved(pool, tmp_path / "ws") == (r"w\xff\x0a a\u202eb: 1 uncommitted file",)


# --- linked work trees and submodules ---------------------------------------------------------------------------------


def test_a_linked_work_tree(repo: Repo, pool: WorkPool) -> None:
    repo.git("worktree", "add", "-q", "-b", "topic", "../topic", "origin/main")
    linked = Repo(repo.path.parent / "topic")
    assert unsaved(pool, repo.path.parent) == ()
    modify(linked)
    assert unsaved(pool, repo.path.parent) == ("topic topic: 1 uncommitted file",)
    linked.commit()
    assert unsaved(pool, repo.path.parent) == ("web main: 1 unpushed commit",)
    linked.git("checkout", "-q", "--detach")
    linked.git("branch", "-D", "-q", "topic")
    assert unsaved(pool, repo.path.parent) == ("web main: 1 unpushed commit",)


def test_a_linked_work_tree_is_found_where_the_volume_is_mounted_elsewhere(repo: Repo, pool: WorkPool) -> None:
    repo.git("worktree", "add", "-q", "--detach", "../topic")
    moved = repo.path.parent.rename(repo.path.parents[1] / "moved")
    assert unsaved(pool, moved) == ()
    (moved / "topic/README.md").write_text("changed")
    assert unsaved(pool, moved) == ("topic detached HEAD: 1 uncommitted file",)


def test_a_linked_work_tree_whose_repository_is_elsewhere(repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    other = tmp_path / "other"
    other.mkdir()
    repo.git("worktree", "add", "-q", "--detach", other / "topic")
    assert unsaved(pool, other) == ("topic: its git directory lies outside of this workspace",)
    assert unsaved(pool, repo.path.parent) == ("web main: 1 linked work tree elsewhere",)


def with_submodule(repo: Repo, upstream: Repo) -> Repo:
    repo.git("submodule", "--quiet", "add", str(upstream.path), "lib/sub")
    repo.commit("Add submodule")
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD")
    return Repo(repo.path / "lib/sub")


@pytest.mark.parametrize("old_style", [False, True])
def test_a_submodule(old_style: bool, repo: Repo, upstream: Repo, pool: WorkPool) -> None:
    sub = with_submodule(repo, upstream)
    if old_style:
        (sub.path / ".git").unlink()
        (repo.path / ".git/modules/lib/sub").rename(sub.path / ".git")
        sub.git("--work-tree=.", "config", "--unset", "core.worktree")
    assert unsaved(pool, repo.path.parent) == ()
    modify(sub)
    assert unsaved(pool, repo.path.parent) == ("web/lib/sub main: 1 uncommitted file",)
    sub.commit()
    assert unsaved(pool, repo.path.parent) == (
        "web main: 1 uncommitted file",
        "web/lib/sub main: 1 unpushed commit",
    )


def test_a_submodule_that_is_not_checked_out(repo: Repo, upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    sub = with_submodule(repo, upstream)
    copy = clone(repo, tmp_path / "other" / "copy")
    assert unsaved(pool, tmp_path / "other") == ()
    Path(copy.write("lib/sub/stray", "x"))
    assert unsaved(pool, tmp_path / "other") == ("copy main: 1 untracked file",)
    commit(sub)
    sub.git("checkout", "-q", "--detach", "origin/main")
    repo.git("submodule", "deinit", "-q", "--all")
    assert unsaved(pool, repo.path.parent) == ("web/.git/modules/lib/sub detached HEAD: 2 unpushed commits",)


def test_a_git_directory_kept_apart(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    repo = clone(upstream, tmp_path / "ws" / "web", f"--separate-git-dir={tmp_path / 'ws' / 'kept.git'}")
    assert unsaved(pool, tmp_path / "ws") == ()
    modify(repo)
    assert unsaved(pool, tmp_path / "ws") == ("web main: 1 uncommitted file",)
    shutil.rmtree(repo.path)
    assert unsaved(pool, tmp_path / "ws") == ("kept.git main: its work tree is not to be found",)


# --- objects that are borrowed ----------------------------------------------------------------------------------------


def test_objects_are_borrowed_within_the_workspace_and_not_from_outside(
    upstream: Repo, tmp_path: Path, pool: WorkPool
) -> None:
    lender = clone(upstream, tmp_path / "ws" / "lender")
    clone(lender, tmp_path / "ws" / "web", "--shared")
    assert unsaved(pool, tmp_path / "ws") == ()
    outside = clone(lender, tmp_path / "other" / "web", "--shared")
    (line,) = unsaved(pool, outside.path.parent)
    assert line.startswith("web main: the object ")
    assert line.endswith("is missing: it may lie outside of this workspace, where the repository borrows from")


# --- what can't be read -----------------------------------------------------------------------------------------------


def sha256(path: Path) -> Repo:
    repo = init(path, "--object-format=sha256")
    repo.write("a", "x")
    repo.commit()
    return repo


def test_formats_that_are_not_known_are_a_doubt(repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    sha256(tmp_path / "other" / "web")
    assert unsaved(pool, tmp_path / "other") == ("web: its format (objectformat = sha256) can't be read",)
    repo.git("config", "core.repositoryFormatVersion", "1")
    repo.git("config", "extensions.refStorage", "reftable")
    assert said(pool, repo) == "web: its format (refstorage = reftable) can't be read"
    repo.git("config", "--file", repo.path / ".git/config", "--unset", "extensions.refStorage")
    repo.git("config", "--file", repo.path / ".git/config", "extensions.future", "true")
    assert said(pool, repo) == "web: its format (future = true) can't be read"
    repo.git("config", "--file", repo.path / ".git/config", "core.repositoryFormatVersion", "2")
    assert said(pool, repo) == "web: its format 2 is not known"


def test_a_split_index_is_a_doubt(repo: Repo, pool: WorkPool) -> None:
    repo.git("update-index", "--split-index")
    assert said(pool, repo) == "web main: its index is split into two files, which can't be read"


def test_a_partial_clone_is_read_as_far_as_its_objects_go(upstream: Repo, tmp_path: Path, pool: WorkPool) -> None:
    upstream.git("config", "uploadpack.allowFilter", "true")
    repo = clone(f"file://{upstream.path}", tmp_path / "ws" / "web", "--filter=blob:none")
    assert said(pool, repo) == ""
    stage(repo)
    assert said(pool, repo) == "web main: 1 uncommitted file"


# --- however the walk gets there --------------------------------------------------------------------------------------


def test_in_large_directories(
    repo: Repo, upstream: Repo, tmp_path: Path, pool: WorkPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are listed part by part, and `.git` may be in a late one."""
    list_in_pieces(monkeypatch, 1)
    assert said(pool, repo) == ""
    repo.write("some.log", "x")
    modify(repo)
    assert said(pool, repo) == "web main: 1 uncommitted file"
    clone(upstream, tmp_path / "other" / "web.git", "--bare")
    assert unsaved(pool, tmp_path / "other") == ("web.git main: 4 unpushed commits",)


@pytest.mark.parametrize("changed", [False, True])
def test_what_answers_only_when_asked_again(changed: bool, repo: Repo, tmp_path: Path, pool: WorkPool) -> None:
    settle(repo)
    names = ["README.md", "src", "src/main.py", "link", "run.sh", "docs/new"]
    if changed:
        repo.write("docs/new", "x")
        modify(repo)
        make_executable(Repo(repo.path))
    faults = [Fault("getattr", f"workspace/web/{name}", error="EIO", times=1) for name in names]
    with slow_volume(tmp_path, tmp_path.with_name("mount"), *faults) as volume:
        lines = unsaved(pool, volume.path / "workspace")
    assert lines == (("web main: 1 uncommitted file, 1 untracked file",) if changed else ())


def test_what_may_not_be_read_is_a_doubt(nobodys: Path, upstream: Repo) -> None:
    repo = clone(upstream, nobodys / "workspace" / "web")
    for path in [*repo.path.parent.rglob("*"), repo.path.parent]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def lines() -> tuple[str, ...]:
        pool = WorkPool()
        try:
            return unsaved(pool, repo.path.parent)
        finally:
            pool.close()

    assert as_nobody(lines) == ()
    for name in ("index", "HEAD", "config"):
        path = repo.path / ".git" / name
        os.chown(path, 0, 0)
        path.chmod(0o600)
        (line,) = as_nobody(lines)
        assert line.endswith(f".git/{name}: Permission denied"), line
        path.chmod(0o644)
