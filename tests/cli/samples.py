"""Rows, plans and the like, as an engine would tell them."""

from sweeper_gui.core.outcome import TrashItem, TrashState
from sweeper_gui.core.plan import Plan, Request, make_plan
from sweeper_gui.core.policy import Policy
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import Session
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Doubt, Status, Verdict
from sweeper_gui.core.workspace import Identity, Kind, Workspace
from sweeper_gui.engine.messages import RegistryState, SourceState, VolumeState

#: 2026-11-24T08:02:11Z
NOW = 1_795_507_331
#: A name that tries to clear the screen and to turn what follows around, with a byte that is no UTF-8.
EVIL = b"evil\x1b[2J\xe2\x80\xae[red]\xff"

VOLUME = VolumeState(
    root="/mnt/efs", fs_type="nfs4", source="127.0.0.1:/", control_dir="/mnt/.sweeper-efs", network=True
)
REGISTRY = RegistryState(
    sources=(SourceState("sqlite:////srv/collab.db", 115),),
    read_at=NOW - 8,
    trusted=True,
    directories=174,
    matched_live=112,
    matched_deleted=25,
    unmatched_directories=37,
    sessions_without_directory=3,
)


def row(
    name: bytes = b"6f1c9a52-0f0e-4c7b-9d51-2f4a35a1b2c3",
    status: Status = Status.ORPHAN,
    *,
    reason: str = "session deleted 3 Oct, owner octocat; last change 12 days ago",
    doubts: tuple[Doubt, ...] = (),
    usage: Usage | None = None,
    session: Session | None = None,
) -> Row:
    workspace = Workspace(name, Kind.DIRECTORY, id="6f1c9a52", identity=Identity(1, 2, 3, 4))
    return Row(workspace, Verdict(status, reason, doubts), usage or measured(), session)


def measured(size: int = 1_500_000_000, *, complete: bool = True) -> Usage:
    changed_ns = (NOW - 12 * 86_400 - 1) * 10**9 + 999_999_999
    return Usage(size, size - 1, 48_123, 900, changed_ns, changed_ns, measured_at=NOW - 5, complete=complete)


def plan(*rows: Row, request: Request | None = None) -> Plan:
    return make_plan(rows, request or Request(cap=10), Policy())


def trash_item(name: bytes = b"w1", **facts: object) -> TrashItem:
    known: dict[str, object] = {
        "sweep_id": "20261124T080000Z-1",
        "number": 1,
        "name": name,
        "state": TrashState.WHOLE,
        "set_aside_at": float(NOW - 3_600),
        "expires_at": float(NOW + 6 * 86_400),
        "by": "amelie",
        "allocated": 1_500_000_000,
        "entries": 48_123,
        "reason": "no session of this id",
    }
    return TrashItem(**(known | facts))  # type: ignore[arg-type]
