"""What a front end and the engine say to each other.

A front end sends a request and gets one reply at once, always: nothing here waits for the volume. Work runs as jobs;
what they find is fetched with `Poll`, which returns everything that changed since the last one. So progress is pulled
at the front end's pace, a slow front end is never flooded, and each direction carries one message at a time.

Version `PROTOCOL` is checked by `Open`. Encoded with msgpack, framed by a 4-byte big-endian length.
"""

from typing import Literal

import msgspec

from sweeper_gui.core.audit import HistoryFilter, PastSweep, Proposal
from sweeper_gui.core.outcome import Outcome, Report, TrashItem
from sweeper_gui.core.plan import Plan
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.core.row import Row

PROTOCOL = 1

#: How a job or a request failed; the command line's exit codes follow from it (2, 3, 4, 1, 130).
FailureKind = Literal["usage", "untrusted", "locked", "failed", "cancelled"]


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why something was not done, in a sentence, and what to do about it."""

    kind: FailureKind
    message: str
    hint: str = ""


# --- requests -------------------------------------------------------------------------------------------------------


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first request: the settings, as `Settings.to_wire` wrote them. Replied with `Opened`, checks nothing."""

    settings: bytes
    protocol: int = PROTOCOL


class Poll(msgspec.Struct, frozen=True, tag=True):
    """Asks what changed since the last poll; replied with `Update`. At most `max_rows` rows come at once."""

    max_rows: int = 1_000


class Scan(msgspec.Struct, frozen=True, tag=True):
    """List the volume, read the registry, and measure, what is already measured too unless `only_new`.

    Rows come with the polls. Result: None.
    """

    measure: bool = True
    only_new: bool = False


class ReadRegistry(msgspec.Struct, frozen=True, tag=True):
    """Read the registry again and judge all rows anew. Result: None."""


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Make a plan; measures what it needs. Needs a listing: makes one if there is none. Result: `Planned`.

    Refused while something changes the volume, and nothing may change it while a plan is made.
    """

    request: SweepRequest


class SavePlan(msgspec.Struct, frozen=True, tag=True):
    """Write a plan that was made to a file, so that somebody else can sweep it. Result: `PlanSaved`.

    `digest` is the plan's as it was shown, `path` absolute, or '' for no file: its content is told then. Writes nothing
    on the volume.
    """

    plan: Plan
    digest: str
    path: str
    ticket: str = ""
    overwrite: bool = False


class OpenPlan(msgspec.Struct, frozen=True, tag=True):
    """Make a plan of what a plan file proposes and what is still as it says. Result: `Planned`, with the proposal.

    Refused like `Prepare`, and where the file is damaged, too old, or for another volume or registry.
    """

    path: str


class Sweep(msgspec.Struct, frozen=True, tag=True):
    """Run a plan that a person confirmed. `digest` is the plan's as it was shown. Result: `Swept`.

    `proposed` is the digest of the plan file that it came from, which this engine has opened; '' where from none.
    """

    plan: Plan
    digest: str
    dry_run: bool = False
    impact: str | None = None
    ticket: str = ""
    proposed: str = ""


class ListTrash(msgspec.Struct, frozen=True, tag=True):
    """What is set aside or unfinished. Result: `Trash`."""


class Restore(msgspec.Struct, frozen=True, tag=True):
    """Put set-aside workspaces back in their place: the latest of each name, or these very items. Result: `Swept`.

    `items` are sweep ids and numbers, as `TrashItem` has them; where they are given, exactly these.
    """

    names: tuple[bytes, ...] = ()
    items: tuple[tuple[str, int], ...] = ()
    ticket: str = ""


class Purge(msgspec.Struct, frozen=True, tag=True):
    """Remove set-aside workspaces for good: these names, these items, or all older than so many seconds.

    One of the three must be given, and each that is given must hold. `items` are what a person confirmed, as in
    `Restore`. Ones with unsaved work are purged only by name. Result: `Swept`.
    """

    names: tuple[bytes, ...] = ()
    older_than: float | None = None
    items: tuple[tuple[str, int], ...] = ()
    ticket: str = ""


class Resume(msgspec.Struct, frozen=True, tag=True):
    """Finish what a sweep left half done: all of it, or these items, as in `Restore`. Result: `Swept`."""

    ticket: str = ""
    items: tuple[tuple[str, int], ...] | None = None


class ReadHistory(msgspec.Struct, frozen=True, tag=True):
    """Past sweeps, the newest first: those that are asked for, a page of them. Result: `History`.

    `before` is the `more` of the page before.
    """

    wanted: HistoryFilter = HistoryFilter()
    before: str = ""


class Bind(msgspec.Struct, frozen=True, tag=True):
    """Bind the volume to the configured registry and accept what it says now. Result: `Message`."""


class Diagnose(msgspec.Struct, frozen=True, tag=True):
    """Check the whole set-up. Result: `Diagnosis`."""


class Pin(msgspec.Struct, frozen=True, tag=True):
    """Mark a workspace to be kept, or take the mark away. Replied with `Done`."""

    name: bytes
    pinned: bool


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop a job at its next entry, or all with None. Replied with `Done`."""

    job: int | None = None


class SetImpact(msgspec.Struct, frozen=True, tag=True):
    """Change the impact of what is running. Replied with `Done`."""

    impact: str


Request = (
    Open
    | Poll
    | Scan
    | ReadRegistry
    | Prepare
    | SavePlan
    | OpenPlan
    | Sweep
    | ListTrash
    | Restore
    | Purge
    | Resume
    | ReadHistory
    | Bind
    | Diagnose
    | Pin
    | Cancel
    | SetImpact
)

