"""The top of the window: the volume, how its measured bytes divide, the registry and how it matches."""

import time
from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from sweeper_gui.core.units import age_text, count_text, size_text
from sweeper_gui.engine.messages import RegistryState, ScanProgress, VolumeState
from sweeper_gui.ui.plain_text import ElidedLabel, PlainLabel, tool_tip
from sweeper_gui.ui.tally import Summary
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.usage_bar import UsageBar


class Header(QFrame):
    """Shows; its two buttons are connected by the window."""

    def __init__(self, look: Look, parent: QWidget | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(parent)
        self.setObjectName("TopPanel")
        self._look = look
        self._clock = clock
        self._registry = RegistryState(sources=())
        self._scanning = False
        self._volume_sign = QLabel()
        self._registry_sign = QLabel()
        self.root = ElidedLabel(name="Title", mode=Qt.TextElideMode.ElideMiddle)
        self.kind = PlainLabel(name="Tag")
        self.state = PlainLabel(name="WarningTag")
        self.space = PlainLabel(name="Muted")
        self.bar = UsageBar(look)
        self.measured = PlainLabel(name="Muted")
        self.registry = ElidedLabel()
        self.read_at = PlainLabel(name="Muted")
        self.rescan_button = QPushButton("&Rescan")
        self.registry_button = QPushButton("Refresh re&gistry")
        self._lay_out()
        self._clockwork = QTimer(self)
        self._clockwork.setInterval(1000)
        self._clockwork.timeout.connect(self._show_read_at)
        self._clockwork.start()
        look.changed.connect(self._dress)
        self._dress()
        self.show_volume(VolumeState(root=""))
        self.show_registry(self._registry)

    def show_volume(self, volume: VolumeState) -> None:
        """Shows what is known of the volume."""
        self.root.set_text(volume.root or "no volume yet")
        self.root.setAccessibleName(f"Volume {self.root.text()}")
        self.kind.set_text(_kind_words(volume))
        self.kind.setVisible(bool(volume.fs_type))
        self.kind.setToolTip(tool_tip(f"mounted from {volume.source}" if volume.source else ""))
        self.state.set_text("read-only")
        self.state.setVisible(volume.read_only)
        self.space.set_text(space_words(volume))

    def show_summary(self, summary: Summary, scan: ScanProgress | None) -> None:
        """Shows what is measured, and how far measuring is."""
        self.bar.show_summary(summary)
        self.measured.set_text(measured_words(summary, scan))

    def show_registry(self, registry: RegistryState) -> None:
        """Shows what the registry said last."""
        self._registry = registry
        self.registry.set_text(match_words(registry))
        self._show_read_at()
        self._dress()

    def show_scanning(self, scanning: bool) -> None:
        """Turns the button into the one that stops the scan, and back."""
        if scanning != self._scanning:
            self._scanning = scanning
            self._dress_rescan()

    def _dress_rescan(self) -> None:
        scanning = self._scanning
        self.rescan_button.setText("Sto&p scan" if scanning else "&Rescan")
        self.rescan_button.setToolTip(
            tool_tip("Stop measuring" if scanning else "List and measure the volume again (Ctrl+R)")
        )
        self.rescan_button.setIcon(self._look.icon("stop" if scanning else "rescan"))

    def _show_read_at(self) -> None:
        read_at = self._registry.read_at
        self.read_at.set_text("" if read_at is None else f"read {age_text(self._clock() - read_at)} ago")

    def _lay_out(self) -> None:
        volume = QHBoxLayout()
        volume.setSpacing(8)
        volume.addWidget(self._volume_sign)
        volume.addWidget(self.root, 1)
        for part in (self.kind, self.state, self.space):
            volume.addWidget(part, 0, Qt.AlignmentFlag.AlignVCenter)
        volume.addSpacing(8)
        volume.addWidget(self.rescan_button)
        sizes = QHBoxLayout()
        sizes.setSpacing(12)
        sizes.addWidget(self.bar, 1)
        sizes.addWidget(self.measured)
        registry = QHBoxLayout()
        registry.setSpacing(8)
        registry.addWidget(self._registry_sign)
        registry.addWidget(self.registry, 1)
        registry.addWidget(self.read_at)
        registry.addSpacing(8)
        registry.addWidget(self.registry_button)
        lines = QVBoxLayout(self)
        lines.setContentsMargins(12, 8, 12, 8)
        lines.setSpacing(7)
        for line in (volume, sizes, registry):
            lines.addLayout(line)
        self.registry_button.setToolTip(tool_tip("Read the registry again and judge all rows anew (Ctrl+G)"))

    def _dress(self) -> None:
        colours = self._look.colours
        size = QSize(18, 18)
        self._volume_sign.setPixmap(self._look.icon("volume", colours.muted).pixmap(size))
        trusted = self._registry.trusted or self._registry.read_at is None
        self._registry_sign.setPixmap(
            self._look.icon("registry" if trusted else "warning", colours.muted if trusted else colours.warning).pixmap(
                size
            )
        )
        self.registry_button.setIcon(self._look.icon("registry"))
        self._dress_rescan()
        self.bar.update()


def _kind_words(volume: VolumeState) -> str:
    words = [volume.fs_type]
    if volume.network:
        words.append("network")
    return " · ".join(words)


def space_words(volume: VolumeState) -> str:
    """'312 GB free of 1.0 TB', or nothing where the file system reports no real figure, as EFS does."""
    if volume.free is None or volume.total is None:
        return ""
    return f"{size_text(volume.free)} free of {size_text(volume.total)}"


def measured_words(summary: Summary, scan: ScanProgress | None) -> str:
    """How much is measured, and how far it is."""
    at_least = "≥ " if summary.incomplete else ""
    total = f"{at_least}{size_text(sum(summary.allocated.values()))}"
    if scan is not None and scan.phase == "listing":
        return f"listing… {count_text(scan.listed)} found"
    if scan is not None and scan.phase == "measuring":
        return f"{total} in {count_text(scan.measured)} of {count_text(scan.to_measure)} measured…"
    if not summary.rows:
        return ""
    stopped = ", measuring stopped" if scan is not None and scan.phase == "cancelled" else ""
    return f"{total} in {count_text(summary.rows)} workspaces{stopped}"


def match_words(registry: RegistryState) -> str:
    """How the registry and the volume match, both ways."""
    names = ", ".join(source.shown for source in registry.sources)
    if registry.read_at is None:
        return f"{names}: not read yet" if names else "The registry has not been read yet"
    failed = [source for source in registry.sources if source.error]
    if failed:
        return f"{names}: could not be read"
    return (
        f"{count_text(registry.matched_live)} of {count_text(registry.directories)} directories have a live session, "
        f"{count_text(registry.matched_deleted)} a deleted one, {count_text(registry.unmatched_directories)} none; "
        f"{count_text(registry.sessions_without_directory)} sessions have no directory  ·  {names}"
    )
