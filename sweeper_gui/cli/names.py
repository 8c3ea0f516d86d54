"""Names of workspaces as they are typed or listed in a file: the bytes below the root."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sweeper_gui.cli.codes import Code, Refusal
from sweeper_gui.core.names import visible


def name_below(path: bytes, roots: Iterable[bytes]) -> bytes | None:
    """The name that a path stands for: itself, or what follows one of the roots; None where it lies elsewhere.

    Compared byte by byte, nothing is resolved. A slash at the end, as a shell completes it, is dropped.
    """
    path = path.rstrip(b"/") or path
    if not path.startswith(b"/"):
        return path
    for root in roots:
        prefix = root.rstrip(b"/") + b"/"
        if path.startswith(prefix) and len(path) > len(prefix):
            return path[len(prefix) :]
    return None


def names_from(arguments: Sequence[str], root: Path | None) -> tuple[bytes, ...]:
    """The names on the command line, each once. Raises `Refusal` for a path outside the root."""
    roots = (os.fsencode(root),) if root else ()
    names = []
    for argument in arguments:
        path = os.fsencode(argument)
        name = name_below(path, roots)
        if not name:
            raise Refusal(
                Code.USAGE,
                f"'{visible(path)}' is not below the root {visible(os.fsencode(root)) if root else '(none is set)'}",
                "Give a workspace as its path below the root, as 'sweeper list' shows it.",
            )
        names.append(name)
    return tuple(dict.fromkeys(names))


def read_names(file: str) -> tuple[bytes, ...]:
    """The lines of a file, or of the standard input with '-': names or full paths, each once, as they are written.

    Raises `Refusal` where it can't be read.
    """
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Refusal(
            Code.USAGE, f"can't read the names to compare from '{visible(file)}': {error.strerror}"
        ) from error
    return tuple(dict.fromkeys(line for line in content.split(b"\n") if line.strip()))