# --- replies --------------------------------------------------------------------------------------------------------


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The engine is ready."""

    version: str
    pid: int
    protocol: int = PROTOCOL


class Started(msgspec.Struct, frozen=True, tag=True):
    """The request runs as this job."""

    job: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """The request has been carried out."""


# --- results of jobs ------------------------------------------------------------------------------------------------


class Trash(msgspec.Struct, frozen=True, tag=True):
    """What is set aside or unfinished, and where."""

    items: tuple[TrashItem, ...]
    path: str


class History(msgspec.Struct, frozen=True, tag=True):
    """Past sweeps, the newest first. `more` is where the next page goes on; '' where there is none.

    `problem` is why only the logs in the local state could be read, '' where the volume's could.
    """

    sweeps: tuple[PastSweep, ...]
    more: str = ""
    problem: str = ""


class Message(msgspec.Struct, frozen=True, tag=True):
    """A sentence for the user."""

    text: str


class Check(msgspec.Struct, frozen=True):
    """One line of a diagnosis."""

    title: str
    state: Literal["ok", "warning", "error"]
    detail: str
    mend: str = ""


class Diagnosis(msgspec.Struct, frozen=True, tag=True):
    """What `sweeper doctor` shows."""

    checks: tuple[Check, ...]


class Planned(msgspec.Struct, frozen=True, tag=True):
    """A plan, ready to be confirmed; `proposal` tells whose it is where it came from a file, `own` that it is ours."""

    plan: Plan
    proposal: Proposal | None = None
    own: bool = False


class PlanSaved(msgspec.Struct, frozen=True, tag=True):
    """The plan file has been written to this path, or is this content where no path was given."""

    path: str
    content: bytes = b""


class Swept(msgspec.Struct, frozen=True, tag=True):
    """The report of a sweep, restore, purge or resume."""

    report: Report


class Finished(msgspec.Struct, frozen=True):
    """A job has ended, with its result or a failure; `Done` where there is nothing to say."""

    job: int
    result: Failure | Done | Trash | History | Message | Diagnosis | Planned | PlanSaved | Swept


# --- updates --------------------------------------------------------------------------------------------------------


class VolumeState(msgspec.Struct, frozen=True):
    """The volume as last seen. Bytes; `total` and `free` are None where the file system reports no real figure."""

    root: str
    control_dir: str = ""
    fs_type: str = ""
    source: str = ""
    total: int | None = None
    free: int | None = None
    network: bool = False
    read_only: bool = False
    #: by how many seconds the volume's clock was ahead of the host's at the last run, None before one
    clock_skew: float | None = None
    warnings: tuple[str, ...] = ()
    #: why the volume can't be listed
    error: str = ""
    #: unfinished and expired things in the trash
    unfinished: int = 0
    expired: int = 0
    set_aside: int = 0


class SourceState(msgspec.Struct, frozen=True):
    """One registry as last read."""

    shown: str
    sessions: int
    error: str = ""
    hint: str = ""


class RegistryState(msgspec.Struct, frozen=True):
    """The registry as last read, and how it matches the volume both ways."""

    sources: tuple[SourceState, ...]
    read_at: float | None = None
    trusted: bool = False
    problems: tuple[str, ...] = ()
    directories: int = 0
    matched_live: int = 0
    matched_deleted: int = 0
    unmatched_directories: int = 0
    sessions_without_directory: int = 0


class ScanProgress(msgspec.Struct, frozen=True):
    """How far listing and measuring are. `phase` is one of listing, measuring, done, cancelled, failed."""

    phase: Literal["listing", "measuring", "done", "cancelled", "failed"]
    listed: int = 0
    to_measure: int = 0
    measured: int = 0
    entries: int = 0
    seconds: float = 0.0


class TreeProgress(msgspec.Struct, frozen=True):
    """One workspace that is being swept. `step` is one of waiting, set-aside, checking, removing, done."""

    name: bytes
    step: Literal["waiting", "set-aside", "checking", "removing", "done"]
    entries_total: int = 0
    entries_removed: int = 0
    bytes_freed: int = 0


class SweepProgress(msgspec.Struct, frozen=True):
    """How far a sweep, purge or resume is. `entries_total` is what the measuring counted for those begun and planned.

    `rate` is entries per second over the last seconds, `seconds_left` an estimate or None. `limit` is how many
    operations may be in flight now, `latency` what one that reaches the volume usually takes: seconds, or 0.0.
    """

    job: int
    step: str
    trees: tuple[TreeProgress, ...] = ()
    planned: int = 0
    finished: int = 0
    entries_total: int = 0
    entries_removed: int = 0
    bytes_freed: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    seconds: float = 0.0
    cancelling: bool = False
    in_flight: int = 0
    limit: int = 0
    latency: float = 0.0


class Update(msgspec.Struct, frozen=True, tag=True):
    """What changed since the last poll. `more` says that further rows wait: poll again at once.

    `gone` names rows that are no longer on the volume. `sweep` comes while a run is under way, and a last time with
    its end.
    `stalled` is for how many seconds nothing on the volume has completed while something was under way.
    """

    rows: tuple[Row, ...] = ()
    gone: tuple[bytes, ...] = ()
    more: bool = False
    volume: VolumeState | None = None
    registry: RegistryState | None = None
    scan: ScanProgress | None = None
    sweep: SweepProgress | None = None
    outcomes: tuple[Outcome, ...] = ()
    finished: tuple[Finished, ...] = ()
    stalled: float = 0.0


Reply = Opened | Started | Done | Update | Failure
