"""The entry point: `sweeper`, or `python -m sweeper_gui`."""

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs what the arguments ask for.

    The process leaves by `os._exit`, whatever it did: a thread that is stuck in a hung mount can't be joined, and must
    not keep the process from ending.
    """
    os._exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    if arguments == ["engine"]:  # started with every window: without what only a command line needs
        from sweeper_gui.engine.process import serve

        return serve()
    from sweeper_gui.cli.app import main as run_command_line

    return run_command_line(arguments)


if __name__ == "__main__":
    main()
