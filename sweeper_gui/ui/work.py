"""What the window does: every coroutine that a click starts, from the first listing to the last goodbye."""

import asyncio
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from PySide6.QtCore import QPoint
from PySide6.QtGui import QGuiApplication

from sweeper_gui import __version__
from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import TrashItem
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.core.row import Row
from sweeper_gui.core.units import count_text, size_text
from sweeper_gui.engine.heartbeat import LAST_MINUTE, lateness_check
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.messages import (
    Bind,
    Diagnose,
    Diagnosis,
    Failure,
    History,
    ListTrash,
    Message,
    OpenPlan,
    Pin,
    Planned,
    PlanSaved,
    Prepare,
    Purge,
    ReadHistory,
    ReadRegistry,
    Request,
    Restore,
    Resume,
    SavePlan,
    Scan,
    SetImpact,
    Sweep,
    Swept,
    Trash,
    VolumeState,
)
from sweeper_gui.settings import Settings
from sweeper_gui.ui.columns import STATUS_WORDS
from sweeper_gui.ui.controller import CHANGING, PLANNING, Controller, EngineDeath, EngineFailure
from sweeper_gui.ui.daemon_thread import in_daemon_thread
from sweeper_gui.ui.main_window import MainWindow, is_pinned
from sweeper_gui.ui.plain_text import shown
from sweeper_gui.ui.prompts import (
    Confirmed,
    Prompts,
    Question,
    QuitChoice,
    ReportView,
    SweepQuestion,
    TrashAct,
    TrashChoice,
)
from sweeper_gui.ui.report_words import listing_csv, report_csv
from sweeper_gui.ui.tasks import Tasks
from sweeper_gui.ui.widgets.banner import Notice, Remedy

#: A list that takes longer than this to be made is waited for with a progress bar and a way to stop, in seconds.
_PREPARES_WITHIN = 0.3
#: How long a sweep that is being stopped may take before 'quit now anyway' is offered, in seconds.
_STOPS_WITHIN = 3.0
#: How long a sweep that is being stopped may take when a signal asked for it and nobody can be asked.
_SIGNAL_WITHIN = 10.0


_log = logging.getLogger(__name__)


