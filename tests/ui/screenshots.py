"""Pictures of the window in every state, to be looked at.

``xvfb-run -s '-screen 0 1400x900x24' python -m tests.ui.screenshots DIRECTORY [SCENE…]``

The window is the real one; the engine is scripted, so that each state can be held still.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as changed
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QWidget
from qasync import QEventLoop

from sweeper_gui.core.audit import PastEvidence, PastSweep, Proposal, TicketRule, Who
from sweeper_gui.core.names import visible
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Refused, make_plan
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.core.row import Row
from sweeper_gui.core.verdict import Status
from sweeper_gui.engine.messages import Check, Diagnosis, History, RegistryState, SourceState, Trash
from sweeper_gui.settings import Settings
from sweeper_gui.ui.app import make_application
from sweeper_gui.ui.controller import Controller
from sweeper_gui.ui.dialogs.answers import DialogPrompts
from sweeper_gui.ui.dialogs.base import open_dialogs
from sweeper_gui.ui.dialogs.confirm import ConfirmDialog
from sweeper_gui.ui.dialogs.doctor import DoctorDialog
from sweeper_gui.ui.dialogs.history import HistoryDialog
from sweeper_gui.ui.dialogs.report import ReportDialog
from sweeper_gui.ui.dialogs.simple import PathDialog, PlanPathDialog, QuestionDialog, QuitDialog
from sweeper_gui.ui.dialogs.trash import TrashDialog
from sweeper_gui.ui.main_window import MainWindow
from sweeper_gui.ui.options import SweepOptions
from sweeper_gui.ui.prompts import Question, ReportView, SweepQuestion
from sweeper_gui.ui.setup_form import SetupForm
from sweeper_gui.ui.theme import Look, Mode
from sweeper_gui.ui.work import Work
from sweeper_gui.ui.workspace_model import WorkspaceModel
from tests.ui.rows import DAY, POLICY, orphan, realistic_rows
from tests.ui.scripted_host import VOLUME, ScriptedHost, trash_items

SETTINGS = Settings.model_validate({"volume": {"root": VOLUME.root}, "registry": [{"source": "sqlite:////tmp/x.db"}]})

SIZES = {"normal": (1280, 800), "small": (900, 560)}
MODES: tuple[Mode, ...] = ("light", "dark")


@dataclass
class Stage:
    """A window with its engine, ready to be brought into a state."""

    window: MainWindow
    host: ScriptedHost
    controller: Controller
    work: Work
    look: Look

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Waits for a state of the window."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError
            await asyncio.sleep(0.01)

    async def scanned(self) -> None:
        """Waits until everything is measured."""
        await self.until(lambda: self.controller.scan is not None and self.controller.scan.phase == "done")
        self.window.model.settle()
        await asyncio.sleep(0.4)

    def select(self, count: int) -> None:
        """Selects the first orphans that are shown."""
        names = [entry.row.name for entry in self.window.model.shown_entries if entry.checkable]
        self.window.model.select(names[:count])


Scene = Callable[[Stage], Awaitable[None]]
SCENES: dict[str, tuple[Callable[[], ScriptedHost], Scene]] = {}


def scene(make_host: Callable[[], ScriptedHost]) -> Callable[[Scene], Scene]:
    """Registers a scene under its function's name."""

    def register(function: Scene) -> Scene:
        SCENES[function.__name__] = (make_host, function)
        return function

    return register


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def listing(stage: Stage) -> None:
    """Everything measured, nothing selected."""
    await stage.scanned()


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def selected(stage: Stage) -> None:
    """Orphans only, some of them selected."""
    await stage.scanned()
    stage.window.filters.show_only(Status.ORPHAN)
    stage.select(7)
    stage.window.table.selectRow(3)


@scene(lambda: ScriptedHost([]))
async def empty(stage: Stage) -> None:
    """A volume without workspaces."""
    await stage.scanned()


@scene(lambda: ScriptedHost(realistic_rows(174), measured_per_poll=0))
async def loading(stage: Stage) -> None:
    """Just listed, nothing measured yet."""
    await stage.until(lambda: bool(stage.window.model.rows))
    stage.host.measured_per_poll = 60
    await stage.until(lambda: stage.controller.scan is not None and stage.controller.scan.measured >= 60)
    stage.host.measured_per_poll = 0
    await asyncio.sleep(0.5)


@scene(lambda: ScriptedHost(realistic_rows(10_000)))
async def many(stage: Stage) -> None:
    """Ten thousand workspaces."""
    await stage.scanned()


