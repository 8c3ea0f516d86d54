from dataclasses import fields
from pathlib import Path

import pytest
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from sweeper_gui.core.verdict import Status
from sweeper_gui.ui.actions import _ACTIONS
from sweeper_gui.ui.columns import STATUS_MEANINGS, STATUS_ORDER, STATUS_WORDS
from sweeper_gui.ui.icons import app_icon, load_icon
from sweeper_gui.ui.resources import resources_directory
from sweeper_gui.ui.table import RESULT_SIGNS
from sweeper_gui.ui.theme import DARK, LIGHT, Colours, Look, style_sheet

ICONS = sorted(path.stem for path in (resources_directory() / "icons").glob("*.svg"))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear: list[float] = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_all_text_can_be_read(colours: Colours) -> None:
    pairs = [(colours.text, back) for back in (colours.window, colours.surface, colours.raised, colours.hover)]
    pairs += [(colours.muted, back) for back in (colours.window, colours.surface, colours.stripe, colours.hover)]
    pairs += [(colours.text, colours.selection), (colours.muted, colours.selection)]
    pairs += [(colours.accent_text, colours.accent), (colours.danger_text, colours.danger)]
    pairs += [(colours.accent_text, colours.accent_hover), (colours.danger_text, colours.danger_hover)]
    pairs += [(colours.text, back) for back in (colours.danger_surface, colours.warning_surface, colours.info_surface)]
    pairs += [(colours.warning, colours.window), (colours.danger, colours.window), (colours.good, colours.window)]
    pairs += [(colours.status(status), colours.surface) for status in Status]
    pairs += [(colours.status(status), colours.stripe) for status in Status]
    weak = [(front, back, round(contrast(front, back), 2)) for front, back in pairs if contrast(front, back) < 4.5]
    assert not weak


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_is_one_and_reaches_the_style_sheet(colours: Colours) -> None:
    assert all(QColor(getattr(colours, field.name)).isValid() for field in fields(colours))
    assert "@" not in style_sheet(colours)


@pytest.mark.parametrize("name", ICONS)
def test_every_icon_draws_something(name: str, qapp: QApplication) -> None:
    image = load_icon(name, "#ff0000").pixmap(32, 32).toImage()
    drawn = sum(image.pixelColor(x, y).alpha() > 0 for x in range(image.width()) for y in range(image.height()))
    assert drawn > 20


def test_every_icon_that_is_named_exists(qapp: QApplication) -> None:
    named = {values[1] for values in _ACTIONS.values()} | {sign for sign, _ in RESULT_SIGNS.values()}
    named |= {f"status-{status.value}" for status in Status}
    assert named <= set(ICONS)
    assert not app_icon().isNull()


def test_each_status_has_a_word_an_icon_of_its_own_and_a_place() -> None:
    assert set(STATUS_ORDER) == set(Status) == set(STATUS_WORDS) == set(STATUS_MEANINGS)
    directory: Path = resources_directory() / "icons"
    drawings = [(directory / f"status-{status.value}.svg").read_text() for status in Status]
    assert len(set(drawings)) == len(drawings)


def test_light_and_dark_can_be_chosen(look: Look, qapp: QApplication) -> None:
    told: list[Colours] = []
    look.changed.connect(lambda: told.append(look.colours))
    look.set_mode("dark")
    dark = qapp.palette().color(QPalette.ColorRole.Window)
    look.set_mode("light")
    light = qapp.palette().color(QPalette.ColorRole.Window)
    assert told == [DARK, LIGHT]
    assert dark.lightness() < 60
    assert light.lightness() > 200
    look.set_mode("light")
    assert told == [DARK, LIGHT]
