"""The commands and their options. Each does no more than hand them on."""

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from sweeper_gui import __version__
from sweeper_gui.cli import commands
from sweeper_gui.cli.codes import Code, Refusal
from sweeper_gui.cli.demo import show_demo
from sweeper_gui.cli.invocation import Invocation
from sweeper_gui.cli.options import Json, Ticket, WithNames, Yes, duration, moment, size, with_common_options
from sweeper_gui.cli.output import Output
from sweeper_gui.cli.signals import Interrupted, Signals
from sweeper_gui.cli.window import open_window
from sweeper_gui.core.plan import Order
from sweeper_gui.engine.host import Host

_EXIT_CODES = """
Exit codes: 0 done (skipped counts as done); 1 some workspace failed; 2 usage or configuration; 3 refused or stopped
because the registry or the volume can't be trusted; 4 another sweep holds the lock; 130 cancelled.
"""

app = typer.Typer(
    name="sweeper",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class Impact(StrEnum):
    """How hard a sweep may press on the volume."""

    GENTLE = "gentle"
    BALANCED = "balanced"
    FAST = "fast"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sweeper {__version__}")
        raise typer.Exit(Code.DONE)


@app.callback(invoke_without_command=True, epilog=_EXIT_CODES)
@with_common_options
def window(
    run: Invocation,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> int | None:
    """List the workspaces of a mounted volume, and remove those whose sessions are gone.

    Without a command the window opens. The options here override the configuration file, and may follow a command too.
    """
    return None if run.command else open_window(run)


@app.command("list")
@with_common_options
def list_(
    run: Invocation,
    as_json: Json = False,
    no_size: Annotated[bool, typer.Option("--no-size", help="Do not measure: quick, but finds no orphans.")] = False,
    compare: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Names, one a line ('-': standard input): which would Sweeper keep?"),
    ] = None,
) -> Code:
    """List the workspaces with size, status and the reason for it. Writes nothing on the volume.

    \b
    sweeper list
    sweeper list --json --registry sqlite:////srv/collab.db --root /mnt/efs/workspaces
    other-tool --would-delete | sweeper list --compare -
    """
    return commands.list_workspaces(run, as_json, not no_size, compare)


Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Paths below the root; ROOT/NAME is right too.")
]
Max = Annotated[
    int | None, typer.Option("--max", metavar="N", min=1, help="At most N; from the settings without names.")
]
MaxBytes = Annotated[
    int | None, typer.Option(metavar="SIZE", parser=size, help="And at most so many bytes, such as 20GB.")
]
OrderOption = Annotated[Order | None, typer.Option("--order", help="Which orphans go first.")]
SetAside = Annotated[bool, typer.Option("--set-aside", help="Keep everything in the trash for now.")]
RemoveDoubtful = Annotated[
    bool, typer.Option("--remove-doubtful", help="Remove named orphans for good in spite of their doubts.")
]


@app.command(cls=WithNames)
@with_common_options
def sweep(
    run: Invocation,
    names: Names = None,
    max_: Max = None,
    max_bytes: MaxBytes = None,
    order: OrderOption = None,
    impact: Annotated[Impact | None, typer.Option(help="How hard to press on the volume.")] = None,
    set_aside: SetAside = False,
    remove_doubtful: RemoveDoubtful = False,
    allow_empty_registry: Annotated[
        bool,
        typer.Option(
            "--allow-empty-registry", help="Set named ones aside though the registry is empty or matches nothing."
        ),
    ] = False,
    plan: Annotated[
        str, typer.Option("--plan", metavar="FILE", help="Only what 'sweeper plan' wrote there and has not changed.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Yes = False,
    defer: Annotated[
        float | None,
        typer.Option(metavar="S", parser=duration, help="Wait for so many seconds first, holding nothing."),
    ] = None,
    ticket: Ticket = "",
    as_json: Json = False,
) -> Code:
    """Sweep named workspaces, the next orphans, or a plan file.

    Each is rechecked, set aside, confirmed by the registry, and only then removed. What is no orphan is skipped with
    the reason. One with doubts is only set aside. Without --yes it lists everything and asks.

    \b
    sweeper sweep --dry-run
    sweeper sweep --max 10 --yes --defer 90
    sweeper sweep 6f1c9a 77ab02 --set-aside
    sweeper sweep --plan monday.json
    """
    options = commands.SweepOptions(
        names=tuple(names or ()),
        cap=max_,
        max_bytes=max_bytes,
        order=order,
        impact=impact,
        set_aside=set_aside,
        remove_doubtful=remove_doubtful,
        allow_empty=allow_empty_registry,
        plan=plan,
        dry_run=dry_run,
        yes=yes,
        defer=defer or 0.0,
        as_json=as_json,
        ticket=ticket,
    )
    return commands.sweep(run, options)


@app.command(cls=WithNames)
@with_common_options
def plan(
    run: Invocation,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where to write it; '-': the standard output.")],
    names: Names = None,
    max_: Max = None,
    max_bytes: MaxBytes = None,
    order: OrderOption = None,
    set_aside: SetAside = False,
    remove_doubtful: RemoveDoubtful = False,
    force: Annotated[bool, typer.Option("--force", help="Write over the file that is there.")] = False,
    ticket: Ticket = "",
) -> Code:
    """Write what a sweep would take to a file, to be approved.

    Somebody else can look at it then and sweep it. The volume is left as it is. The file holds the evidence of each
    workspace: 'sweeper sweep --plan FILE' skips what is not in it, has changed since, or is judged otherwise. It is
    evidence of what was seen, not a signature.

    \b
    sweeper plan --max 10 --ticket OPS-123 --out monday.json
    """
    options = commands.SweepOptions(
        names=tuple(names or ()),
        cap=max_,
        max_bytes=max_bytes,
        order=order,
        set_aside=set_aside,
        remove_doubtful=remove_doubtful,
        ticket=ticket,
    )
    return commands.plan(run, options, out, force)


@app.command()
@with_common_options
def trash(run: Invocation, as_json: Json = False) -> Code:
    """Show what is set aside, and what a sweep left half done."""
    return commands.trash(run, as_json)


@app.command(cls=WithNames)
@with_common_options
def restore(
    run: Invocation,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="As 'sweeper trash' shows them.")],
    ticket: Ticket = "",
    as_json: Json = False,
) -> Code:
    """Put set-aside workspaces back, overwriting nothing."""
    return commands.restore(run, names, ticket, as_json)


