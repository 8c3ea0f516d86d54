"""Where results and messages go, and in which form: standard output for results, standard error for everything else.

Whatever is shown passes `legible` or `visible`, and reaches rich as `Text`: nothing from the volume or the registry is
ever markup or a terminal's command.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO, TypeVar, cast

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from sweeper_gui.cli.codes import Refusal
from sweeper_gui.cli.documents import Document, text_of
from sweeper_gui.core.names import legible

#: Wider than any table gets: a file or a pipe has no width, and names must not be cut for it.
UNBOUNDED = 100_000

T = TypeVar("T")


class Output:
    """The two streams of a command. A reader that went away (`sweeper list | head`) is not an error."""

    def __init__(self) -> None:
        self._stdout = cast(TextIO, _Patient(sys.stdout))
        self._stderr = cast(TextIO, _Patient(sys.stderr))
        self._out = _console(self._stdout)
        self._err = _console(self._stderr)

    @property
    def messages(self) -> Console:
        """The console of the standard error stream, for a progress display."""
        return self._err

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def document(self, document: Document) -> None:
        """A JSON document as the result."""
        _write(self._stdout, text_of(document) + "\n")

    def pieces(self, pieces: Iterable[str]) -> None:
        """A JSON document as the result, written as it comes."""
        for piece in pieces:
            _write(self._stdout, piece)

    def result(self, *parts: RenderableType) -> None:
        """Part of the result, for people."""
        _write(self._stdout, _rendered(self._out, parts))

    def notice(self, *parts: RenderableType) -> None:
        """Something to know that is not the result."""
        _write(self._stderr, _rendered(self._err, parts))

    def warning(self, text: str, hint: str = "") -> None:
        """A problem that does not end the command."""
        self.notice(_message("warning: ", "bold yellow", text, hint))

    def refusal(self, refusal: Refusal) -> None:
        """Why the command ends here."""
        self.notice(_message("sweeper: ", "bold red", refusal.message, refusal.hint))

    def flush(self) -> None:
        """Empties both streams as far as anybody still reads them."""
        self._stdout.flush()
        self._stderr.flush()

    def ask(self, question: str) -> bool:
        """A yes or a no from the terminal; the end of the input is a no."""
        _write(self._stderr, f"{legible(question)} [y/N] ")
        try:
            answer = sys.stdin.readline()
        except OSError:  # the terminal has gone
            return False
        return answer.strip().lower() in ("y", "yes")

    def count_down(self, seconds: float) -> None:
        """Waits for so long; a terminal shows the seconds left."""
        shown = sys.stderr.isatty()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if shown:
                _write(self._stderr, f"\r{math.ceil(left):>6} s left ")
            time.sleep(min(left, 1.0))
        if shown:
            _write(self._stderr, "\r\x1b[K")


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table without lines, the columns named in `right` aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        if column in right:
            made.add_column(column, justify="right", no_wrap=True)
        else:
            made.add_column(column, overflow="fold")
    return made


def plain(text: str, style: str = "") -> Text:
    """Untrusted text as one cell or line."""
    return Text(legible(text), style=style)


def _message(label: str, style: str, text: str, hint: str) -> Text:
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    message = Text(label, style=style)
    message.append("\n  ".join(legible(line) for line in lines), style="default not bold")
    if hint:
        message.append("\n  " + "\n  ".join(legible(line) for line in hint.splitlines()), style="default not bold")
    return message


class _Patient:
    """A stream that stops writing for good where nobody reads any more: the work behind the output goes on.

    A pipe whose reader has ended, or a terminal that was closed, must not end a sweep half-way.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._try(lambda: self._stream.write(text)) or len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() or "COLUMNS" in os.environ else UNBOUNDED
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False, legacy_windows=False)


def _rendered(console: Console, parts: Sequence[RenderableType]) -> str:
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, Text) and console.width == UNBOUNDED)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
