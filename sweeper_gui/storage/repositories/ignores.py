"""Which untracked files are ignored: .gitignore at every level, and info/exclude.

What the user's own configuration ignores is not known here, so such files count. Patterns are matched one component of
the path at a time, with expressions that can't backtrack: those of a library, matched against whole paths, let a
hostile pattern hold the interpreter for as long as it likes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from dulwich.wildmatch import MalformedPattern, translate_bracket_expression

from sweeper_gui.storage.repositories.access import Unreadable

_MAX_PATTERN = 4096
_MAX_PATTERNS = 10_000
_ANY_DEPTH = b"**"


@dataclass(frozen=True)
class Ignores:
    """The patterns of one file, those that are written last coming first; `base` is the path that they are below."""

    base: bytes
    patterns: Sequence["Pattern"]
    outer: "Ignores | None" = None

    def ignore(self, directory: bytes, name: bytes, *, is_directory: bool, check: Callable[[], None]) -> bool:
        """Whether an untracked entry is ignored whose directory is not. The innermost file that says so decides."""
        level: Ignores | None = self
        while level is not None:
            inner = directory[len(level.base) :].lstrip(b"/")
            parts = (*inner.split(b"/"), name) if inner else (name,)
            for pattern in level.patterns:
                check()
                if (is_directory or not pattern.only_directories) and pattern.matches(parts):
                    return not pattern.negated
            level = level.outer
        return False


class Pattern:
    """One line."""

    def __init__(self, line: bytes) -> None:
        self.negated = line.startswith(b"!")
        line = line[self.negated :]
        self.only_directories = line.endswith(b"/")
        self._line = line[: len(line) - self.only_directories]

    @cached_property
    def _steps(self) -> list["re.Pattern[bytes] | None"] | None:
        """One expression for each component, None for any number of them; None for a pattern that matches nothing."""
        line = self._line
        anywhere = b"/" not in line
        parts = line.removeprefix(b"/").split(b"/")
        # Where git may take 'a**/b' or '[/a]' for more than is done here, and less would be ignored by it, nothing is.
        everything = [None, re.compile(b".+", re.DOTALL)]
        if self.negated and not anywhere and any(_ANY_DEPTH in part and part != _ANY_DEPTH for part in parts):
            return everything
        try:
            steps = [
                None if part == _ANY_DEPTH and not anywhere else re.compile(_expression(part), re.DOTALL)
                for part, before in zip(parts, [b"", *parts], strict=False)
                if anywhere or part != _ANY_DEPTH or part != before  # two of them in a row say no more than one
            ]
        except (MalformedPattern, re.error):
            return everything if self.negated else None
        if anywhere:
            return [None, *steps]
        if steps[-1] is None:  # 'a/**': everything in it, but not itself
            steps.append(re.compile(b".+", re.DOTALL))
        return steps

    def matches(self, parts: Sequence[bytes]) -> bool:
        """Whether the path of these components, below the file that the pattern is in, is meant."""
        steps = self._steps
        if not steps or (len(steps) > len(parts) and None not in steps):
            return False
        if len(steps) == 2 and steps[0] is None and steps[1] is not None:
            return steps[1].fullmatch(parts[-1]) is not None
        reached = {0}  # how many steps may be done before the next component
        for part in parts:
            reached = _after(part, reached, steps)
            if not reached:
                return False
        return len(steps) in reached


def _after(part: bytes, reached: set[int], steps: Sequence["re.Pattern[bytes] | None"]) -> set[int]:
    following: set[int] = set()
    for done in _with_empty(reached, steps):
        if done == len(steps):
            continue
        step = steps[done]
        if step is None:
            following.add(done)
        elif step.fullmatch(part):
            following.add(done + 1)
    return following


def _with_empty(reached: set[int], steps: Sequence["re.Pattern[bytes] | None"]) -> set[int]:
    """With those that any number of components, none too, leads to."""
    closed = set(reached)
    for done in sorted(reached):
        step = done
        while step < len(steps) and steps[step] is None:
            step += 1
            closed.add(step)
    return closed


def _expression(part: bytes) -> bytes:
    """For one component. Once what follows a star was found, it is never looked for farther on: nothing is gained."""
    pieces: list[bytes] = [b""]
    at = 0
    while at < len(part):
        character = part[at : at + 1]
        at += 1
        if character == b"*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append(b"")
        elif character == b"?":
            pieces[-1] += b"."
        elif character == b"[":
            at, expression = translate_bracket_expression(part, at)
            pieces[-1] += expression
        else:
            if character == b"\\":
                character = part[at : at + 1]
                at += 1
                if not character:
                    raise MalformedPattern(part)
            pieces[-1] += re.escape(character)
    first, *rest = pieces
    if not rest:
        return first
    return first + b"".join(b"(?>.*?" + piece + b")" for piece in rest[:-1]) + b".*" + rest[-1]


def read_patterns(content: bytes) -> list[Pattern]:
    """The patterns of a file, the last one first. Raises `Unreadable` for more than anybody writes."""
    patterns: list[Pattern] = []
    for written in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = _without_spaces(written.removesuffix(b"\r"))
        if not line or line.startswith(b"#"):
            continue
        if len(line) > _MAX_PATTERN or len(patterns) == _MAX_PATTERNS:
            raise Unreadable("its ignore patterns are too long or too many")
        patterns.append(Pattern(line))
    return patterns[::-1]


def _without_spaces(line: bytes) -> bytes:
    """Without spaces at the end, but for an escaped one."""
    stripped = line.rstrip(b" ")
    escapes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if escapes % 2 and len(stripped) < len(line) else stripped
