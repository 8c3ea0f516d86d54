"""Makes the README's picture of the window: the real program on its demo volume, on a display of its own.

python -m tests.support.screenshot
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.display import display

_PICTURE = Path(__file__).parents[2] / "resources" / "screenshot-main.png"
_WIDTH, _HEIGHT = 1360, 860
#: Seconds until the demo is measured and its youngest orphans are old enough to be such.
_UNTIL_SETTLED = 8


def main() -> None:
    """Overwrites the picture."""
    with display(_WIDTH, _HEIGHT) as screen:
        program = subprocess.Popen([sys.executable, "-m", "sweeper_gui", "demo"], env=screen.environment)
        try:
            window = screen.window("Sweeper")
            screen.xdotool("windowmove", window, 0, 0)
            screen.xdotool("windowsize", window, _WIDTH, _HEIGHT)
            time.sleep(_UNTIL_SETTLED)
            screen.screenshot(_PICTURE)
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait()


if __name__ == "__main__":
    main()