@app.command(cls=WithNames)
@with_common_options
def purge(
    run: Invocation,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="As 'sweeper trash' shows them; all without.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(metavar="AGE", parser=duration, help="Only what was set aside so long ago: 7d.")
    ] = None,
    yes: Yes = False,
    ticket: Ticket = "",
    as_json: Json = False,
) -> Code:
    """Remove for good what is set aside.

    What lives again is restored instead, and unsaved work is removed only by name.

    \b
    sweeper purge --older-than 7d --yes
    """
    return commands.purge(run, names or (), older_than, yes, ticket, as_json)


@app.command()
@with_common_options
def resume(run: Invocation, yes: Yes = False, ticket: Ticket = "", as_json: Json = False) -> Code:
    """Finish what a sweep left half done."""
    return commands.resume(run, yes, ticket, as_json)


@app.command(cls=WithNames)
@with_common_options
def history(
    run: Invocation,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Only what was done with these, on which evidence.")
    ] = None,
    sweep_id: Annotated[str, typer.Option("--sweep", metavar="ID", help="One sweep in full; its start will do.")] = "",
    since: Annotated[
        float | None, typer.Option(metavar="WHEN", parser=moment, help="A date, such as 2026-11-24, or an age: 7d.")
    ] = None,
    ticket: Annotated[str, typer.Option(metavar="TEXT", help="Only what was done for this ticket.")] = "",
    as_json: Json = False,
) -> Code:
    """Show who removed what, when, and on which evidence.

    From the logs on the volume, and those that went on in this user's local state when it was full. With names or
    --sweep everything is told that the logs know, as --json always does.

    \b
    sweeper history --since 7d
    sweeper history 6f1c9a
    sweeper history --sweep 20261124T080211 --json
    """
    return commands.history(run, names or (), sweep_id, since, ticket, as_json)


@app.command()
@with_common_options
def bind(run: Invocation) -> Code:
    """Bind the volume to the configured registry.

    And accept what it says now. Needed when it has moved, or has lost many sessions for a good reason.
    """
    return commands.bind(run)


@app.command()
@with_common_options
def doctor(run: Invocation, as_json: Json = False) -> Code:
    """Check the whole set-up, and say what to mend.

    Settings, volume, mount, permissions, registry, how the two match, and how late an event loop is on this host
    meanwhile. Exits with 0 where nothing is an error, 2 where the settings can't be used, else 3.
    """
    return commands.doctor(run, as_json)


@app.command()
@with_common_options
def demo(
    run: Invocation,
    headless: Annotated[bool, typer.Option("--headless", help="List and sweep in the terminal instead.")] = False,
) -> int:
    """Try everything on a throw-away volume."""
    return show_demo(run, headless)


@app.command()
def engine() -> None:
    """Speak the engine's protocol on standard input and output."""
    from sweeper_gui.engine.process import serve

    raise typer.Exit(serve())


def main(arguments: list[str], make_host: Callable[[], Host] | None = None) -> int:
    """Runs the command line and returns the exit code. Whatever goes wrong, nobody sees a trace.

    `make_host` makes the engine; by default it is a process of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signals = Signals()
    signals.install()
    output = Output()
    invocation = Invocation(output, signals, make_host)
    try:
        return _run(arguments, invocation)
    except Interrupted:
        return Code.CANCELLED
    except Refusal as refusal:
        output.refusal(refusal)
        return refusal.code
    except Exception as error:  # the last resort: a bug must not look like a crash, nor like success
        if os.environ.get("SWEEPER_DEBUG"):
            raise
        output.refusal(
            Refusal(
                Code.FAILED,
                f"an error that should not happen: {type(error).__name__}: {_without(str(error), invocation)}",
                "Set SWEEPER_DEBUG=1 to see where. 'sweeper trash' shows whether something was left half done.",
            )
        )
        return Code.FAILED
    finally:
        output.flush()


def _without(text: str, invocation: Invocation) -> str:
    from sweeper_gui.settings.secrets import without

    return without(text, invocation.secrets)


def _run(arguments: list[str], invocation: Invocation) -> int:
    try:
        app(args=arguments, prog_name="sweeper", obj=invocation)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Code.DONE if ended.code is None else Code.FAILED
    return Code.DONE
