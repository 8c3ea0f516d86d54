"""Where the program's own warnings and unexpected errors are kept, with their traces: a file, never the terminal."""

import io
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

from sweeper_gui.storage.private import append_private

FILE = "sweeper.log"
_MAX_BYTES = 1_000_000


def log_to(directory: Path, hidden: frozenset[str] = frozenset()) -> None:
    """Writes warnings and worse to `sweeper.log` in this directory, which is made when there is something to write.

    Without these secrets, wherever they may have come from.
    """
    from sweeper_gui.settings.secrets import SafeFormatter  # pydantic takes a quarter of a second to import

    handler = _QuietFile(directory / FILE, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)
    layout = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(SafeFormatter(layout, lambda: hidden))
    root = logging.getLogger()
    for before in [before for before in root.handlers if isinstance(before, _QuietFile)]:
        root.removeHandler(before)
        before.close()
    root.addHandler(handler)


class _QuietFile(RotatingFileHandler):
    """A log that can't be written is no reason to stop, or to say anything."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = append_private(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND)
        return io.TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding, write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Says nothing."""