class Work:
    """Connects the window's actions to what they do, and does it through the controller."""

    def __init__(self, window: MainWindow, controller: Controller, prompts: Prompts, settings: Settings) -> None:
        self._window = window
        self._controller = controller
        self._prompts = prompts
        self._settings = settings
        self._tasks = Tasks(self._tell_error)
        self._closing = False
        self._quit_now = asyncio.Event()
        self._connect()

    # --- connections ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        window = self._window
        for key, work in {
            "rescan": self._rescan,
            "registry": self._read_registry,
            "export": self._export_listing,
            "bind": self._bind,
            "sweep": self._sweep,
            "sweep_plan": self._sweep_plan,
            "cancel": self._cancel,
            "trash": self._trash,
            "history": self._history,
            "doctor": self._doctor,
            "about": self._about,
            "keys": self._keys,
            "remove_one": self._remove_one,
            "pin": self._pin,
            "unpin": self._pin,
            "reason": self._reason,
        }.items():
            window.actions_[key].triggered.connect(lambda _checked, work=work: self._tasks.start(work()))
        window.actions_["copy_path"].triggered.connect(self._copy_paths)
        window.header.rescan_button.clicked.connect(window.actions_["rescan"].trigger)
        window.header.registry_button.clicked.connect(window.actions_["registry"].trigger)
        window.bottom.sweep_asked.connect(window.actions_["sweep"].trigger)
        window.bottom.cancel_asked.connect(window.actions_["cancel"].trigger)
        window.bottom.impact_asked.connect(lambda impact: self._tasks.start(self._set_impact(impact)))
        window.table.sweep_asked.connect(lambda: self._tasks.start(self._sweep_selected()))
        window.table.customContextMenuRequested.connect(self._show_row_menu)
        window.restart_engine = lambda: self._tasks.start(self._restart())  # type: ignore[method-assign]
        window.ask_to_close = lambda: self._tasks.start(self._close())
        self._controller.engine_died.connect(self._engine_died)
        self._controller.volume_changed.connect(self._offer_trash)
        self._controller.busy_changed.connect(self._hide_trash)

    # --- starting ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the engine and the first listing."""
        self._tasks.start(self._start())

    async def _start(self) -> None:
        await self._controller.start()
        await self._scan()

    async def _restart(self) -> None:
        self._window.banners.unsay("engine-died")
        await self._controller.restart()
        await self._scan()

    def _engine_died(self, death: EngineDeath) -> None:
        self._window.show_death(death)
        if death.restarting:
            self._tasks.start(self._after_death(death))

    async def _after_death(self, death: EngineDeath) -> None:
        """Asks a new engine, as soon as it is there, what the log knows of the sweep that was under way."""
        await self._controller.ready.wait()
        await self._scan()
        if death.sweeping:
            await self._history()

    # --- listing ----------------------------------------------------------------------------------------------------

    async def _rescan(self) -> None:
        if self._controller.running(Scan):
            await self._controller.cancel(Scan)
        else:
            await self._scan()

    async def _scan(self) -> None:
        self._window.model.forget_outcomes()
        self._window.banners.unsay("failure", "selection-lost")
        await self._list(Scan())

    async def _scan_new(self) -> None:
        """Lists again, and measures what came back to the volume or was not reached before a sweep."""
        if not self._controller.running(Scan):
            await self._list(Scan(only_new=True))

    async def _list(self, request: Scan) -> None:
        try:
            await self._controller.run(request)
        except EngineFailure as failed:
            if failed.failure.kind != "cancelled":
                raise

    async def _read_registry(self) -> None:
        await self._controller.run(ReadRegistry())

    async def _bind(self) -> None:
        sources = tuple(source.shown for source in self._controller.registry.sources)
        question = Question(
            "Accept this registry",
            f"From now on {shown(self._controller.volume.root)} belongs to this registry, and what it says now is "
            "accepted as right, even where sessions are missing that were live before.",
            "Accept and &bind",
            sources,
        )
        if await self._prompts.ask(question):
            result = await self._controller.run(Bind())
            if isinstance(result, Message):
                self._window.banners.say("bound", Notice("good", shown(result.text)))

    # --- sweeping ---------------------------------------------------------------------------------------------------

    async def _sweep_selected(self) -> None:
        if self._window.model.any_chosen:
            await self._sweep()
        else:
            self._window.message.set_text("Select the orphans to sweep first: Space, or the check boxes")

    async def _sweep(self) -> None:
        names = self._window.model.chosen().names
        if not self._window.target_obstacle():
            await self._prepare_and_sweep(self._window.options.request(names))

    async def _remove_one(self) -> None:
        entries = self._window.table.marked_entries()
        if len(entries) == 1:
            await self._prepare_and_sweep(self._window.options.request((entries[0].row.name,)))

    async def _prepare_and_sweep(self, request: SweepRequest) -> None:
        await self._plan_and_sweep(Prepare(request), set_aside_only=request.set_aside)

    async def _sweep_plan(self) -> None:
        path = await self._prompts.ask_plan_path(Path.home() / "sweeper-plan.json", new=False)
        if path is not None:
            await self._plan_and_sweep(OpenPlan(str(path)))

    async def _plan_and_sweep(self, request: Prepare | OpenPlan, *, set_aside_only: bool = False) -> None:
        if self._window.obstacle() or self._controller.running(*PLANNING):
            return
        slow = asyncio.get_running_loop().call_later(_PREPARES_WITHIN, self._window.show_preparing)
        try:
            result = await self._controller.run(request)
        finally:
            slow.cancel()
            self._window.end_preparing()
        if not isinstance(result, Planned):
            raise EngineFailure(Failure("failed", "the engine made no plan"))
        await _painted()
        confirmed = await self._prompts.confirm_sweep(self._question(result, set_aside_only))
        if confirmed is not None and confirmed.save:
            await self._save_plan(confirmed)
        elif confirmed is not None:
            await self._run_confirmed(confirmed, result.proposal.digest if result.proposal else "")

    def _question(self, planned: Planned, set_aside_only: bool) -> SweepQuestion:
        options = self._window.options
        hidden = frozenset(
            candidate.name
            for candidate in planned.plan.candidates
            if self._window.model.position(candidate.name) is None
        )
        return SweepQuestion(
            plan=planned.plan,
            root=self._controller.volume.root,
            now=time.time(),
            keep_set_aside=self._settings.sweep.keep_set_aside,
            set_aside_only=set_aside_only,
            dry_run=options.dry_run,
            hidden=hidden,
            ticket=self._settings.ticket_rule,
            proposal=planned.proposal,
            two_persons=self._settings.sweep.two_persons,
            own=planned.own,
        )

    async def _save_plan(self, confirmed: Confirmed) -> None:
        proposal = Path.home() / f"sweeper-plan-{time.strftime('%Y%m%d-%H%M%S')}.json"
        path = await self._prompts.ask_plan_path(proposal, new=True)
        if path is None:
            return
        plan = confirmed.plan
        saved = await self._controller.run(SavePlan(plan, confirmed.digest, str(path), confirmed.ticket))
        if isinstance(saved, PlanSaved):
            words = f"The plan is in {shown(saved.path)}"
            how = "Somebody else can sweep it with 'Sweep a plan', or 'sweeper sweep --plan'."
            self._window.banners.say("plan", Notice("good", words, how))

    async def _run_confirmed(self, confirmed: Confirmed, proposed: str) -> None:
        options = self._window.options
        if not options.dry_run:  # which takes nothing from the volume and leaves the rows as they are
            self._window.model.begin_sweep(candidate.name for candidate in confirmed.plan.candidates)
        request = Sweep(confirmed.plan, confirmed.digest, options.dry_run, options.impact, confirmed.ticket, proposed)
        await self._change(request, "Sweep")

    async def _change(self, request: Request, doing: str, note: str = "") -> None:
        """Runs something that changes the volume and shows its report."""
        result = await self._controller.run(request)
        self._offer_trash(self._controller.volume)
        if isinstance(result, Swept):
            if not result.report.dry_run:
                self._tasks.start(self._scan_new())
                self._window.model.show_outcomes(result.report.outcomes if isinstance(request, Sweep) else ())
            self._window.refresh()
            await _painted()
            await self._show_report(ReportView(result.report, doing, note))

    async def _show_report(self, view: ReportView) -> None:
        if await self._prompts.show_report(view):
            await self._export("report", "sweeper-report", report_csv(view.report))

    async def _cancel(self) -> None:
        self._window.bottom.show_cancelling()
        await self._controller.cancel(*CHANGING, *PLANNING)

    async def _set_impact(self, impact: str) -> None:
        await self._controller.run(SetImpact(impact))

    # --- trash, history, check-up -----------------------------------------------------------------------------------

    async def _trash(self) -> None:
        trash = await self._controller.run(ListTrash())
        if not isinstance(trash, Trash):
            return
        choice = await self._prompts.choose_trash(trash, time.time(), self._settings.ticket_rule)
        if choice is None:
            return
        if choice.act is TrashAct.RESTORE:
            await self._change(Restore(*_confirmed(choice.items), choice.ticket), "Restore")
        elif choice.act is TrashAct.PURGE:
            await self._purge(choice)
        else:
            await self._resume(choice)

    async def _purge(self, choice: TrashChoice) -> None:
        items = choice.items
        size = size_text(sum(item.allocated for item in items))
        question = Question(
            "Remove for good",
            f"{count_text(len(items))} from the trash, {size}. This can't be undone.",
            f"&Remove {count_text(len(items))} for good",
            tuple(visible(item.name) for item in items),
            danger=True,
        )
        if await self._prompts.ask(question):
            names, numbers = _confirmed(items)
            await self._change(Purge(names, None, numbers, choice.ticket), "Purge")

    async def _resume(self, choice: TrashChoice) -> None:
        items = choice.items
        question = Question(
            "Finish what was left half done",
            "Each is checked again first: one that is live again, or that the registry can't be asked about, stays.",
            f"&Resume {count_text(len(items))}",
            tuple(visible(item.name) for item in items),
            danger=True,
        )
        if await self._prompts.ask(question):
            _, numbers = _confirmed(items)
            await self._change(Resume(choice.ticket, numbers), "Resume")

    def _hide_trash(self) -> None:
        if self._controller.changing:
            self._window.banners.unsay("trash")

    def _offer_trash(self, volume: VolumeState) -> None:
        parts = []
        if volume.unfinished:
            parts.append(f"{count_text(volume.unfinished)} unfinished")
        if volume.expired:
            parts.append(f"{count_text(volume.expired)} expired")
        if not parts or self._controller.changing:
            self._window.banners.unsay("trash")
            return
        notice = Notice(
            "warning" if volume.unfinished else "info",
            f"In the trash: {' and '.join(parts)}",
            "A sweep did not get to its end: resume the removal, or restore what is whole."
            if volume.unfinished
            else "Their time is over: purge them, or restore what is still needed.",
            (Remedy("Op&en the trash…", self._window.actions_["trash"].trigger),),
        )
        self._window.banners.say("trash", notice)

    async def _history(self) -> None:
        history = await self._controller.run(ReadHistory())
        if isinstance(history, History):
            await self._prompts.show_history(history)

    async def _doctor(self) -> None:
        diagnosis = await self._controller.run(Diagnose())
        if isinstance(diagnosis, Diagnosis):
            late = lateness_check(
                self._controller.heartbeat.measured(LAST_MINUTE), "window", "the event loop of this window"
            )
            await self._prompts.show_diagnosis(Diagnosis((*diagnosis.checks, late)))

    # --- rows -------------------------------------------------------------------------------------------------------

    def _show_row_menu(self, point: QPoint) -> None:
        if self._window.table.marked_entries():
            self._window.actions_.row_menu().popup(self._window.table.viewport().mapToGlobal(point))

    async def _pin(self) -> None:
        for entry in self._window.table.marked_entries()[:1]:
            await self._controller.run(Pin(entry.row.name, not is_pinned(entry)))

    def _copy_paths(self) -> None:
        root = self._controller.volume.root.rstrip("/")
        paths = [f"{root}/{entry.row.label}" for entry in self._window.table.marked_entries()]
        QGuiApplication.clipboard().setText("\n".join(shown(path) for path in paths))
        self._window.message.set_text(f"Copied {count_text(len(paths))} path{'' if len(paths) == 1 else 's'}")

    async def _reason(self) -> None:
        for entry in self._window.table.marked_entries()[:1]:
            title = f"{entry.row.label}: {STATUS_WORDS[entry.row.status].lower()}"
            await self._prompts.show_text("Reason", title, self._reasons(entry.row))

    def _reasons(self, row: Row) -> tuple[str, ...]:
        errors = row.usage.errors if row.usage is not None else ()
        return (row.verdict.reason, *(f"could not be read: {error}" for error in errors))

    # --- exports ----------------------------------------------------------------------------------------------------

    async def _export_listing(self) -> None:
        rows = [entry.row for entry in self._window.model.shown_entries]
        text = await in_daemon_thread(lambda: listing_csv(rows, self._controller.volume.root))
        await self._export("listing", "sweeper-listing", text)

    async def _export(self, what: str, stem: str, text: str) -> None:
        proposal = Path.home() / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}.csv"
        path = await self._prompts.ask_path(what, proposal)
        if path is None:
            return
        try:
            await in_daemon_thread(lambda: write_new(path, text))
        except OSError as error:
            words = f"The {what} could not be written to {shown(str(path))}: {error.strerror or error}"
            self._window.banners.say("export", Notice("error", words, "Choose another path."))
        else:
            self._window.banners.say("export", Notice("good", f"The {what} is in {shown(str(path))}"))

    # --- words ------------------------------------------------------------------------------------------------------

    async def _about(self) -> None:
        await self._prompts.show_text(
            "About Sweeper",
            f"Sweeper {__version__}",
            (
                "Lists the workspaces of a mounted volume with size and orphan status, and removes orphans safely.",
                "",
                "Only orphans are ever swept. In doubt, nothing is removed, and the window says why.",
            ),
        )

    async def _keys(self) -> None:
        await self._prompts.show_text("Keyboard", "Everything works without a mouse.", self._window.actions_.shortcuts)

    def _tell_error(self, error: Exception) -> None:
        self._window.message.set_text("")
        if isinstance(error, EngineGone):
            return  # the controller has said so already
        if not isinstance(error, EngineFailure):
            _log.error("unexpected error", exc_info=error)
        failure = error.failure if isinstance(error, EngineFailure) else _unexpected(error)
        if failure.kind == "cancelled":
            self._window.message.set_text("Cancelled")
            return
        if failure.message == self._controller.volume.error:
            return  # the table or its banner says so already
        self._window.banners.say("failure", Notice("error", _sentence(failure.message), shown(failure.hint)))

    # --- closing ----------------------------------------------------------------------------------------------------

    def close_now(self) -> None:
        """A signal asks the program to end: a sweep is stopped, nobody is asked. A second one ends it at once."""
        if self._closing:
            self._quit_now.set()
            return
        self._prompts.dismiss()
        self._tasks.start(self._shut(_SIGNAL_WITHIN))

    async def _close(self) -> None:
        if self._closing:
            return
        if self._window.doing:
            choice = await self._prompts.ask_quit(self._window.doing)
            if choice is QuitChoice.STAY:
                return
        await self._shut(None)

    async def _shut(self, seconds: float | None) -> None:
        """Stops what is running, waits for its report, and lets the window go. None waits for as long as it takes."""
        if self._closing:
            return
        self._closing = True
        if self._controller.changing:
            await self._stop_sweep(seconds)
        self._prompts.dismiss()
        self._window.setEnabled(False)
        if not await self._controller.close():
            _tell_stuck(self._controller.engine.pid)
        await self._tasks.cancel()
        self._window.closed.set()
        self._window.close()

    async def _stop_sweep(self, seconds: float | None) -> None:
        self._window.bottom.show_cancelling()
        offer = asyncio.get_running_loop().call_later(_STOPS_WITHIN, self._offer_quit_now)
        ended = asyncio.Event()
        self._controller.busy_changed.connect(lambda: None if self._controller.changing else ended.set())
        # An engine that hangs never answers this: what ends the waiting is watched for from the start.
        asking = asyncio.ensure_future(self._controller.cancel(*CHANGING))
        asking.add_done_callback(lambda task: ended.set() if _failed(task) else None)
        try:
            async with asyncio.timeout(seconds):
                await _first_of(ended, self._quit_now)
        except TimeoutError:
            return  # the log on the volume tells what was done; the engine stops when its pipe closes
        finally:
            offer.cancel()
            asking.cancel()

    def _offer_quit_now(self) -> None:
        notice = Notice(
            "warning",
            "Stopping: waiting for the operations in flight",
            "The volume may be slow. Quitting now loses nothing but the report: the log tells all.",
            (Remedy("Quit now anyway", self._quit_now.set),),
            lasting=True,
        )
        self._window.banners.say("quitting", notice)


