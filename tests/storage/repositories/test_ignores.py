"""Patterns: the same as git's, on paths and patterns that chance makes up.

git takes stars that are glued to something ('a**/b') for more than its manual says, and classes may hold a slash; there
it may ignore more, and never less.
"""

import random
from pathlib import Path

import pytest

from sweeper_gui.storage.repositories.access import Unreadable
from sweeper_gui.storage.repositories.ignores import Ignores, read_patterns
from tests.storage.repositories.rig import Repo, init

_PIECES = [
    "a", "b", "ab", ".c", "*", "**", "?", "/", "/", "/", "[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "\\a", "\\*",
    "!", "!", "*.", "a*", "*b", "**/", "/**", "/**/", "]", "[", " ", "\\ ", "#", "-", "é",
]  # fmt: skip
_NAMES = ["a", "b", "ab", "ba", "abc", "a.c", ".c", "*", " ", "a ", "!", "#", "-", "é", "[", "]", "c"]


def ignored(level: Ignores, path: str) -> bool:
    """As a walk asks: from the top down, and no farther than an ignored directory."""
    parts = path.encode().split(b"/")
    return any(
        level.ignore(b"/".join(parts[:at]), name, is_directory=at < len(parts) - 1, check=lambda: None)
        for at, name in enumerate(parts)
    )


def _read_with_care(line: str) -> bool:
    """Whether git may take a pattern for more than Sweeper does."""
    return ("/" in line and ("**" in line or "[" in line)) or (line.startswith("!") and "[" in line)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return init(tmp_path_factory.mktemp("ignores") / "repo")


@pytest.mark.parametrize("part", range(4))
def test_patterns_match_what_git_matches(part: int, repo: Repo) -> None:
    chance = random.Random(part)
    for _ in range(40):
        lines = ["".join(chance.choices(_PIECES, k=chance.randint(1, 5))) for _ in range(chance.randint(1, 4))]
        content = chance.choice(["\n", "\r\n"]).join(lines)
        paths = {"/".join(chance.choices(_NAMES, k=chance.randint(1, 4))) for _ in range(40)}
        repo.write(".git/info/exclude", content)
        answer = repo.git("check-ignore", "--no-index", "--stdin", "-z", stdin="\0".join(paths) + "\0", check=False)
        level = Ignores(b"", read_patterns(content.encode()))
        ours, theirs = {path for path in paths if ignored(level, path)}, set(filter(None, answer.split("\0")))
        assert ours <= theirs, content
        assert ours == theirs or any(_read_with_care(line) for line in lines), content


def test_the_innermost_file_decides() -> None:
    outer = Ignores(b"", read_patterns(b"*.log\nkeep/x\n"))
    inner = Ignores(b"docs", read_patterns(b"!a.log\n/x\n"), outer)
    for path, expected in {"a.log": False, "b.log": True, "x": True, "keep/x": False, "y/x": False}.items():
        directory, _, name = f"docs/{path}".rpartition("/")
        found = inner.ignore(directory.encode(), name.encode(), is_directory=False, check=lambda: None)
        assert found is expected, path


def test_a_byte_order_mark_is_no_pattern() -> None:
    assert ignored(Ignores(b"", read_patterns(b"\xef\xbb\xbfa\n")), "a")


def test_more_patterns_than_anybody_writes() -> None:
    with pytest.raises(Unreadable, match="too long or too many"):
        read_patterns(b"a\n" * 20_000)


def test_time_is_looked_at_while_patterns_are_tried(tmp_path: Path) -> None:
    looks: list[None] = []
    level = Ignores(b"", read_patterns(b"a*b\n" * 100))
    level.ignore(b"", b"c", is_directory=False, check=lambda: looks.append(None))
    assert len(looks) == 100
