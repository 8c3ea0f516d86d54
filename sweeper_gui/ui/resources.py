"""Where the program's own pictures and style sheets lie: beside the package, or in PyInstaller's bundle."""

import sys
from pathlib import Path


def resources_directory() -> Path:
    """The `resources` directory of this installation."""
    bundle = getattr(sys, "_MEIPASS", None)
    return Path(bundle or Path(__file__).parents[2]) / "resources"


def read_resource(*parts: str) -> str:
    """The text of one resource, such as ``read_resource("icons", "orphan.svg")``."""
    return resources_directory().joinpath(*parts).read_text(encoding="utf-8")