def _tell_stuck(pid: int | None) -> None:
    """Tells of an engine that is left behind, on the terminal too: the window is gone by then."""
    words = f"the engine (process {pid}) is stuck in the volume and may hold the lock until that answers"
    _log.warning(words)
    with suppress(OSError):  # nobody may be there to read it
        sys.stderr.write(f"sweeper: {words}; it has been killed, and ends by itself then\n")


async def _painted() -> None:
    """Lets what has just changed in the window be painted before more is done: both at once would be late."""
    await asyncio.sleep(0)


def _failed(task: asyncio.Future[None]) -> bool:
    return not task.cancelled() and task.exception() is not None


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def write_new(path: Path, text: str) -> None:
    """Writes a file that does not exist yet, readable by its owner only. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def _unexpected(error: Exception) -> Failure:
    return Failure("failed", f"unexpected {type(error).__name__}: {error}", "Please report this.")


def _confirmed(items: tuple[TrashItem, ...]) -> tuple[tuple[bytes, ...], tuple[tuple[str, int], ...]]:
    """The names, and which trees of these names: others may have come since the trash was shown."""
    return tuple(item.name for item in items), tuple((item.sweep_id, item.number) for item in items)


def _sentence(text: str) -> str:
    clean = shown(text)
    return clean[:1].upper() + clean[1:]
