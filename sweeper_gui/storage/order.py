"""Removing one set-aside tree, as an order: data that can go to any process that reaches the volume.

`carry_out` is what every sweep, purge and resume removes with: in its own process, on its own pool, with the trash that
it has open. `carry_out_here` is the same for a process that has nothing but the order. Neither knows of a registry, a
log or a lock, and so none of them can decide that a tree goes: right before the first unlink it asks, and who answers
is the one that holds all three.

How removals would be spread over hosts, without another protocol:

- One **coordinator** per volume, as the sweep is now: it holds the lock, writes the log, renames to and from the
  trash, and asks the registry. A **worker** is a process on any host that mounts the same export. It gets orders over
  a pipe (ssh, as with `sweeper engine`), reads one tree, asks, unlinks below `removing/<number>`, and answers with
  what it did. It renames nothing, and writes nothing.
- **The last question** is the only message in between: the worker sends what it `Found`; the coordinator asks the
  registry, looks who uses the tree, checks its lock, writes 'removing' into the log and renames the tree to
  `removing/`. Only then it says yes. A worker without a yes has done nothing but read.
- **Leases**: a yes holds for as long as the pipe is open. A worker whose pipe closes stops at its next entry, as an
  engine does; the coordinator waits for its last word before it lets the lock go. One that is cut off may go on with
  the operations that it has in flight, and with those alone where its mount hangs for long: on the inode that it has
  pinned, in `removing/`, which is never restored. So nothing that lives can be hit, and two workers on one tree do no
  more harm than two threads do: what is gone counts as done.
- **A worker that dies** leaves a tree in `removing/`, 'partly removed' in the report. The same order with `begun`
  finishes it, on another host or in the next resume. A coordinator that dies leaves what a killed sweep leaves.
- **One limit per volume**: the coordinator knows how many operations may be in flight, and hands out shares of that
  in `max_in_flight` and `max_ops_per_second`, equal ones at first, later by what each host's latency says. What is
  bounded is the sum, so that more hosts press no harder on the live sessions.
- **Identity** is the inode with its times: device numbers differ between mounts of one export. `now_ns` is the
  coordinator's clock, so that times in the future are judged alike everywhere.
"""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import msgspec

from sweeper_gui.core.workspace import Identity
from sweeper_gui.storage.attempts import BACK_OFF, words_for
from sweeper_gui.storage.control import Control, SweepDirectory
from sweeper_gui.storage.discover import Discovery, discover
from sweeper_gui.storage.queue import Impact, WorkPool
from sweeper_gui.storage.remove import Removal, remove
from sweeper_gui.storage.walk import Counters

_Id = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")]


class Order(msgspec.Struct, frozen=True):
    """Which tree is to be removed, and on which evidence.

    It is `number` of the sweep `sweep_id` in the control directory `control`, whose inode is `control_inode`. `inode`
    and the times (nanoseconds) are those that it was set aside on: `mtime_ns` the top's, `newest_change_ns` the whole
    tree's. `begun` says that its removal had begun before: it lies in `removing/`, and its times count no more.
    `fullest` is as for `discover`, `back_off` are the seconds between attempts; the rest is how hard the volume may be
    pressed (see `WorkPool`), for who has no pool yet.
    """

    control: bytes
    control_inode: int
    sweep_id: _Id
    number: Annotated[int, msgspec.Meta(ge=0)]
    inode: int
    mtime_ns: int
    newest_change_ns: int
    now_ns: int
    begun: bool = False
    fullest: int = 0
    back_off: tuple[float, ...] = tuple(BACK_OFF)
    control_group: int | None = None
    max_in_flight: int = 64
    impact: Impact = Impact.BALANCED
    max_ops_per_second: float | None = None

    @property
    def entry(self) -> bytes:
        """Its name in `whole/` or `removing/`."""
        return str(self.number).encode()


class Found(msgspec.Struct, frozen=True, tag=True):
    """What is about to be removed: so many entries below the top, so many bytes, and the directories right in it."""

    entries: int
    allocated: int
    children: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, discovery: Discovery) -> "Found":
        """What a discovery without a doubt has found."""
        assert discovery.top is not None
        return cls(discovery.entries, discovery.allocated, tuple(child.name for child in discovery.top.children))


class Carried(msgspec.Struct, frozen=True):
    """How an order ended. `removal` is None where nothing was removed.

    `doubt` says then why the tree must not be, and `failure` what went wrong; neither where the answer was no.
    """

    removal: Removal | None = None
    doubt: str = ""
    failure: str = ""


#: Asked right before the first unlink, in a thread of the pool. After a yes the tree lies in `removing/`.
Ask = Callable[[Found], bool]


def carry_out(
    order: Order,
    directory: SweepDirectory,
    pool: WorkPool,
    ask: Ask,
    *,
    cancel: threading.Event,
    counters: Counters | None = None,
    on_done: Callable[[Carried], None],
) -> None:
    """Discovers the tree, asks, and removes it. `directory` is its sweep's, open.

    Returns at once; `on_done` is called exactly once, from a thread of the pool, unless this raises. A cancel takes
    effect before the next entry.
    """

    def discovered(found: Discovery) -> None:
        carried = begun(found)
        if carried is not None:
            on_done(carried)

    def begun(found: Discovery) -> Carried | None:
        """None where the removal runs and will tell how it ended."""
        if not found.ok:
            return Carried(doubt=found.reason)
        try:
            if not ask(Found.of(found)):
                return Carried()
            remove(
                pool, directory.removing, order.entry, found, cancel=cancel, counters=counters,
                on_done=lambda removal: on_done(Carried(removal)), back_off=order.back_off,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - nobody else hears of it, and the order would never end
            words = words_for(error) if isinstance(error, OSError) else str(error)
            return Carried(failure=words or type(error).__name__)
        return None

    known = Identity(os.fstat(directory.descriptor).st_dev, order.inode, order.mtime_ns, 0)
    discover(
        pool,
        directory.removing if order.begun else directory.whole,
        order.entry,
        evidence_newest_ns=None if order.begun else order.newest_change_ns,
        evidence_identity=known,
        now_ns=order.now_ns,
        cancel=cancel,
        on_done=discovered,
        back_off=order.back_off,
        fullest=order.fullest,
    )


def carry_out_here(order: Order, ask: Ask, cancel: threading.Event) -> Carried:
    """Carries an order out in a process that has nothing open, on a pool of its own; returns when it has ended.

    Raises `VolumeError` where the control directory is not the one that is meant, and OSError where it, or the sweep in
    it, can't be opened. Nothing has been touched then.
    """
    ended = threading.Event()
    carried: list[Carried] = []

    def done(how: Carried) -> None:
        carried.append(how)
        ended.set()

    with (
        Control.open_at(order.control, order.control_inode, order.control_group) as control,
        control.open_sweep(order.sweep_id) as directory,
        closing(WorkPool(order.max_in_flight, order.impact, order.max_ops_per_second)) as pool,
    ):
        carry_out(order, directory, pool, ask, cancel=cancel, on_done=done)
        ended.wait()
    return carried[0]
