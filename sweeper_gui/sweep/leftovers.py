"""What runs that died have left behind beside the trees in the trash: cleared up by the next run, before its own work.

Each run looks back, from the newest to the first that came to its end: that one had looked back itself. Nothing here is
worth a run: what can't be cleared up stays.
"""

import contextlib
import os
import stat
from collections.abc import Iterator

from sweeper_gui.storage import files
from sweeper_gui.storage.control import Control, SweepDirectory
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import Closed, Intent, ReadLog, Restoring, read_log


def clear_up(control: Control, ground: Ground, own: SweepDirectory) -> None:
    """Removes probes, and gives tops that lie in their place the mode back that was changed to rename them.

    Call with the lock held.
    """
    with contextlib.suppress(OSError):
        control.clear_up()
    for sweep_id in reversed(control.sweep_ids()):
        if sweep_id == own.id:
            continue
        with contextlib.suppress(OSError, VolumeError), control.open_sweep(sweep_id) as sweep:
            log = read_log(sweep, ground.log_fallback(sweep_id))
            if isinstance(log.records[-1] if log.records else None, Closed):
                return
            with contextlib.suppress(OSError):
                control.clear_probe(sweep.whole)
            for place, intent in _changed(control, ground, sweep, log):
                _give_mode_back(ground, place, intent)


def _changed(
    control: Control, ground: Ground, sweep: SweepDirectory, log: ReadLog
) -> Iterator[tuple[SweepDirectory, Intent]]:
    """The workspaces whose mode this run had changed, or was about to give back, each with the sweep they belong to."""
    for intent in log.intents().values():
        yield sweep, intent
    for source in {record.source for record in log.records if isinstance(record, Restoring) and record.source}:
        numbers = {r.number for r in log.records if isinstance(r, Restoring) and r.source == source}
        with contextlib.suppress(OSError), control.open_sweep(source) as other:
            intents = read_log(other, ground.log_fallback(source)).intents()
            for number in numbers & intents.keys():
                yield other, intents[number]


def _give_mode_back(ground: Ground, sweep: SweepDirectory, intent: Intent) -> None:
    """Where it is this very directory in its place, unchanged since, with the mode that a run makes of that one."""
    mode = intent.mode
    if mode is None or mode & stat.S_IWUSR or any(number == intent.number for _, number in sweep.trees()):
        return
    name = bytes(intent.name)
    with contextlib.suppress(OSError, VolumeError), ground.volume.parent_of(name) as parent:
        basename = name.rpartition(b"/")[2]
        found = os.stat(basename, dir_fd=parent, follow_symlinks=False)
        unchanged = (found.st_ino, found.st_mtime_ns) == (intent.inode, intent.mtime_ns)
        if unchanged and stat.S_IMODE(found.st_mode) == mode | stat.S_IRWXU:
            files.set_mode(basename, parent, mode, intent.inode)
