"""Our icons: SVG files drawn with one colour, `currentColor`, that is chosen when they are loaded."""

from functools import cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from sweeper_gui.ui.resources import read_resource

#: What buttons, menus and titles show; each more makes the start and the first dialogs slower.
_SIZES = (16, 18, 24)


@cache
def load_icon(name: str, colour: str, disabled_colour: str | None = None) -> QIcon:
    """The icon `name` in a colour, and in another one where it is disabled."""
    icon = QIcon()
    _add(icon, name, colour, QIcon.Mode.Normal)
    if disabled_colour is not None:
        _add(icon, name, disabled_colour, QIcon.Mode.Disabled)
    return icon


@cache
def app_icon() -> QIcon:
    """The program's own icon, in its own colours."""
    icon = QIcon()
    renderer = _renderer(read_resource("icons", "sweeper.svg"))
    for size in (16, 24, 32, 48, 64, 128, 256):
        icon.addPixmap(_drawn(renderer, size, 1))
    return icon


def _add(icon: QIcon, name: str, colour: str, mode: QIcon.Mode) -> None:
    renderer = _renderer(read_resource("icons", f"{name}.svg").replace("currentColor", colour))
    for size in _SIZES:
        for ratio in _ratios():
            icon.addPixmap(_drawn(renderer, size, ratio), mode)


def _ratios() -> tuple[int, ...]:
    """Pixels to a point, on the screens that are there."""
    application = QGuiApplication.instance()
    dense = isinstance(application, QGuiApplication) and application.devicePixelRatio() > 1
    return (1, 2) if dense else (1,)


def _renderer(source: str) -> QSvgRenderer:
    return QSvgRenderer(QByteArray(source.encode()))


def _drawn(renderer: QSvgRenderer, size: int, ratio: int) -> QPixmap:
    pixmap = QPixmap(QSize(size, size) * ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter, QRectF(0, 0, size * ratio, size * ratio))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap
