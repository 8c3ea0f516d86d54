"""Light and dark: the colours of everything, and how they follow the desktop.

Sweeper brings its own palettes for the Fusion style, so that it looks the same on every bastion. A status has a
colour, an icon and a word; the colour is never the only one of them that tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.icons import load_icon
from sweeper_gui.ui.resources import read_resource, resources_directory

Mode = Literal["system", "light", "dark"]


@dataclass(frozen=True)
class Colours:
    """One set of colours, each as '#rrggbb'."""

    window: str
    surface: str
    raised: str
    hover: str
    stripe: str
    border: str
    strong_border: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    accent_text: str
    selection: str
    danger: str
    danger_hover: str
    danger_text: str
    danger_surface: str
    warning: str
    warning_surface: str
    info: str
    info_surface: str
    good: str
    good_surface: str
    orphan: str
    live: str
    recent: str
    in_use: str
    unmeasured: str
    unknown: str
    protected: str
    foreign: str

    def status(self, status: Status) -> str:
        """The colour of a status."""
        return str(getattr(self, status.value.replace("-", "_")))


LIGHT = Colours(
    window="#f4f5f7",
    surface="#ffffff",
    raised="#ffffff",
    hover="#eceff3",
    stripe="#fafbfc",
    border="#dfe3e8",
    strong_border="#aeb7c2",
    text="#18212b",
    muted="#566270",
    accent="#1f5fbf",
    accent_hover="#184f9f",
    accent_text="#ffffff",
    selection="#dce8fa",
    danger="#b3261e",
    danger_hover="#8f1d17",
    danger_text="#ffffff",
    danger_surface="#fcebea",
    warning="#8a5300",
    warning_surface="#fff4e0",
    info="#1f5fbf",
    info_surface="#e9f1fc",
    good="#1b7040",
    good_surface="#e7f5ec",
    orphan="#a85400",
    live="#1b7040",
    recent="#1f5fbf",
    in_use="#6a3fb5",
    unmeasured="#5b6673",
    unknown="#a3247c",
    protected="#0b6b76",
    foreign="#6b6257",
)

DARK = Colours(
    window="#14181d",
    surface="#1a1f26",
    raised="#222932",
    hover="#2a323d",
    stripe="#1d232a",
    border="#2f3844",
    strong_border="#56616f",
    text="#e6eaef",
    muted="#9ba7b4",
    accent="#5b9bf3",
    accent_hover="#7db1f7",
    accent_text="#0c1420",
    selection="#24374f",
    danger="#f07a71",
    danger_hover="#f5968f",
    danger_text="#240806",
    danger_surface="#3a2023",
    warning="#f0b357",
    warning_surface="#362b18",
    info="#7db1f7",
    info_surface="#1c2b3f",
    good="#5fc487",
    good_surface="#183024",
    orphan="#f0a04b",
    live="#5fc487",
    recent="#6fa8f5",
    in_use="#b594f0",
    unmeasured="#9ba7b4",
    unknown="#ec82c6",
    protected="#4fc0cc",
    foreign="#b5aa9c",
)

#: Placeholders that Qt names when the desktop tells no font: then the one that comes with us is better.
_NO_REAL_FONT = frozenset({"", "sans", "sans serif", "sans-serif"})


class Look(QObject):
    """The colours in force, handed to whoever paints. `changed` tells that they are others now."""

    changed = Signal()

    def __init__(self, app: QApplication, mode: Mode = "system") -> None:
        super().__init__()
        self._app = app
        self._mode: Mode = mode
        self.colours = self._wanted()
        self._brushes: dict[str, QColor] = {}
        app.setStyle(QStyleFactory.create("Fusion"))
        use_fonts(app)
        self._dress()
        app.styleHints().colorSchemeChanged.connect(self._follow)

    @property
    def mode(self) -> Mode:
        """What was asked for: a fixed look, or the desktop's."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Keeps to light or dark, or follows the desktop."""
        self._mode = mode
        self._follow()

    def colour(self, name: str) -> QColor:
        """One of the colours in force, by its name in `Colours`: made once, as cells are painted by the thousand."""
        colour = self._brushes.get(name)
        if colour is None:
            colour = self._brushes[name] = QColor(str(getattr(self.colours, name)))
        return colour

    def icon(self, name: str, colour: str | None = None) -> QIcon:
        """One of our icons in a colour ('#rrggbb'), by default the text's."""
        return load_icon(name, colour or self.colours.text, self.colours.strong_border)

    def status_icon(self, status: Status) -> QIcon:
        """The icon of a status, in its colour."""
        return self.icon(f"status-{status.value}", self.colours.status(status))

    def _wanted(self) -> Colours:
        if self._mode == "system":
            return DARK if self._app.styleHints().colorScheme() is Qt.ColorScheme.Dark else LIGHT
        return DARK if self._mode == "dark" else LIGHT

    def _follow(self) -> None:
        wanted = self._wanted()
        if wanted is not self.colours:
            self.colours = wanted
            self._brushes.clear()
            self._dress()
            self.changed.emit()

    def _dress(self) -> None:
        self._app.setPalette(_palette(self.colours))
        self._app.setStyleSheet(style_sheet(self.colours))


def style_sheet(colours: Colours) -> str:
    """The style sheet with its '@name' tokens replaced, longest first."""
    sheet = read_resource("style", "sweeper.qss").replace("@icons", (resources_directory() / "icons").as_posix())
    tokens: Mapping[str, str] = {field.name: getattr(colours, field.name) for field in fields(colours)}
    sheet = sheet.replace("@scheme", "dark" if colours is DARK else "light")
    for name in sorted(tokens, key=len, reverse=True):
        sheet = sheet.replace(f"@{name}", tokens[name])
    return sheet


def use_fonts(app: QApplication) -> None:
    """Follows the desktop's font; where it names none, as on a bare host, uses the one that comes with us."""
    app_font = app.font()
    if app_font.family().lower() not in _NO_REAL_FONT and QFontDatabase.families():
        return
    family = _bundled_family()
    if family is None:
        return
    font = QFont(family)
    font.setPointSizeF(max(9.5, app_font.pointSizeF()))
    app.setFont(font)


def _bundled_family() -> str | None:
    try:
        data = files("fontpkg_inter").joinpath("files", "Inter[opsz,wght].ttf").read_bytes()
    except (ImportError, OSError):
        return None
    families = QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFontFromData(data))
    return families[0] if families else None


def _palette(colours: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for key, value in {
        role.Window: colours.window,
        role.WindowText: colours.text,
        role.Base: colours.surface,
        role.AlternateBase: colours.stripe,
        role.Text: colours.text,
        role.Button: colours.raised,
        role.ButtonText: colours.text,
        role.BrightText: colours.danger,
        role.Highlight: colours.accent,
        role.HighlightedText: colours.accent_text,
        role.Accent: colours.accent,
        role.Link: colours.accent,
        role.LinkVisited: colours.accent,
        role.ToolTipBase: colours.raised,
        role.ToolTipText: colours.text,
        role.PlaceholderText: colours.muted,
        role.Light: colours.raised,
        role.Midlight: colours.hover,
        role.Mid: colours.border,
        role.Dark: colours.strong_border,
        role.Shadow: colours.strong_border,
    }.items():
        palette.setColor(key, QColor(value))
    for key in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, key, QColor(colours.strong_border))
    return palette
