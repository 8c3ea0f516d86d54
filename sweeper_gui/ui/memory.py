"""What the window remembers from one time to the next: a small file in the local state, never on the volume."""

import logging
from pathlib import Path
from typing import Annotated

import msgspec

from sweeper_gui.storage.private import read_private, replace_private
from sweeper_gui.ui.theme import Mode

_FILE = "window.json"
_MAX_SIZE = 64 * 1024

_log = logging.getLogger(__name__)

#: Pixels; beyond these a column can't be found or fills every screen.
Width = Annotated[int, msgspec.Meta(ge=30, le=4_000)]


class Memory(msgspec.Struct, frozen=True):
    """The colours, whether the figures are shown, and the width of each column, by its key, that a person has set."""

    mode: Mode = "system"
    figures: bool = False
    widths: dict[str, Width] = {}


def recall(directory: Path) -> Memory:
    """What was kept in the local state. A file that can't be read is no reason to stop: it is ignored, says the log."""
    try:
        return msgspec.json.decode(read_private(directory / _FILE, _MAX_SIZE), type=Memory)
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        _log.warning("what the window remembers, in %s, can't be read and is ignored: %s", directory / _FILE, error)
        return Memory()


def keep(directory: Path, memory: Memory) -> None:
    """Writes it, where that can be done."""
    try:
        replace_private(directory / _FILE, msgspec.json.encode(memory))
    except OSError as error:
        _log.warning("what the window is to remember can't be written to %s: %s", directory / _FILE, error)
