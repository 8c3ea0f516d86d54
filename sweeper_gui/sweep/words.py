"""Errors in words."""

import errno

from sweeper_gui.core.names import visible


def words_of(error: Exception) -> str:
    """An error as a part of a sentence for a person."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.ENOENT:
        return "it is gone"
    where = f" ({visible(error.filename)})" if isinstance(error.filename, bytes | str) else ""
    return f"{error.strerror or error}{where}"
