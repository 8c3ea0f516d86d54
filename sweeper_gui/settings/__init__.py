"""What the user has set: one typed model from a TOML file, SWEEPER_* variables and the command line.

What lives here checks syntax alone. It touches no volume: nothing is resolved, opened or stat'ed but the configuration
file itself, because a hung mount would hang whoever asks.
"""

from sweeper_gui.settings.load import find_config, load_settings, state_dir
from sweeper_gui.settings.model import (
    DEFAULT_QUERY,
    PolicySettings,
    RegistrySettings,
    Settings,
    SweepSettings,
    VolumeSettings,
)
from sweeper_gui.settings.problems import Problem, SettingsError
from sweeper_gui.settings.roots import dangerous_root, known_homes

__all__ = [
    "DEFAULT_QUERY",
    "PolicySettings",
    "Problem",
    "RegistrySettings",
    "Settings",
    "SettingsError",
    "SweepSettings",
    "VolumeSettings",
    "dangerous_root",
    "find_config",
    "known_homes",
    "load_settings",
    "state_dir",
]
