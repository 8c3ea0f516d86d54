"""SECURITY.md names a test for each of its claims: each of them is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "SECURITY.md").read_text(encoding="utf-8")

_HEAD = ["Claim", "How it is closed", "What remains", "Tested by"]
#: Sections that are told in words; every other one is a table of claims.
_IN_WORDS = {"What is trusted", "What is not trusted", "What remains", "Report a vulnerability"}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def sections() -> dict[str, str]:
    """The text below each heading."""
    _, *parts = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def rows(text: str) -> list[list[str]]:
    """The cells of each line of a table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


CLAIMS = [(title, row) for title, text in sections().items() for row in rows(text)[2:]]


@cache
def functions(path: str) -> set[str]:
    """The test functions of a file, read and not imported: some need a screen."""
    tree = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("title", [title for title in sections() if title not in _IN_WORDS])
def test_every_section_has_claims_in_the_same_form(title: str) -> None:
    head, rule, *claims = rows(sections()[title])
    assert head == _HEAD
    assert set("".join(rule)) <= {"-", " "}
    assert claims


def test_what_is_told_in_words_is_told() -> None:
    assert set(sections()) >= _IN_WORDS
    for title in _IN_WORDS:
        assert len(sections()[title].split()) > 20, title


@pytest.mark.parametrize(("title", "row"), CLAIMS, ids=[row[0] for _, row in CLAIMS])
def test_every_claim_says_how_and_names_tests_that_are_there(title: str, row: list[str]) -> None:
    assert len(row) == len(_HEAD), f"{title}: {row}"
    claim, how, _, tested = row
    assert claim
    assert how
    named = _TEST.findall(tested)
    assert named, f"no test is named for: {claim}"
    assert _TEST.sub("", tested).replace(",", "").strip() == "", f"not a list of tests: {tested}"
    for path, function in named:
        assert (PROJECT / path).is_file(), path
        assert function in functions(path), f"{path} has no {function}"


def test_no_claim_is_made_twice() -> None:
    claims = [row[0] for _, row in CLAIMS]
    assert len(claims) == len(set(claims))
