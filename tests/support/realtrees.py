"""A volume of real trees: packages installed by pip and npm, and git repositories with history.

For trials by hand and for acceptance runs, too large for the test suite:

    python -m tests.support.realtrees /var/tmp/trial --cache /var/tmp/real-trees

makes the volume, its SQLite registry and a `sweeper.toml` below that directory, with live, deleted and unexplained
workspaces, and writes down a fingerprint of each; `--check` compares the live ones with it. The packages come from the
registries that pip and npm are set up for, once; the cache keeps them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from tests.support.trees import fingerprint
from tests.support.volume import FakeVolume

#: Installed together by npm: more than 50,000 entries, with links in node_modules/.bin and mtimes of 1985.
_NPM = ("@mui/icons-material", "date-fns", "typescript", "lodash")
#: Each installed by pip into a tree of its own; ansible has more than 24,000 entries.
_PIP = ("ansible", "django", "sympy", "requests", "rich")

_GIT_SETTINGS = {
    "GIT_AUTHOR_NAME": "Octo Cat",
    "GIT_AUTHOR_EMAIL": "octocat@example.org",
    "GIT_COMMITTER_NAME": "Octo Cat",
    "GIT_COMMITTER_EMAIL": "octocat@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True)
class Trees:
    """The source trees, made once in a cache directory. Raises CalledProcessError where a registry can't be reached."""

    cache: Path

    def npm(self) -> Path:
        """A project with its node_modules."""
        return self._once("npm", self._install_npm)

    def pip(self, package: str) -> Path:
        """A package with everything it needs, as `pip install --target` lays it."""
        return self._once(f"pip-{package}", lambda target: self._install_pip(package, target))

    def environment(self) -> Path:
        """The virtual environment that runs this: hundreds of megabytes with shared libraries and links."""
        return Path(sys.prefix)

    def repository(self, package: str) -> Path:
        """A git repository with a commit per top-level directory of the package, a branch, a tag and a stash."""
        return self._once(f"git-{package}", lambda target: self._make_repository(self.pip(package), target))

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        tree = self.cache / name
        if not tree.exists():
            unfinished = self.cache / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            print(f"making {name}", flush=True)
            make(unfinished)
            unfinished.rename(tree)
        return tree

    @staticmethod
    def _install_npm(target: Path) -> None:
        (target / "package.json").write_text(json.dumps({"name": "workspace", "version": "1.0.0", "private": True}))
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "install", *options, *_NPM], cwd=target, check=True)

    @staticmethod
    def _install_pip(package: str, target: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), package]
        subprocess.run(command, check=True)

    @staticmethod
    def _make_repository(source: Path, target: Path) -> None:
        _git(target, "init", "--quiet", "--initial-branch=main")
        for part in sorted(source.iterdir()):
            if part.is_dir():
                shutil.copytree(part, target / part.name, symlinks=True)
                _git(target, "add", "--all")
                _git(target, "commit", "--quiet", "--allow-empty", f"--message=Add {part.name}")
        _git(target, "tag", "v1")
        _git(target, "branch", "other", "HEAD~1")
        (target / "README").write_text("changed\n")
        _git(target, "add", "README")
        _git(target, "stash", "--quiet")


def _git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(directory), *arguments], check=True, env=os.environ | _GIT_SETTINGS)


@dataclass(frozen=True)
class Part:
    """One workspace to be made: what its session is, and what is in it."""

    id: str
    session: str  # live | deleted | none
    trees: tuple[Path, ...]


def parts(trees: Trees, count: int) -> Iterator[Part]:
    """So many workspaces: a third live, a third deleted, the rest unknown to the registry.

    The first is of more than 1.5 GB, three more are of 20,000 entries and more; each of these is to be removed, and the
    second kind has a live twin.
    """
    repositories = [trees.repository(package) for package in ("django", "sympy", "requests", "rich")]
    small = [*repositories, trees.pip("requests"), trees.pip("rich"), trees.pip("django"), trees.pip("sympy")]
    environment = trees.environment()
    large = [
        (environment, environment, trees.npm(), trees.pip("ansible")),
        (trees.npm(),),
        (trees.pip("ansible"),),
        (trees.npm(), trees.pip("ansible")),
    ]
    yield from (Part(f"large-{number}", "deleted", tree) for number, tree in enumerate(large))
    yield Part("large-live", "live", (trees.npm(),))
    sessions = cycle(["live", "deleted", "none"])
    kinds = cycle(small)
    for number in range(count - len(large) - 1):
        yield Part(f"session-{number:03}", next(sessions), tuple(islice(kinds, 1 + number % 2)))


def make_volume(directory: Path, cache: Path, count: int = 60, min_age: str = "1s") -> FakeVolume:
    """The volume with its registry, `sweeper.toml` and `fingerprints.json` in `directory`, which must not exist."""
    volume = FakeVolume(directory)
    fingerprints = {}
    for part in parts(Trees(cache), count):
        workspace = volume.root / part.id
        workspace.mkdir()
        for number, tree in enumerate(part.trees):
            target = workspace / f"{tree.name}-{number}"
            subprocess.run(["cp", "--archive", "--reflink=auto", str(tree), str(target)], check=True)
        if part.session == "live":
            volume.session(part.id)
            fingerprints[part.id] = fingerprint(workspace)
        elif part.session == "deleted":
            volume.session(part.id, deleted_at=1_700_000_000.0)
    (directory / "sweeper.toml").write_text(volume.settings(min_age=min_age))
    (directory / "fingerprints.json").write_text(json.dumps(fingerprints, indent=1))
    return volume


def changed(directory: Path) -> list[str]:
    """The ids of the live workspaces that are no longer what they were when the volume was made."""
    fingerprints: dict[str, str] = json.loads((directory / "fingerprints.json").read_text())
    root = directory / "workspaces"
    return [
        id_ for id_, before in fingerprints.items() if not (root / id_).is_dir() or fingerprint(root / id_) != before
    ]


def main() -> int:
    """Makes or checks a volume, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/sweeper-real-trees"))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--min-age", default="1s")
    parser.add_argument("--check", action="store_true", help="compare the live workspaces with what they were")
    options = parser.parse_args()
    if not options.check:
        make_volume(options.directory, options.cache, options.count, options.min_age)
        print(f"sweeper --config {options.directory}/sweeper.toml list")
        return 0
    differing = changed(options.directory)
    print("\n".join(f"changed: {id_}" for id_ in differing) or "every live workspace is what it was")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