@scene(lambda: ScriptedHost(realistic_rows(174), share_per_poll=0.4))
async def sweeping(stage: Stage) -> None:
    """In the middle of a sweep of selected orphans."""
    await stage.scanned()
    stage.window.filters.show_only(Status.ORPHAN)
    stage.select(8)
    await begin_sweep(stage)
    await stage.until(lambda: stage.controller.sweep is not None and stage.controller.sweep.finished >= 3)
    stage.host.share_per_poll = 0.0
    await asyncio.sleep(0.3)


@scene(lambda: ScriptedHost(realistic_rows(174), share_per_poll=0.4))
async def figures(stage: Stage) -> None:
    """The same, with how late the window is in the status bar."""
    stage.window.actions_["figures"].trigger()
    await sweeping(stage)
    await asyncio.sleep(1.1)


async def begin_sweep(stage: Stage) -> None:
    """Confirms what is selected by pressing the button that removes."""
    stage.window.actions_["sweep"].trigger()
    await stage.until(lambda: any(True for _ in open_dialogs(stage.window)))
    dialog = next(open_dialogs(stage.window))
    assert isinstance(dialog, ConfirmDialog)
    (dialog.remove_button if dialog.remove_button.isEnabled() else dialog.aside_button).click()


@scene(lambda: ScriptedHost(realistic_rows(174), share_per_poll=0.4))
async def cancelled(stage: Stage) -> None:
    """Cancelled half-way, its report open."""
    await sweeping(stage)
    stage.window.bottom.cancel_button.click()
    await stage.until(lambda: any(isinstance(d, ReportDialog) for d in open_dialogs(stage.window)))


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def swept(stage: Stage) -> None:
    """After a sweep with failures, the report closed: failed and skipped rows stay."""
    fates = [
        (Result.FAILED, "permission denied", ("src/.cache: Permission denied (owner root)",)),
        (Result.SKIPPED, "changed since it was listed", ()),
        (Result.CONFLICT, "live again, and its name is taken: stays set aside", ()),
    ]
    chosen: list[bytes] = []

    def fate(candidate: object) -> Outcome | None:
        name = candidate.name  # type: ignore[attr-defined]
        chosen.append(name)
        if len(chosen) % 3 or not fates:
            return None
        result, reason, errors = fates.pop()
        return Outcome(name, result, reason, 12, 40_000, len(errors), errors)

    stage.host.fate = fate
    await stage.scanned()
    stage.window.filters.show_only(Status.ORPHAN)
    stage.select(9)
    await begin_sweep(stage)
    await stage.until(lambda: any(isinstance(d, ReportDialog) for d in open_dialogs(stage.window)))
    next(open_dialogs(stage.window)).accept()
    await asyncio.sleep(0.3)


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def error(stage: Stage) -> None:
    """The registry can't be read and the volume does not respond."""
    stage.host.registry = RegistryState(
        sources=(
            SourceState(
                "postgresql://db/collab",
                0,
                "connection refused: is the server running on host 'db', port 5432?",
                "Check 'source' in sweeper.toml, and that this host may connect.",
            ),
        ),
        read_at=time.time() - 8,
        problems=("postgresql://db/collab: connection refused",),
        directories=174,
    )
    stage.host.stalled = 12.4
    stage.host.volume = changed(
        VOLUME, warnings=("The control directory lies inside the root: another cleaner may delete it",), unfinished=2
    )
    await stage.scanned()


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def volume_gone(stage: Stage) -> None:
    """The volume can't be read."""
    stage.host.volume = changed(
        VOLUME, error="/mnt/efs/workspaces: no such file or directory. Is it mounted?", fs_type="", source=""
    )
    stage.host.rows = {}
    await stage.scanned()


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def engine_gone(stage: Stage) -> None:
    """The engine has died."""
    await stage.scanned()
    stage.host.die("the engine was killed by SIGKILL")
    await stage.until(lambda: "engine-gone" in stage.window.banners.notices)


@scene(lambda: ScriptedHost(realistic_rows(174)))
async def confirmation(stage: Stage) -> None:
    """The confirmation of the next ten."""
    await stage.scanned()
    stage.window.bottom.sweep_button.click()
    await stage.until(lambda: any(True for _ in open_dialogs(stage.window)))


