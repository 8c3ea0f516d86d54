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
    os._exit(_run(sys.argv[1:]) if _is_built() else 2)


def _fill_standard_streams() -> None:
    """Opens the null device for each standard stream that is closed: a database must not become standard output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _is_built() -> bool:
    """Whether the part in C is there; says what to do where it is not, as in a fresh checkout."""
    try:
        from sweeper_gui.storage import _native  # noqa: F401
    except ImportError as error:
        sys.stderr.write(
            f"sweeper: its part in C is not built for this Python ({error}): start it with './dev run', or run "
            "'pip install --editable .' in the checkout, which needs gcc and Python's headers\n"
        )
        return False
    return True


def _run(arguments: list[str]) -> int:
    if arguments == ["engine"]:  # started with every window: without what only a command line needs
        from sweeper_gui.engine.process import serve

        return serve()
    from sweeper_gui.cli.app import main as run_command_line

    return run_command_line(arguments)


if __name__ == "__main__":
    main()
