"""Sweeper and git over the same repositories: where git sees work, Sweeper never says that there is none.

    python -m tests.storage.repositories.test_against_git SEEDS

runs as many as wanted and counts where Sweeper tells of work that git does not see, which is allowed.
"""

import contextlib
import os
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from tests.storage.repositories.rig import Repo, clone, git_says, make_upstream, unsaved

_KINDS = {"uncommitted file": "uncommitted", "untracked file": "untracked", "unpushed commit": "unpushed"}


class Hand:
    """Somebody at work in a repository, who knows neither plan nor fear."""

    def __init__(self, repo: Repo, chance: random.Random) -> None:
        self.repo = repo
        self.chance = chance

    def act(self) -> str:
        """Does something; returns what, for the one who looks for the reason of a failure."""
        acts: list[Callable[[], object]] = [
            self.write, self.write, self.write, self.same_size, self.touch, self.delete, self.rename, self.chmod,
            self.make_link, self.replace, self.ignore, self.add, self.add_all, self.commit, self.commit_all, self.stash,
            self.checkout, self.reset, self.branch, self.delete_branch, self.merge, self.rebase, self.push, self.fetch,
            self.pack, self.index_version, self.unstage, self.intend, self.tag, self.hide, self.skip, self.refresh,
        ]  # fmt: skip
        act = self.chance.choice(acts)
        with contextlib.suppress(OSError):
            act()
        return act.__name__

    def git(self, *arguments: str) -> None:
        """As a person does: sometimes it is refused."""
        self.repo.git(*arguments, check=False)

    def files(self) -> list[str]:
        found = [path for path in self.repo.path.rglob("*") if ".git" not in path.relative_to(self.repo.path).parts]
        return [str(path.relative_to(self.repo.path)) for path in found if path.is_symlink() or not path.is_dir()]

    def some_file(self) -> str:
        return self.chance.choice(self.files() or ["README.md"])

    def some_name(self) -> str:
        parts = [
            self.chance.choice(["a", "b", "src", "docs", "build", "x.log", "keep.log", "A", "é"]) for _ in range(3)
        ]
        return "/".join(parts[: self.chance.randint(1, 3)])

    def some_place(self) -> str:
        return self.chance.choice(["main", "origin/main", "origin/release", "HEAD~1", "HEAD", "topic", "other", "v1"])

    def write(self) -> None:
        name = self.some_name() if self.chance.random() < 0.5 else self.some_file()
        self.repo.write(name, self.chance.choice(["", "x", "y", "long\n" * 9]))

    def same_size(self) -> None:
        path = self.repo.path / self.some_file()
        if not path.is_symlink():
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))

    def touch(self) -> None:
        os.utime(self.repo.path / self.some_file(), follow_symlinks=False)

    def delete(self) -> None:
        path = self.repo.path / self.some_file()
        shutil.rmtree(path.parent) if self.chance.random() < 0.2 and path.parent != self.repo.path else path.unlink()

    def rename(self) -> None:
        target = self.repo.path / self.some_name()
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.repo.path / self.some_file()).rename(target)

    def chmod(self) -> None:
        (self.repo.path / self.some_file()).chmod(self.chance.choice([0o644, 0o755, 0o600]))

    def make_link(self) -> None:
        (self.repo.path / self.some_name()).symlink_to(self.chance.choice(["README.md", "src", "nowhere"]))

    def replace(self) -> None:
        path = self.repo.path / self.some_file()
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)

    def ignore(self) -> None:
        file = self.chance.choice([".gitignore", "src/.gitignore", "docs/.gitignore", ".git/info/exclude"])
        patterns = [
            "*",
            "!*",
            "/a",
            "a/",
            "**/b",
            "a/**",
            "!a/b",
            "src/**/x.log",
            "*.l[no]g",
            "?",
            "!keep.*",
            "\\a",
            "#",
            " a ",
        ]
        self.repo.write(file, "\n".join(self.chance.choices(patterns, k=3)) + self.chance.choice(["", "\n", "\r\n"]))

    def add(self) -> None:
        self.git("add", "--force", self.some_file())

    def add_all(self) -> None:
        self.git("add", "--all")

    def commit(self) -> None:
        self.git("commit", "-qm", "work", *self.chance.choice([(), ("--allow-empty",), ("--amend",)]))

    def commit_all(self) -> None:
        self.git("add", "--all")
        self.git("commit", "-qm", "all work")

    def stash(self) -> None:
        self.git(
            "stash", *self.chance.choice([("push", "-q"), ("pop", "-q"), ("push", "-qu"), ("drop", "-q"), ("clear",)])
        )

    def checkout(self) -> None:
        self.git("checkout", "-q", *self.chance.choice([(), ("-f",), ("--detach",)]), self.some_place())

    def reset(self) -> None:
        self.git("reset", "-q", self.chance.choice(["--hard", "--soft", "--mixed"]), self.some_place())

    def branch(self) -> None:
        self.git("checkout", "-qB", self.chance.choice(["topic", "other"]), self.some_place())

    def delete_branch(self) -> None:
        self.git("branch", "-qD", self.chance.choice(["topic", "other", "main"]))

    def merge(self) -> None:
        self.git("merge", "-q", *self.chance.choice([(), ("--no-ff", "-mmerge"), ("--abort",)]), self.some_place())

    def rebase(self) -> None:
        self.git("rebase", "-q", self.chance.choice(["--abort", "--continue", "--skip", self.some_place()]))

    def push(self) -> None:
        self.git("push", "-qf", "origin", f"HEAD:{self.chance.choice(['main', 'release', 'new'])}")

    def fetch(self) -> None:
        self.git("fetch", "-q", *self.chance.choice([(), ("--prune",)]))

    def pack(self) -> None:
        self.git(*self.chance.choice([("gc", "-q"), ("repack", "-qd"), ("pack-refs", "--all"), ("repack", "-qadf")]))

    def index_version(self) -> None:
        self.git("update-index", "--index-version", self.chance.choice("234"), "--force-write-index")

    def unstage(self) -> None:
        self.git("rm", "-q", "--cached", self.some_file())

    def intend(self) -> None:
        self.git("add", "--intent-to-add", self.some_file())

    def tag(self) -> None:
        self.git("tag", "-f", *self.chance.choice([(), ("-am", "kept")]), "mine")

    def hide(self) -> None:
        self.git("update-index", self.chance.choice(["--assume-unchanged", "--no-assume-unchanged"]), self.some_file())

    def skip(self) -> None:
        self.git("update-index", self.chance.choice(["--skip-worktree", "--no-skip-worktree"]), self.some_file())

    def refresh(self) -> None:
        self.git("update-index", "-q", "--really-refresh")


