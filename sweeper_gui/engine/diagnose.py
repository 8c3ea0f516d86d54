"""`sweeper doctor`: looks at everything that a listing and a sweep stand on, writes nothing, and says what to mend."""

import os
import threading
import time
from collections.abc import Iterator

from sweeper_gui.core.names import visible
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.units import count_text, counted, size_text
from sweeper_gui.engine.messages import Check, Diagnosis
from sweeper_gui.engine.opening import open_ground
from sweeper_gui.settings import Settings
from sweeper_gui.storage import files
from sweeper_gui.storage.control import Control, place_of
from sweeper_gui.storage.lock import holder_of
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.binding import binding_problem, read_binding
from sweeper_gui.sweep.forward import connection_problem, socket_of
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.site import listed_ids
from sweeper_gui.sweep.trash import ids_in_trash, items_of

#: Examples of ids that are shown when the registry and the volume do not fit each other.
_EXAMPLES = 3


def diagnose(settings: Settings, pool: WorkPool, cancel: threading.Event) -> Diagnosis:
    """All checks in the order in which one depends on the other."""
    return Diagnosis(tuple(_checks(settings, pool, cancel)))


def _checks(settings: Settings, pool: WorkPool, cancel: threading.Event) -> Iterator[Check]:
    yield _configuration(settings)
    yield _kernel()
    yield _syslog(settings)
    try:
        ground = open_ground(settings, pool, cancel)
    except VolumeError as error:
        yield Check("volume", "error", str(error), error.hint)
        return
    with ground:
        yield from _volume(ground)
        yield from _control(ground)
        yield from _registry(ground)
        yield _processes()
        yield _state(ground)


def _configuration(settings: Settings) -> Check:
    if settings.config_file is None:
        return Check("configuration", "ok", "no file: environment and options only")
    return Check("configuration", "ok", f"read from {visible(os.fsencode(settings.config_file))}")


def _kernel() -> Check:
    if files.has_openat2():
        return Check("kernel", "ok", "openat2 confines every directory that is opened (Linux 5.6 or later)")
    return Check(
        "kernel", "warning", "openat2 is missing: mounts are told apart by their id, which is slower",
        "use a kernel of 5.6 or later, and a sandbox that allows openat2",
    )  # fmt: skip


def _syslog(settings: Settings) -> Check:
    place = socket_of(settings.sweep.syslog)
    if not place:
        return Check("syslog", "ok", "sweeps are not forwarded: their logs on the volume tell everything")
    problem = connection_problem(place)
    if problem:
        return Check("syslog", "warning", problem, "start the daemon, or correct 'syslog' in [sweep]")
    return Check("syslog", "ok", f"each step of a sweep is forwarded to {place}")


def _volume(ground: Ground) -> Iterator[Check]:
    volume, mount = ground.volume, ground.volume.mount
    where = f"{volume.shown} on {mount.fs_type} {visible(mount.source)}, mounted at {visible(mount.point)}"
    if mount.read_only:
        yield Check("volume", "warning", f"{where}, read-only: it can be listed, not swept", "mount it read-write")
    else:
        yield Check("volume", "ok", where)
    if mount.point == b"/":
        yield Check(
            "mount", "warning", "the root lies on the system's own file system, not on a mounted volume",
            "if it should be a mount, mount it and set require_mount = true",
        )  # fmt: skip
    space = ground.volume.space()
    if space.total is not None and space.free is not None:
        yield Check("space", "ok", f"{size_text(space.free)} free of {size_text(space.total)}")
    else:
        yield Check("space", "ok", "the file system reports no real size")
    try:
        started = time.monotonic()
        ids = listed_ids(ground)
        took = time.monotonic() - started
        yield Check("listing", "ok", f"{counted(len(ids), 'workspace')} listed in {took:.2f} s")
    except VolumeError as error:
        yield Check("listing", "error", str(error), error.hint)
    if mount.read_only:
        return  # nobody may write, whoever he is
    if os.access(volume.root, os.W_OK | os.X_OK):
        yield Check("permissions", "ok", "we may rename what lies in the root")
    else:
        yield Check("permissions", "error", "we may not write to the root: nothing can be set aside",
                    "run as a user who may")  # fmt: skip


def _control(ground: Ground) -> Iterator[Check]:
    try:
        place = place_of(ground.volume, ground.settings.volume)
        control = Control.open_existing(ground.volume, ground.settings.volume)
        shown = visible(place.path)
        if control is None:
            words = f"{shown} will be made by the first sweep; nothing has been written to this volume yet"
            yield Check("control directory", "warning" if place.warning else "ok", words, place.warning)
            return
        with control:
            state, words, mend = control.condition()
            yield Check("control directory", state, f"{shown}: {words}", mend or place.warning)
            yield _lock(control)
            yield _binding(ground, control)
            yield _trash(ground, control)
    except VolumeError as error:
        yield Check("control directory", "error", str(error), error.hint)
    except OSError as error:
        yield Check("control directory", "error", f"it can't be read: {error.strerror}", "run as its owner")


