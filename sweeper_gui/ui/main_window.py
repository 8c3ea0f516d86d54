"""The window: puts the parts together and lets what one says reach the others. What is done lives in `work.py`."""

import asyncio
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QMainWindow, QSplitter, QVBoxLayout, QWidget
from typing_extensions import override

from sweeper_gui.core.names import visible
from sweeper_gui.core.units import age_text, count_text
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import (
    Purge,
    ReadRegistry,
    RegistryState,
    Restore,
    Resume,
    Scan,
    ScanProgress,
    Sweep,
    SweepProgress,
    VolumeState,
)
from sweeper_gui.ui.actions import Actions
from sweeper_gui.ui.controller import PLANNING, Controller, EngineDeath, EnginePhase, EngineState
from sweeper_gui.ui.entry import Entry
from sweeper_gui.ui.memory import Memory
from sweeper_gui.ui.options import SweepOptions
from sweeper_gui.ui.plain_text import ElidedLabel, PlainLabel, shown
from sweeper_gui.ui.table import WorkspaceTable
from sweeper_gui.ui.theme import Look
from sweeper_gui.ui.widgets.banner import BannerArea, Notice, Remedy
from sweeper_gui.ui.widgets.figures import Figures
from sweeper_gui.ui.widgets.filter_bar import FilterBar
from sweeper_gui.ui.widgets.header import Header
from sweeper_gui.ui.widgets.sweep_bar import SweepBar, how_far
from sweeper_gui.ui.workspace_model import Lost, WorkspaceModel

#: Counts and sums follow the rows at most this often, in milliseconds: they read all rows.
_REFRESH_EVERY = 200
#: Ages in the rows are drawn anew so often, in milliseconds.
_AGE_EVERY = 20_000

_DOING = ((Sweep, "Sweep"), (Purge, "Purge"), (Resume, "Resume"), (Restore, "Restore"))


