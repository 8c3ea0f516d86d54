"""A TOML text with the lines its keys stand on, which tomllib does not tell."""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

Path = Sequence[str | int]


def parse(text: str) -> dict[str, Any]:
    """The document. Raises tomllib.TOMLDecodeError."""
    return tomllib.loads(text)


def line_of_error(error: tomllib.TOMLDecodeError) -> tuple[int | None, str]:
    """The line (from 1) and the message without its position."""
    match = re.fullmatch(r"(?s:(?P<what>.*?)) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", str(error))
    if match is None:
        return None, str(error)
    return (int(match["line"]) if match["line"] else None), match["what"]


def line_of(text: str, path: Path) -> int | None:
    """The line (from 1) where the statement begins that brings `path` into the document; None if there is none.

    Found with the parser itself: the statement is the one between the longest beginning of the text that parses and
    lacks the path, and the shortest one that parses and has it. A beginning that ends inside a statement of several
    lines does not parse, and no key ever goes away again, so this can be bisected.
    """
    lines = text.splitlines(keepends=True)
    if _has(_beginning(lines, len(lines)), path) is not True:
        return None
    lacking, having = 0, len(lines)
    while having - lacking > 1:
        middle = probe = (lacking + having) // 2
        while probe < having and (found := _has(_beginning(lines, probe), path)) is None:
            probe += 1  # breaks off inside a statement
        if probe == having or found:
            having = middle
        else:
            lacking = probe
    return lacking + 1


def _beginning(lines: Sequence[str], count: int) -> dict[str, Any] | None:
    try:
        return tomllib.loads("".join(lines[:count]))
    except tomllib.TOMLDecodeError:
        return None


def _has(document: dict[str, Any] | None, path: Path) -> bool | None:
    """Whether the path exists; None where the text did not parse."""
    if document is None:
        return None
    place: Any = document
    for step in path:
        steps = range(len(place)) if isinstance(place, list) else place if isinstance(place, dict) else ()
        if step not in steps:
            return False
        place = place[step]
    return True
