"""Real repositories, made by the real git; and what Sweeper and git say of them."""

import os
import subprocess
from pathlib import Path

from sweeper_gui.core.usage import Usage
from sweeper_gui.storage.queue import WorkPool
from tests.support.removals import measured

#: git reads no configuration but the repository's, asks nobody, and writes nothing when it is asked for the state.
SETTINGS = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_EDITOR": "true",
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "A U Thor",
    "GIT_COMMITTER_EMAIL": "author@example.org",
    "GIT_CONFIG_COUNT": "3",
    "GIT_CONFIG_KEY_0": "protocol.file.allow",
    "GIT_CONFIG_VALUE_0": "always",
    "GIT_CONFIG_KEY_1": "init.defaultBranch",
    "GIT_CONFIG_VALUE_1": "main",
    "GIT_CONFIG_KEY_2": "core.fsync",
    "GIT_CONFIG_VALUE_2": "none",
}


class Repo:
    """A repository that git made; paths are below it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *arguments: str | Path, check: bool = True, stdin: str | None = None) -> str:
        """What git answers, without the newline at the end."""
        ran = subprocess.run(
            ["git", "-C", self.path, *arguments],
            env=os.environ | SETTINGS,
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        assert not check or ran.returncode == 0, f"git {arguments}: {ran.stderr}"
        return ran.stdout.rstrip("\n")

    def write(self, name: str | bytes, content: str | bytes) -> Path:
        """A file, with the directories above it."""
        path = Path(os.fsdecode(os.path.join(os.fsencode(self.path), os.fsencode(name))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self, message: str = "work", *options: str) -> str:
        """Commits everything there is; returns the id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}", "--allow-empty", *options)
        return self.git("rev-parse", "HEAD")


def init(path: Path, *options: str) -> Repo:
    """A new repository."""
    path.mkdir(parents=True, exist_ok=True)
    repo = Repo(path)
    repo.git("init", "--quiet", *options)
    return repo


def clone(source: Repo | Path | str, path: Path, *options: str) -> Repo:
    """A clone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = source.path if isinstance(source, Repo) else source
    Repo(path.parent).git("clone", "--quiet", *options, str(source), str(path))
    return Repo(path)


def make_upstream(path: Path) -> Repo:
    """A bare repository with two branches, some files in directories, a link, an executable, and an ignore file."""
    seed = init(path.with_name(path.name + "-seed"))
    seed.write("README.md", "# A project\n")
    seed.write("src/main.py", "print('hello')\n" * 20)
    seed.write("src/deep/er/module.py", "x = 1\n")
    seed.write("src/deep/other.py", "y = 2\n")
    seed.write("docs/index.txt", "words\n")
    seed.write(".gitignore", "build/\n*.log\n!keep.log\n/node_modules\n")
    seed.write("src/.gitignore", "generated.*\n!*.log\n")
    seed.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (seed.path / "link").symlink_to("src/main.py")
    seed.commit("Begin")
    seed.git("branch", "release")
    for number in range(3):
        seed.write("src/main.py", f"print('hello {number}')\n" * 20)
        seed.commit(f"Change {number}")
    seed.git("tag", "v1")
    return clone(seed, path, "--bare")


def usage_of(pool: WorkPool, workspace: Path) -> Usage:
    """What measuring a workspace says; it must have been read completely."""
    usage = measured(pool, workspace).usage
    assert (usage.complete, usage.errors) == (True, ())
    return usage


def unsaved(pool: WorkPool, workspace: Path) -> tuple[str, ...]:
    """The lines of unsaved work."""
    return usage_of(pool, workspace).unsaved_work


def git_says(repo: Repo) -> dict[str, int]:
    """How much of each kind there is, as git counts it; only what is not nothing."""
    status = repo.git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").split("\0")
    counts = {
        "uncommitted": sum(bool(line) and not line.startswith("??") for line in status),
        "untracked": sum(line.startswith("??") for line in status),
        "unpushed": len(
            repo.git("log", "--format=%H", "--branches", "HEAD", "--not", "--remotes", check=False).split()
        ),
        "stashes": len(repo.git("stash", "list").splitlines()),
    }
    return {kind: count for kind, count in counts.items() if count}