class MainWindow(QMainWindow):
    """Shows a volume. `closed` is set once the window may go: what is running has been asked about and has ended."""

    def __init__(self, controller: Controller, model: WorkspaceModel, options: SweepOptions, look: Look) -> None:
        super().__init__()
        self.controller = controller
        self.model = model
        self.look = look
        self.closed = asyncio.Event()
        self.ask_to_close: Callable[[], None] = self.closed.set
        self.header = Header(look)
        self.banners = BannerArea(look)
        self.filters = FilterBar(look)
        self.table = WorkspaceTable(model, look)
        self.middle = QSplitter(Qt.Orientation.Horizontal)
        self.bottom = SweepBar(options, look)
        self.message = ElidedLabel(name="Muted")
        self._scan_phase = ""
        self.engine_label = PlainLabel(name="Muted")
        self.figures = Figures(controller)
        self.actions_ = Actions(self, look)
        self._refreshing = QTimer(self)
        self._refreshing.setSingleShot(True)
        self._refreshing.setInterval(_REFRESH_EVERY)
        self._ageing = QTimer(self)  # '3 minutes ago' becomes '4 minutes ago' by itself
        self._ageing.setInterval(_AGE_EVERY)
        self._ageing.timeout.connect(self.table.viewport().update)
        self._lay_out()
        self._listen()
        self._restore_place()
        self.header.show_volume(controller.volume)
        self.refresh()

    @property
    def options(self) -> SweepOptions:
        """How the next sweep is to run."""
        return self.bottom.options

    @property
    def memory(self) -> Memory:
        """What is to be as it is now the next time."""
        return Memory(self.look.mode, self.actions_["figures"].isChecked(), self.table.chosen_widths)

    def be_as(self, memory: Memory) -> None:
        """Is again as it was; the colours are the look's."""
        self.actions_["figures"].setChecked(memory.figures)
        self.table.choose_widths(memory.widths)

    @property
    def doing(self) -> str:
        """What is changing the volume now: 'Sweep', 'Restore', …; empty where nothing is."""
        return next((words for kind, words in _DOING if self.controller.running(kind)), "")

    # --- layout -----------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.setWindowTitle("Sweeper")
        self.setMinimumSize(720, 440)
        self.middle.addWidget(self.table)
        self.middle.setChildrenCollapsible(False)
        page = QWidget()
        lines = QVBoxLayout(page)
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setSpacing(0)
        lines.addWidget(self.header)
        lines.addWidget(self.banners)
        lines.addWidget(self.filters)
        lines.addWidget(self.middle, 1)
        lines.addWidget(self.bottom)
        self.setCentralWidget(page)
        bar = self.statusBar()
        bar.setSizeGripEnabled(False)
        bar.setContentsMargins(8, 0, 8, 0)
        bar.addWidget(self.message, 1)
        bar.addPermanentWidget(self.figures)
        bar.addPermanentWidget(self.engine_label)

    def _restore_place(self) -> None:
        screen = QGuiApplication.primaryScreen().availableGeometry()
        self.resize(min(1280, screen.width()), min(800, screen.height()))
        self.table.setFocus()
        self._ageing.start()

    # --- listening --------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        controller = self.controller
        controller.volume_changed.connect(self._show_volume)
        controller.registry_changed.connect(self._show_registry)
        controller.scan_changed.connect(self._show_scan)
        controller.sweep_changed.connect(self._show_sweep)
        controller.engine_changed.connect(self._show_engine)
        controller.stalled_changed.connect(self._show_stalled)
        controller.busy_changed.connect(self._refresh_soon)
        self.model.changed.connect(self._refresh_soon)
        self.model.selection_changed.connect(self._refresh_soon)
        self.model.selection_lost.connect(self._show_lost)
        self.filters.filter_changed.connect(self.model.set_filter)
        self.filters.select_orphans.connect(self.model.select_shown_orphans)
        self.filters.select_none.connect(self.model.select_none)
        self.filters.search.returnPressed.connect(self.table.setFocus)
        self.bottom.options_changed.connect(self._refresh_soon)
        self._refreshing.timeout.connect(self.refresh)
        self.table.selectionModel().selectionChanged.connect(self._refresh_row_actions)
        self.actions_["figures"].toggled.connect(self.figures.setVisible)
        self._listen_to_actions()

    def _listen_to_actions(self) -> None:
        for key, act in {
            "quit": self.close,
            "search": self.filters.focus_search,
            "clear": self.filters.clear,
            "orphans_only": lambda: self.filters.show_only(Status.ORPHAN),
            "select_orphans": self.model.select_shown_orphans,
            "select_none": self.model.select_none,
            "toggle": self.table.toggle_marked,
        }.items():
            self.actions_[key].triggered.connect(lambda _checked, act=act: act())

    def _refresh_soon(self) -> None:
        if not self._refreshing.isActive():
            self._refreshing.start()

    # --- showing ----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Counts, sums and the button follow the rows and the selection."""
        self._refreshing.stop()
        self._show_title()
        summary = self.model.summary
        scan = self.controller.scan
        scanning = self.controller.running(Scan)
        self.header.show_summary(summary, scan)
        self.header.show_scanning(scanning)
        self.filters.show_summary(summary)
        self._show_empty()
        self._show_volume_error()
        chosen = self.model.chosen()
        following = self.model.next_orphans(self.options.cap, self.options.max_bytes, self.options.order)
        self.bottom.show_target(
            chosen, following, self.target_obstacle(), measuring=scanning, filtered=self.model.filter.active
        )
        self._refresh_actions(bool(chosen.names or following.count or following.possible))

    def obstacle(self) -> str:
        """Why nothing can be swept now; empty where it can."""
        if self.controller.engine.phase is EnginePhase.STARTING:
            return "The engine is starting"
        if self.controller.engine.phase not in (EnginePhase.READY, EnginePhase.SILENT):
            return "There is no engine"
        if self.doing:
            return f"{self.doing} is running"
        if self.controller.running(*PLANNING):
            return "Looking at the candidates once more…"
        if self.controller.volume.error:
            return "The volume can't be read"
        if self.controller.volume.read_only:
            return "The volume is mounted read-only"
        return ""

    def target_obstacle(self) -> str:
        """Why what the button names can't be swept now; empty where it can."""
        # Without a selection the bound counts: one that can't be read is no leave to sweep without one.
        wrong = "" if self.model.any_chosen else self.bottom.max_bytes.wrong
        return self.obstacle() or wrong

    def _refresh_actions(self, something: bool) -> None:
        ready = self.controller.engine.phase in (EnginePhase.READY, EnginePhase.SILENT)
        scanning = self.controller.running(Scan)
        actions = self.actions_
        actions["rescan"].setText("Sto&p scan" if scanning else "&Rescan")
        actions["rescan"].setEnabled(ready and not self.doing)
        self.header.rescan_button.setEnabled(ready and not self.doing)
        reading = self.controller.running(ReadRegistry)
        actions["registry"].setEnabled(ready and not reading)
        self.header.registry_button.setEnabled(ready and not reading)
        actions["sweep"].setEnabled(something and not self.target_obstacle())
        actions["cancel"].setEnabled(bool(self.doing) or self.controller.running(*PLANNING))
        actions["sweep_plan"].setEnabled(not self.obstacle())
        for key in ("trash", "history", "doctor", "bind"):
            actions[key].setEnabled(ready and not self.doing)
        self._refresh_row_actions()

    def _refresh_row_actions(self) -> None:
        entries = self.table.marked_entries()
        one = entries[0] if len(entries) == 1 else None
        actions = self.actions_
        pinned = one is not None and is_pinned(one)
        actions["toggle"].setEnabled(any(entry.checkable for entry in entries))
        actions["remove_one"].setEnabled(one is not None and one.checkable and not self.obstacle())
        actions["copy_path"].setEnabled(bool(entries))
        actions["pin"].setVisible(not pinned)
        actions["pin"].setEnabled(one is not None and one.row.status is not Status.FOREIGN)
        actions["unpin"].setVisible(pinned)
        actions["reason"].setEnabled(one is not None)

    def _before_first_listing(self) -> bool:
        controller = self.controller
        coming = controller.engine.phase in (EnginePhase.STARTING, EnginePhase.READY)
        return coming and controller.scan is None and not controller.volume.error

    def _show_title(self) -> None:
        """The title tells how far things are, for when the window is out of sight."""
        controller = self.controller
        scan = controller.scan if controller.running(Scan) else None
        words = title_words(self.doing, controller.sweep, scan, removing=controller.removing)
        parts = ["Starting…" if self._before_first_listing() else words, shown(controller.volume.root)]
        place = " · ".join(part for part in parts if part)
        self.setWindowTitle(f"{shown(place)} – Sweeper" if place else "Sweeper")

    def _show_empty(self) -> None:
        scan = self.controller.scan
        phase = self.controller.engine.phase
        if self.controller.volume.error:
            self.table.show_empty("The volume can't be read", shown(self.controller.volume.error))
        elif phase is EnginePhase.STARTING:
            self.table.show_empty("Starting the engine…", "It does all work on the volume; the window only shows it.")
        elif phase is EnginePhase.GONE and not self.model.summary.rows:
            self.table.show_empty("There is no engine", shown(self.controller.engine.reason))
        elif self.model.summary.rows:
            self.table.show_empty("Nothing matches the filter", "Clear filters (Ctrl+L) to see all workspaces.")
        elif scan is not None and scan.phase == "failed":
            self.table.show_empty("The volume could not be listed", "What went wrong is said above; scan again later.")
        elif scan is None or scan.phase == "listing":
            self.table.show_empty("Listing the volume…", "Rows appear as soon as the directory is read.")
        else:
            self.table.show_empty("No workspaces", "There is nothing below the root of this volume: is it mounted?")

    def _show_volume_error(self) -> None:
        """Above the rows of an earlier listing; without any, the table's own place says it."""
        error = self.controller.volume.error
        notice = Notice("error", "The volume can't be read", shown(error), lasting=True)
        self._say_if("volume", error if self.model.summary.rows else "", notice)

    def _show_volume(self, volume: VolumeState) -> None:
        self.header.show_volume(volume)
        warnings = {f"volume-warning-{number}": warning for number, warning in enumerate(volume.warnings)}
        self.banners.unsay(*(key for key in self.banners.keys("volume-warning-") if key not in warnings))
        for key, warning in warnings.items():
            self.banners.say(key, Notice("warning", shown(warning)))
        skew = volume.clock_skew or 0.0
        side = "ahead of" if skew > 0 else "behind"
        words = f"The volume's clock is {age_text(abs(skew))} {side} this host's" if abs(skew) > 60 else ""
        self._say_if("skew", words, Notice("warning", words, "Ages are judged by the earlier of both."))
        self._refresh_soon()

    def _show_registry(self, registry: RegistryState) -> None:
        self.header.show_registry(registry)
        failed = [source for source in registry.sources if source.error]
        words = "; ".join(f"{source.shown}: {source.error}" for source in failed) or "; ".join(registry.problems)
        hints = " ".join(source.hint for source in failed if source.hint)
        remedies = [Remedy("Read it again", self.actions_["registry"].trigger)]
        if any("sweeper bind" in problem for problem in registry.problems):
            remedies.append(Remedy("Accept it…", self.actions_["bind"].trigger))
        notice = Notice(
            "error",
            f"{'The registry could not be read' if failed else 'The registry is not accepted'}: {shown(words)}",
            shown(hints) or "Until it can be, every workspace is 'unknown' and nothing is swept.",
            tuple(remedies),
            lasting=True,
        )
        self._say_if("registry", words if registry.read_at is not None and not registry.trusted else "", notice)
        self._refresh_soon()

    def _show_scan(self, scan: ScanProgress | None) -> None:
        self._refresh_soon()
        before, self._scan_phase = self._scan_phase, scan.phase if scan is not None else ""
        if scan is not None and (scan.phase == "measuring" or scan.phase != before):
            self.message.set_text(scan_words(scan))

    def show_preparing(self) -> None:
        """The list is taking a while: shows that, and the way to stop it."""
        if self.controller.running(*PLANNING):
            self.bottom.show_preparing()
            self.refresh()

    def end_preparing(self) -> None:
        """The list is there, or will not be."""
        if not self.doing:
            self.bottom.show_progress(None, "")
        self.refresh()

    def _show_sweep(self, progress: SweepProgress | None) -> None:
        was_running = self.bottom.currentIndex() == 1
        self.bottom.show_progress(progress, self.doing or "Sweep", removing=self.controller.removing)
        if was_running is not (progress is not None):
            self.refresh()
        self._show_title()

    def _show_engine(self, state: EngineState) -> None:
        words = {
            EnginePhase.STARTING: "engine starting…",
            EnginePhase.READY: f"engine {state.pid}",
            EnginePhase.SILENT: f"engine {state.pid} not answering",
            EnginePhase.GONE: "no engine",
            EnginePhase.CLOSED: "",
        }
        self.engine_label.set_text(words[state.phase])
        restart = Remedy("Start a new engine", self.restart_engine)
        starting = state.phase is EnginePhase.STARTING
        silent = Notice(
            "warning",
            f"The engine has not answered for {state.seconds} s" + (" since its start" if starting else ""),
            "It may be waiting for the volume. A new one can be started; nothing is lost that is in the log.",
            (restart,),
            lasting=True,
        )
        self._say_if("engine-silent", "silent" if state.seconds else "", silent)
        gone = Notice("error", "There is no engine", shown(state.reason), (restart,), lasting=True)
        self._say_if("engine-gone", state.reason if state.phase is EnginePhase.GONE else "", gone)
        self._refresh_soon()

    def restart_engine(self) -> None:
        """Replaced by whoever does the work."""

    def _show_stalled(self, seconds: int) -> None:
        notice = Notice(
            "warning",
            f"The volume has not responded for {seconds} s",
            f"The engine (process {self.controller.engine.pid}) waits for it; the window stays usable, and what runs "
            "can be stopped. If it lasts, look at the network and the file server.",
            lasting=True,
        )
        self._say_if("stalled", str(seconds) if seconds else "", notice)

    def _show_lost(self, lost: tuple[Lost, ...]) -> None:
        first = "; ".join(f"{visible(item.name)} {item.reason}" for item in lost[:3])
        more = f" and {count_text(len(lost) - 3)} more" if len(lost) > 3 else ""
        self.banners.say(
            "selection-lost",
            Notice("info", f"No longer selected: {count_text(len(lost))}", f"{first}{more}"),
        )

    def show_death(self, death: EngineDeath) -> None:
        """The engine has died. Where no new one starts by itself, `engine-gone` says so and offers it."""
        self.banners.unsay("engine-died")  # what is said of an earlier one holds no longer
        if not death.sweeping and not death.restarting:
            return
        what = "in the middle of a sweep" if death.sweeping else "unexpectedly"
        follows = "A new one is started." if death.restarting else "It died too soon to be started again by itself."
        hint = f"Nothing is lost: the log on the volume tells what was done. {follows}"
        self.banners.say("engine-died", Notice("error", f"The engine ended {what}: {shown(death.reason)}", hint))

    def _say_if(self, key: str, condition: str, notice: Notice) -> None:
        if condition:
            self.banners.say(key, notice)
        else:
            self.banners.unsay(key)

    # --- keys and closing -------------------------------------------------------------------------------------------

    @override
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.bottom.currentIndex() == 1:
            # Not the deed itself: Esc is pressed too easily. Enter on the button is.
            self.bottom.cancel_button.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self.message.set_text("Press Space or Enter to stop")
            return
        super().keyPressEvent(event)

    @override
    def closeEvent(self, event: QCloseEvent) -> None:
        if self.closed.is_set():
            event.accept()
        else:
            event.ignore()
            self.ask_to_close()


