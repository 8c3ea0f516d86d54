"""Other tools that remove or measure trees, each started as its users start it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

#: A tool is given the trees, which lie side by side, and is done with them when it returns.
Peer = Callable[[Sequence[Path]], None]

#: The way of the source system's hotfix: off the event loop, one directory after the other.
_ONE_BY_ONE = """
const { rm } = require('node:fs/promises');
(async () => { for (const tree of process.argv.slice(1)) await rm(tree, { recursive: true, force: true }); })();
"""
_SCANDIR = """
import sys
from scandir_rs import Count, ReturnType
for tree in sys.argv[1:]:
    Count(tree, skip_hidden=False, return_type=ReturnType.Ext).collect()
"""


def removers(packages: Path) -> dict[str, Peer]:
    """By what the tables call them. npm installs rimraf into `packages`."""
    return {
        "rm -rf": lambda trees: _run(["rm", "-rf", *trees]),
        "shutil.rmtree": lambda trees: _run([sys.executable, "-c", _RMTREE, *trees]),
        "node, one by one": lambda trees: _run(["node", "-e", _ONE_BY_ONE, *trees]),
        "node, 64 threads": lambda trees: _run(["node", "-e", _ONE_BY_ONE, *trees], UV_THREADPOOL_SIZE="64"),
        "rimraf": partial(_rimraf, packages),
        "xargs -P64 rm -rf": xargs,
    }


_RMTREE = "import shutil, sys\nfor tree in sys.argv[1:]: shutil.rmtree(tree)"


def xargs(trees: Sequence[Path]) -> None:
    """Tuned by hand for these trees: every package and every part of the sources is a job of its own, then the rest."""
    parts = [
        child
        for tree in trees
        for below in ("node_modules", "src", ".git/objects")
        for child in _children(tree / below)
    ]
    listed = b"\0".join(os.fsencode(part) for part in parts)
    subprocess.run(["xargs", "-0", "-n4", "-P64", "rm", "-rf"], input=listed, check=True)
    _run(["rm", "-rf", *trees])


def _children(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _rimraf(packages: Path, trees: Sequence[Path]) -> None:
    _run([packages / "node_modules" / ".bin" / "rimraf", *trees])


def measurers() -> dict[str, Peer]:
    """By what the tables call them."""
    return {
        "du": lambda trees: _run(["du", "-s", *trees]),
        "gdu": lambda trees: _each(["gdu", "--non-interactive", "--no-progress", "--summarize"], trees),
        "scandir-rs": lambda trees: _run([sys.executable, "-c", _SCANDIR, *trees]),
    }


def get_ready(packages: Path) -> None:
    """Installs what no system package has, and says what is missing otherwise."""
    missing = [tool for tool in ("node", "npm", "gdu", "du", "xargs") if shutil.which(tool) is None]
    if importlib.util.find_spec("scandir_rs") is None:
        missing.append("scandir-rs")
    if missing:
        raise RuntimeError(f"{', '.join(missing)} missing: ./dev bench installs what benchmarks need")
    if not (packages / "node_modules" / "rimraf").is_dir():
        packages.mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", packages, "rimraf@6"])


def _each(command: Sequence[str], trees: Sequence[Path]) -> None:
    for tree in trees:
        _run([*command, tree])


def _run(command: Sequence[str | Path], **environment: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment)
