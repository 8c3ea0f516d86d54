"""The options that every command has, before or after its name, and the values that options take."""

import functools
import inspect
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from sweeper_gui.cli.invocation import Common, Invocation
from sweeper_gui.core.units import parse_duration, parse_size

Root = Annotated[str | None, typer.Option(metavar="DIR", help="The directory whose workspaces are listed.")]
Registry = Annotated[
    list[str] | None,
    typer.Option(metavar="SOURCE", help="Where the sessions are: SQLAlchemy URL, https:, file: or exec:; repeatable."),
]
Query = Annotated[str | None, typer.Option(metavar="SQL", help="The query that returns all sessions.")]
MinAge = Annotated[str | None, typer.Option(metavar="AGE", help="Younger ones are never swept, such as 24h.")]
ControlDir = Annotated[str | None, typer.Option(metavar="DIR", help="Where the trash, the lock and the logs are.")]
Config = Annotated[str | None, typer.Option(metavar="FILE", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON document instead of a table.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Needed where there is no terminal.")]
Ticket = Annotated[
    str, typer.Option("--ticket", metavar="TEXT", help="The ticket that this is done for; kept in the log.")
]

_LISTED = " <list[str]>"


class WithNames(TyperCommand):
    """A command that takes names: its help says so with 'NAME...', and not with Python's word for a list."""

    @override
    def get_help(self, ctx: Any) -> str:
        return str(super().get_help(ctx)).replace(_LISTED, "...".ljust(len(_LISTED)))


_COMMON = {
    "root": Root,
    "registry": Registry,
    "query": Query,
    "min_age": MinAge,
    "control_dir": ControlDir,
    "config": Config,
}


def _common_from(given: dict[str, Any]) -> Common:
    """Takes the common options out of a command's arguments."""
    values = {name: given.pop(name, None) for name in _COMMON}
    values["registry"] = tuple(values["registry"] or ())
    return Common(**values)


def with_common_options(command: Callable[..., int | None]) -> Callable[..., None]:
    """Makes a typer command of a function that takes the invocation and its own options, and returns the exit code.

    The common options are added to its signature; those given after the command's name override those before it.
    With None instead of an exit code the command that follows is run.
    """
    own = list(inspect.signature(command).parameters.values())[1:]

    @functools.wraps(command)
    def run(ctx: typer.Context, **given: Any) -> None:
        invocation: Invocation = ctx.obj
        invocation.command = ctx.invoked_subcommand
        invocation.common = _common_from(given).over(invocation.common)
        code = command(invocation, **given)
        if code is not None:
            raise typer.Exit(code)

    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [parameter.replace(kind=keyword) for parameter in own]
    parameters += [
        inspect.Parameter(name, keyword, default=None, annotation=annotation) for name, annotation in _COMMON.items()
    ]
    run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *parameters)}
    return run


def duration(text: str) -> float:
    """Seconds. Raises typer's error for what is none."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not math.isfinite(seconds):
        raise typer.BadParameter(f"'{text}' is too long")
    return seconds


def moment(text: str) -> float:
    """Epoch seconds, of a date or a time in ISO 8601 (UTC where it names no zone), or of so long ago."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return time.time() - parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is neither a date such as 2026-11-24 nor an age such as 7d") from error


def size(text: str) -> int:
    """Bytes, at least one. Raises typer's error for what is none."""
    try:
        number = parse_size(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error
    if number < 1:
        raise typer.BadParameter("must be at least one byte")
    return number