def title_words(doing: str, sweep: SweepProgress | None, scan: ScanProgress | None, *, removing: bool) -> str:
    """What is under way, and how much of it is done. `removing`: whether anything is to be removed."""
    if doing:
        return f"{doing} {_share(*how_far(sweep, removing=removing))}" if sweep is not None else doing
    if scan is None:
        return ""
    return f"Measuring {_share(scan.measured, scan.to_measure)}" if scan.phase == "measuring" else "Listing…"


def _share(part: int, whole: int) -> str:
    return f"{part * 100 // whole} %" if whole else "…"


def scan_words(scan: ScanProgress) -> str:
    """How far a scan is, or how it ended."""
    entries = f"{count_text(scan.entries)} entries in {age_text(scan.seconds)}"
    if scan.phase == "measuring":
        return f"Measuring: {entries}" + (
            f", {count_text(round(scan.entries / scan.seconds))}/s" if scan.seconds >= 1 else ""
        )
    if scan.phase == "done":
        if not scan.measured:  # a listing that found nothing new to measure
            return f"Listed {count_text(scan.listed)} workspaces in {age_text(scan.seconds)}"
        return f"Measured {entries}"
    endings = {
        "cancelled": "The scan was stopped; what is not measured is not swept",
        "failed": "The scan failed; what is not measured is not swept",
    }
    return endings.get(scan.phase, "Listing…")


def is_pinned(entry: Entry) -> bool:
    """Whether a person has pinned the workspace."""
    # The engine keeps the pins; the verdict is how it tells of them.
    return entry.row.status is Status.PROTECTED and entry.row.verdict.reason == "pinned"