def _lock(control: Control) -> Check:
    holder = holder_of(control)
    if holder is None:
        return Check("lock", "ok", "no sweep is running")
    return Check("lock", "warning", f"a sweep is running: {visible(holder)}", "wait until it has ended")


def _binding(ground: Ground, control: Control) -> Check:
    try:
        binding = read_binding(control)
    except VolumeError as error:
        return Check("binding", "error", str(error), error.hint)
    if binding is None:
        return Check("binding", "ok", "not bound yet: the first sweep binds it to the configured registry")
    problem = binding_problem(binding, ground.registries)
    if problem is None:
        names = " and ".join(visible(str(registry)) for registry in binding.registries)
        return Check("binding", "ok", f"bound to {names}")
    return Check("binding", "error", problem, "correct the registry, or say that the change is meant")


def _trash(ground: Ground, control: Control) -> Check:
    items = list(items_of(control, ground))
    unfinished = sum(item.unfinished for item in items)
    damaged = [item for item in items if item.problem]
    words = f"{len(items)} set aside, {unfinished} of them unfinished"
    if damaged:
        return Check("trash", "error", f"{words}; {visible(damaged[0].name)}: {damaged[0].problem}",
                     "look at the sweep's directory; what has no readable log is never touched")  # fmt: skip
    if unfinished:
        return Check("trash", "warning", words, "finish them with 'sweeper resume', or 'sweeper restore NAME'")
    return Check("trash", "ok", words)


def _registry(ground: Ground) -> Iterator[Check]:
    if not ground.settings.registry:
        yield Check("registry", "error", "no registry is configured: every workspace is unknown",
                    "add a [[registry]] with its source, or give --registry")  # fmt: skip
        return
    try:
        on_volume = listed_ids(ground)
    except VolumeError:
        on_volume = frozenset()  # said above, as what follows is
    try:
        ids = on_volume | ids_in_trash(ground)
    except (VolumeError, OSError):
        ids = on_volume
    snapshot = ground.read_registry(ids)
    for read in snapshot.reads:
        took = read.finished_at - read.started_at
        if read.error:
            yield Check("registry", "error", f"{read.shown}: {read.error}", read.hint or "see the message")
        else:
            words = f"{read.shown}: {counted(len(read.sessions), 'session')} read in {took:.2f} s"
            if read.knows_deleted:
                yield Check("registry", "ok", words)
            else:
                yield Check("registry", "warning", f"{words}; it tells no deleted ones, so that every orphan is "
                            "unexplained and only set aside", "let the query return deleted_at")  # fmt: skip
    if not any(read.error for read in snapshot.reads):  # what could not be read matches nothing, and proves nothing
        yield _match(snapshot, on_volume)
    told = {f"{read.shown}: {read.error}" for read in snapshot.reads if read.error}
    for problem in snapshot.problems:
        if problem not in told:
            yield Check("trust", "error", problem, "nothing is swept until it is mended")


def _match(snapshot: Snapshot, ids: frozenset[str]) -> Check:
    known = snapshot.sessions.keys()
    unknown = sorted(ids - known)
    missing = sorted(snapshot.live_ids - ids)
    live, deleted = len(ids & snapshot.live_ids), len(ids & (known - snapshot.live_ids))
    words = (
        f"{count_text(live)} of {counted(len(ids), 'directory', 'directories')} {'has' if live == 1 else 'have'} "
        f"a live session, {count_text(deleted)} a deleted one, {count_text(len(unknown))} none; "
        f"{counted(len(missing), 'live session has', 'live sessions have')} no directory"
    )
    twins = [id_ for id_ in unknown if snapshot.live_lookalike(id_)]
    if twins:
        differ = "name differs from a live id only in its form", "names differ from a live id only in their form"
        words += f"; {counted(len(twins), *differ)}, such as {visible(twins[0])}"
        return Check(
            "match",
            "warning" if live or deleted else "error",
            words,
            "let the query return ids exactly as the directories are named",
        )
    if not ids or live or deleted:
        return Check("match", "ok", words)
    words += f"; directories such as {_examples(unknown)}, ids such as {_examples(missing)}"
    return Check("match", "error", words, "is it the right registry, and does 'id_pattern' find the id in the name?")


def _examples(ids: list[str]) -> str:
    return ", ".join(visible(id_) for id_ in ids[:_EXAMPLES]) or "none"


def _processes() -> Check:
    if os.geteuid() == 0:
        return Check("processes", "ok", "all processes of this host are seen; those of other hosts can't be")
    return Check("processes", "warning", "only our own processes are seen: what another user or host has open is not",
                 "run as root to see all of this host")  # fmt: skip


def _state(ground: Ground) -> Check:
    if ground.state.problem:
        return Check("local memory", "warning", ground.state.problem, "mend or remove the file")
    seen, where = ground.state.live_ids, visible(os.fsencode(ground.state.directory))
    if seen is None:
        return Check("local memory", "ok", f"{where}: no trusted read of this volume yet")
    return Check("local memory", "ok", f"{where}: {counted(len(seen), 'live id')} at the last trusted read")