@scene(lambda: ScriptedHost([*realistic_rows(60), *untrusted()]))
async def confirm_selected(stage: Stage) -> None:
    """The confirmation of selected ones: doubtful ones, refused ones and names that try to deceive."""
    await stage.scanned()
    names = tuple(row.name for row in stage.host.rows.values() if row.status is Status.ORPHAN)
    live = tuple(row.name for row in stage.host.rows.values() if row.status is Status.LIVE)[:2]
    plan = make_plan(list(stage.host.rows.values()), SweepRequest(names=names + live), POLICY)
    question = SweepQuestion(plan, VOLUME.root, time.time(), 7 * DAY, hidden=frozenset(names[:1]))
    ConfirmDialog(question, stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(60)))
async def proposed(stage: Stage) -> None:
    """A plan that somebody else has proposed, where a ticket is required."""
    await stage.scanned()
    plan = make_plan(list(stage.host.rows.values()), SweepRequest(cap=5), POLICY)
    gone = Refused(b"calm-heron-0011", "it has changed since it was proposed: 18,400 entries then, 18,412 now")
    proposal = Proposal(Who("amelie", "laptop", 3), time.time() - 7_300, "d", "OPS-123")
    rule = TicketRule("OPS-[0-9]+", required=True)
    question = SweepQuestion(
        changed(plan, refused=(gone,)), VOLUME.root, time.time(), 7 * DAY, ticket=rule, proposal=proposal,
        two_persons=True,
    )  # fmt: skip
    ConfirmDialog(question, stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(60)))
async def two_persons(stage: Stage) -> None:
    """One's own plan where two persons are wanted, with a ticket that will not do."""
    await stage.scanned()
    plan = make_plan(list(stage.host.rows.values()), SweepRequest(cap=5), POLICY)
    rule = TicketRule("OPS-[0-9]+", required=True)
    question = SweepQuestion(plan, VOLUME.root, time.time(), 7 * DAY, ticket=rule, two_persons=True)
    dialog = ConfirmDialog(question, stage.look, stage.window)
    dialog.ticket.edit.setText("lots of them")
    dialog.open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def plan_path(stage: Stage) -> None:
    """The path of a plan is asked for."""
    await stage.scanned()
    PlanPathDialog(Path.home() / "sweeper-plan.json", stage.look, stage.window, new=True).open()


def untrusted() -> list[Row]:
    """Orphans whose names were made to deceive."""
    names = (b"<b>bold</b>", b"evil\xe2\x80\xaetxt.exe", b"line\nbreak", b"\xff\xfe-bytes", b"=cmd|' /C calc'!A0")
    rows = [orphan(b"plain-%d" % number, 5_000_000_000 + number, inode=90 + number) for number in range(len(names))]
    return [changed(row, workspace=changed(row.workspace, name=name)) for row, name in zip(rows, names, strict=True)]


