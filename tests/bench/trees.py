"""Trees shaped like real workspaces: a shallow clone beside its packages."""

import os
import random
from pathlib import Path


def make_workspaces(directory: Path, count: int, files: int) -> list[str]:
    """Makes so many of so many files each in `directory`, and returns their names. The same ones every time."""
    names = [f"workspace-{number}" for number in range(count)]
    for seed, name in enumerate(names):
        make_workspace(directory / name, files, seed=seed)
    return names


def make_workspace(directory: Path, files: int, *, seed: int = 0) -> int:
    """Makes `directory` with so many files and returns how many directories it has, itself included.

    A fifth of the files is the repository: few levels, directories of some dozens, and .git with its objects. The rest
    are packages: many small directories, Pareto-sized, a few with hundreds of files. The same tree for the same seed.
    """
    chance = random.Random(seed)
    made = directories = 0

    def fill(where: Path, count: int) -> None:
        nonlocal made, directories
        where.mkdir()
        directories += 1
        parent = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for number in range(min(count, files - made)):
                descriptor = os.open(f"f{number}.js", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=parent)
                os.write(descriptor, b"x" * chance.randint(0, 3_000))
                os.close(descriptor)
                made += 1
        finally:
            os.close(parent)

    fill(directory, 12)
    fill(directory / ".git", 8)
    fill(directory / ".git" / "objects", 0)
    fill(directory / "src", 20)
    sources = [directory / "src"]
    while made < files // 5:
        if chance.random() < 0.3:
            fill(directory / ".git" / "objects" / f"{directories:04x}", chance.randint(1, 4))
        else:
            sources.append(chance.choice(sources[-8:]) / f"part{directories}")
            fill(sources[-1], chance.randint(3, 30))
    fill(directory / "node_modules", 1)
    while made < files:
        package = directory / "node_modules" / f"package{directories}"
        fill(package, chance.randint(3, 6))
        inside = [package]
        for _ in range(min(12, int(chance.paretovariate(0.9)))):
            inside.append(chance.choice(inside) / f"lib{directories}")
            fill(inside[-1], min(500, int(chance.paretovariate(1.05) * 4)))
            if made >= files:
                break
    return directories


def fullest_of(directory: Path) -> int:
    """How many entries the directory with the most has, as a size scan finds it."""
    return max(len(directories) + len(files) for _, directories, files in os.walk(directory))
