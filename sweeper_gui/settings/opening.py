"""Opening a file that somebody named, whatever it turns out to be."""

import os
from io import BufferedReader, FileIO
from pathlib import Path


def open_named(path: Path) -> BufferedReader:
    """The file, to be read. Raises OSError, for a directory too; a pipe without a writer does not block."""
    return BufferedReader(FileIO(path, "r", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)))
