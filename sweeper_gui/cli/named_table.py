"""A table of workspaces: each with its facts, its name and a reason, on one line where there is room for it."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from sweeper_gui.cli.output import UNBOUNDED, plain, table
from sweeper_gui.core.names import legible

#: From this many columns on the reason stands beside the name, below that beneath it.
WIDE = 116
#: A name of this length, a UUID's and a bit, is not broken on a terminal; a longer one is.
_UNBROKEN = 40
#: In a file or a pipe nothing is broken; the reasons are aligned behind names of up to this length.
ALIGNED = 64


class NamedTable:
    """Chooses its form when it is printed, by the width that it is given.

    Columns in `right` are aligned to the right, those in `wide_only` left out where room is short.
    """

    def __init__(
        self,
        *columns: str,
        right: Sequence[str] = (),
        wide_only: Sequence[str] = (),
        names: str = "WORKSPACE",
        reasons: str = "REASON",
    ) -> None:
        self._columns = columns
        self._right = right
        self._wide_only = wide_only
        self._names = names
        self._reasons = reasons
        self._rows: list[tuple[Sequence[str | Text], str, str]] = []

    def add(self, name: str, reason: str, *cells: str | Text) -> None:
        """A row; the name is one that may be shown (`visible`), the reason any text."""
        self._rows.append((cells, name, reason))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= UNBOUNDED:
            yield self._unbroken()
        else:
            yield self._long() if options.max_width >= WIDE else self._short()

    def _unbroken(self) -> Table:
        longest = max(cell_len(name) for name in (self._names, *(name for _, name, _ in self._rows)))
        width = min(longest, ALIGNED)
        made = table(*self._columns, _beside(self._names, width, self._reasons), right=self._right)
        for cells, name, reason in self._rows:
            made.add_row(*cells, Text(_beside(name, width, legible(reason))))
        return made

    def _long(self) -> Table:
        made = table(*self._columns, self._names, self._reasons, right=self._right)
        longest = max(len(name) for name in (self._names, *(name for _, name, _ in self._rows)))
        made.columns[-2].width = min(longest, _UNBROKEN)
        for cells, name, reason in self._rows:
            made.add_row(*cells, Text(name), plain(reason))
        return made

    def _short(self) -> Table:
        shown = [column not in self._wide_only for column in self._columns]
        columns = [column for column, kept in zip(self._columns, shown, strict=True) if kept]
        made = table(*columns, self._names, right=self._right)
        for cells, name, reason in self._rows:
            kept_cells = [cell for cell, kept in zip(cells, shown, strict=True) if kept]
            made.add_row(*kept_cells, _above(name, reason))
        return made


def _beside(name: str, width: int, reason: str) -> str:
    return f"{name}{' ' * (width - cell_len(name))}  {reason}"


def _above(name: str, reason: str) -> Text:
    text = Text(name)
    if reason:
        text.append("\n").append(plain("  " + reason, style="dim"))
    return text