def counts_in(lines: tuple[str, ...]) -> dict[str, int]:
    """How much of each kind Sweeper tells of."""
    text = " ".join(lines)
    found = {kind: re.search(rf"([\d,]+) {words}", text) for words, kind in _KINDS.items()}
    found["stashes"] = re.search(r"([\d,]+) stash", text)
    return {kind: int(match[1].replace(",", "")) for kind, match in found.items() if match}


def compare(pool: WorkPool, upstream: Repo, directory: Path, seed: int, tally: Counter[str]) -> None:
    """One repository, looked at after every few acts."""
    chance = random.Random(seed)
    shared = clone(upstream, directory / "upstream.git", "--bare")
    repo = clone(shared, directory / "workspace" / "web", *chance.choice([(), ("--no-local",)]))
    hand = Hand(repo, chance)
    done = []
    for _ in range(4):
        done += [hand.act() for _ in range(chance.randint(1, 6))]
        git, lines = git_says(repo), unsaved(pool, directory / "workspace")
        ours = counts_in(lines)
        trail = f"seed {seed}: {done}: git says {git}, Sweeper {lines}"
        assert not git or lines, trail
        assert all(ours.get(kind, 0) >= count for kind, count in git.items()), trail
        assert "damaged" not in " ".join(lines), trail
        tally["looks"] += 1
        tally["work"] += bool(git)
        tally["work that git does not see"] += bool(lines) and not git
        tally["counts that differ"] += ours != git


@pytest.mark.parametrize("part", range(4))
def test_where_git_sees_work_so_does_sweeper(part: int, tmp_path: Path, pool: WorkPool) -> None:
    upstream = make_upstream(tmp_path / "upstream.git")
    tally: Counter[str] = Counter()
    for seed in range(part, 20, 4):
        compare(pool, upstream, tmp_path / str(seed), seed, tally)
    assert tally["work"] > tally["looks"] // 4  # or it would prove nothing
    assert tally["work"] < tally["looks"]


def main(seeds: int, first: int = 1_000) -> None:
    """As many as wanted."""
    tally: Counter[str] = Counter()
    pool = WorkPool()
    with tempfile.TemporaryDirectory() as temporary:
        upstream = make_upstream(Path(temporary) / "upstream.git")
        for seed in range(first, first + seeds):
            directory = Path(temporary) / "one"
            directory.mkdir()
            compare(pool, upstream, directory, seed, tally)
            shutil.rmtree(directory)
    pool.close()
    print(dict(tally))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
