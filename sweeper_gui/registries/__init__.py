"""The registries: a database, an HTTP API, a file, or a command that says which sessions exist.

Each reader returns all sessions that its source names or raises `RegistryError`; there is nothing in between, because
a session that was not read looks like one that does not exist.
"""

from sweeper_gui.registries.base import RegistryError
from sweeper_gui.registries.identity import identity_of
from sweeper_gui.registries.read import read_all

__all__ = ["RegistryError", "identity_of", "read_all"]
