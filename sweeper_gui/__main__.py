"""The entry point: `sweeper`, or `python -m sweeper_gui`."""

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs what the arguments ask for.

    The process leaves by `os._exit`, whatever it did: a thread that is stuck in a hung mount can't be joined, and must
    not keep the process from ending.
    """
    _fill_standard_streams()
    os._exit(_run(sys.argv[1:]))


def _fill_standard_streams() -> None:
    """Opens the null device for each standard stream that is closed: a database must not become standard output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _run(arguments: list[str]) -> int:
    if arguments == ["engine"]:  # started with every window: without what only a command line needs
        from sweeper_gui.engine.process import serve

        return serve()
    from sweeper_gui.cli.app import main as run_command_line

    return run_command_line(arguments)


if __name__ == "__main__":
    main()
