"""`sweeper demo`: the throw-away volume in the window, or listed and swept in the terminal."""

import os

from rich.text import Text

from sweeper_gui.cli import commands
from sweeper_gui.cli.codes import Code
from sweeper_gui.cli.invocation import Common, Invocation
from sweeper_gui.cli.window import open_window, require_display


def show_demo(run: Invocation, headless: bool) -> int:
    """Makes the volume, shows it, and removes it again. Raises `Refusal` where the window has no display."""
    from sweeper_gui.demo import demo_volume

    if not headless:
        require_display("Use 'sweeper demo --headless' here, or connect with 'ssh -X'.")
    run.output.notice("making a throw-away volume …")
    with demo_volume() as demo:
        _forget_real_volumes()
        os.environ["SWEEPER_STATE_DIR"] = str(demo.state_dir)
        run.common = Common(config=str(demo.config), root=str(demo.root))
        return _in_terminal(run) if headless else open_window(run)


def _forget_real_volumes() -> None:
    """Variables override a configuration file: none that is meant for a real volume may lead the demo there.

    Nor may the demo's sessions be remembered beside those of real volumes. The window's engine inherits all this.
    """
    for name in [name for name in os.environ if name.startswith("SWEEPER_")]:
        del os.environ[name]


def _in_terminal(run: Invocation) -> Code:
    _heading(run, "sweeper list")
    listed = commands.list_workspaces(run, as_json=False, measure=True, compare_with=None)
    if listed is not Code.DONE:
        return listed
    _heading(run, "sweeper sweep --max 10 --yes")
    swept = commands.sweep(run, commands.SweepOptions(cap=10, yes=True))
    if swept is not Code.DONE:
        return swept
    _heading(run, "sweeper list")
    return commands.list_workspaces(run, as_json=False, measure=True, compare_with=None)


def _heading(run: Invocation, command: str) -> None:
    run.output.result("", Text(f"$ {command}", style="bold"), "")