@scene(lambda: ScriptedHost([*realistic_rows(40), *untrusted()]))
async def deceiving_names(stage: Stage) -> None:
    """Names with markup, control and bidirectional characters in the table."""
    await stage.scanned()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def trash(stage: Stage) -> None:
    """The trash."""
    await stage.scanned()
    content = Trash(tuple(trash_items(time.time())), f"{VOLUME.control_dir}/sweeps")
    dialog = TrashDialog(content, time.time(), stage.look, stage.window)
    dialog.mark(2, 3)
    dialog.open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def history(stage: Stage) -> None:
    """Past sweeps."""
    await stage.scanned()
    outcomes = (
        Outcome(b"calm-heron-0011", Result.REMOVED, "", 18_400, 410_000_000),
        Outcome(b"keen-lynx-0042", Result.SKIPPED, "changed since it was listed"),
        Outcome(b"quiet-panda-0007", Result.FAILED, "permission denied", 3, 8_192, 2, ("a/b: Permission denied",)),
    )
    now = time.time()

    def past(days: int, kind: str, ending: Ending | None) -> PastSweep:
        start = now - days * DAY
        registry = "postgresql db:5432 collab"
        end = None if ending is None else start + 60
        who = Who("root", "bastion-1", 4711, "mlopez")
        read = start - 20
        evidence = tuple(
            PastEvidence(
                outcome.name, number, "", "id", "session deleted 3 Oct, owner octocat; last change 12 days ago", (),
                "remove", 410_000_000, 18_400, start - 12 * DAY, 77, read, start, read + 30,
            )
            for number, outcome in enumerate(outcomes)
        )  # fmt: skip
        return PastSweep(
            f"20261124T0802{days:02}.000000Z-abcdef", start, who, kind, registry, outcomes, evidence, end, ending,
            ticket=f"OPS-{120 + days}", root="/mnt/efs/workspaces", version="0.2.0", options={"cap": "10"},
            proposal=Proposal(Who("amelie", "laptop", 3), start - 3_600, "d") if days == 0 else None,
        )  # fmt: skip

    sweeps = (
        past(0, "sweep", Ending.DONE),
        past(1, "purge", Ending.CANCELLED),
        past(2, "sweep", None),
        past(3, "sweep", Ending.STOPPED),
    )
    HistoryDialog(History(sweeps), stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def doctor(stage: Stage) -> None:
    """The check-up."""
    await stage.scanned()
    checks = (
        Check("Configuration", "ok", "/etc/sweeper/sweeper.toml"),
        Check("Volume", "ok", "/mnt/efs/workspaces is nfs4 from fs-0a1b2c3d:/, 174 directories"),
        Check(
            "Control directory",
            "warning",
            "lies inside the root",
            "Set [volume] control_dir to a place outside the root.",
        ),
        Check(
            "Registry",
            "error",
            "postgresql://db/collab: connection refused",
            "Check 'source', and that this host may connect.",
        ),
    )
    DoctorDialog(Diagnosis(checks), stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def question(stage: Stage) -> None:
    """A question with a list."""
    await stage.scanned()
    lines = tuple(visible(item.name) for item in trash_items(time.time()))
    asked = Question(
        "Remove for good", "4 from the trash, 5.2 GB. This can't be undone.", "&Remove 4 for good", lines, danger=True
    )
    QuestionDialog(asked, stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def quitting(stage: Stage) -> None:
    """The window is being closed in the middle of a sweep."""
    await stage.scanned()
    QuitDialog("Sweep", stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def export(stage: Stage) -> None:
    """A path is asked for."""
    await stage.scanned()
    PathDialog("listing", Path.home() / "sweeper-listing.csv", stage.look, stage.window).open()


@scene(lambda: ScriptedHost(realistic_rows(30)))
async def report(stage: Stage) -> None:
    """A report without problems."""
    await stage.scanned()
    outcomes = tuple(Outcome(b"calm-heron-%04x" % n, Result.REMOVED, "", 18_400 + n, 410_000_000 + n) for n in range(9))
    ReportDialog(
        ReportView(Report("s", outcomes, remaining_orphans=27, seconds=61.0), "Sweep"), stage.look, stage.window
    ).open()


async def show(name: str, mode: Mode, size: tuple[int, int], look: Look, path: Path) -> None:
    """Brings a window into a scene's state and takes a picture of it."""
    make_host, play = SCENES[name]
    host = make_host()
    model = WorkspaceModel()
    controller = Controller(SETTINGS.to_wire(), host.make, model, pace=0.02, root=VOLUME.root)
    window = MainWindow(controller, model, replace(SweepOptions.from_settings(SETTINGS)), look)
    work = Work(window, controller, DialogPrompts(window, look), SETTINGS)
    window.resize(*size)
    window.show()
    work.start()
    await play(Stage(window, host, controller, work, look))
    await asyncio.sleep(0.35)
    save(window, path)
    for dialog in list(open_dialogs(window)):
        dialog.reject()
    work.close_now()
    work.close_now()
    await window.closed.wait()
    window.deleteLater()


def save(window: QWidget, path: Path) -> None:
    """The window with its dialogs, as they are on the screen."""
    screen = QGuiApplication.primaryScreen()
    if QGuiApplication.platformName() == "offscreen":
        window.grab().save(str(path))
    else:
        area = window.frameGeometry()
        screen.grabWindow(0, area.x(), area.y(), area.width(), area.height()).save(str(path))


async def first_window(look: Look, path: Path) -> None:
    """The form that asks for a volume, with a problem."""
    form = SetupForm(
        "policy.min_age: 'soon' is not a duration (sweeper.toml, line 14)", lambda root, registry: SETTINGS, look
    )
    form.show()
    await asyncio.sleep(0.3)
    save(form, path)
    form.close()
    form.deleteLater()


async def main(directory: Path, wanted: list[str]) -> None:
    """All wanted scenes, light and dark, normal and small."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    look = Look(app, "light")
    for mode in MODES:
        look.set_mode(mode)
        if not wanted or "setup" in wanted:
            await first_window(look, directory / f"setup-{mode}.png")
        for name in wanted or SCENES:
            for size_name, size in SIZES.items():
                if name in SCENES:
                    await show(name, mode, size, look, directory / f"{name}-{mode}-{size_name}.png")
                    print(f"{name}-{mode}-{size_name}")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    application = make_application()
    with asyncio.Runner(loop_factory=lambda: QEventLoop(application)) as runner:
        runner.run(main(target, sys.argv[2:]))
