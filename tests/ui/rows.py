"""Rows as an engine would send them: made by the real judge from workspaces, usages and a snapshot."""

import random
import time

from sweeper_gui.core.policy import Now, Policy
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import RegistryIdentity, RegistryRead, Session, Snapshot, examine
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import judge
from sweeper_gui.core.workspace import Identity, Kind, Workspace

DAY = 86_400.0
#: one moment for all rows: the same words make the same row
NOW = time.time()
POLICY = Policy(protect=("demo-*",))

_ADJECTIVES = (
    "brave",
    "calm",
    "eager",
    "fancy",
    "happy",
    "keen",
    "lucid",
    "mellow",
    "nimble",
    "proud",
    "quiet",
    "swift",
)
_ANIMALS = ("otter", "heron", "lynx", "panda", "raven", "shark", "tiger", "viper", "whale", "yak", "zebra", "newt")
_OWNERS = ("octocat", "hubot", "mlopez", "s.ito", "kwame", "anna-b", "drivebot", "ravi")
_TASKS = (
    "Fix the flaky login test",
    "Upgrade to Postgres 17",
    "Why is the build slow?",
    "Draft the release notes",
    "Port the parser to Rust",
    "Investigate OOM in worker",
    "Add an export to CSV",
    "Clean up feature flags",
)


def workspace(
    name: bytes, *, inode: int = 1, changed: float = 0.0, kind: Kind = Kind.DIRECTORY, **facts: object
) -> Workspace:
    """A directory whose id is its name."""
    moment = int((changed or NOW - 30 * DAY) * 1e9)
    text = name.decode("utf-8", "replace")
    return Workspace(
        name=name,
        kind=kind,
        id=text if text.isascii() and " " not in text else None,
        identity=Identity(7, inode, moment, moment),
        **facts,  # type: ignore[arg-type]
    )


def usage(size: int, entries: int = 100, *, changed: float | None = None, complete: bool = True) -> Usage:
    """What a scan measured just now."""
    moment = int((changed if changed is not None else NOW - 30 * DAY) * 1e9)
    return Usage(
        allocated=size,
        apparent=int(size * 0.93),
        entries=entries,
        directories=max(1, entries // 12),
        newest_change_ns=moment,
        newest_ctime_ns=moment,
        measured_at=NOW,
        complete=complete,
        error_count=0 if complete else 3,
        errors=() if complete else ("cache/private: Permission denied",),
    )


def snapshot(sessions: list[Session], directory_ids: list[str], **read: object) -> Snapshot:
    """An examined read of one registry."""
    now = NOW
    one = RegistryRead(
        RegistryIdentity("postgresql", "db", 5432, "collab"),
        "postgresql://db/collab",
        started_at=now - 1,
        finished_at=now,
        sessions=tuple(sessions),
        **read,  # type: ignore[arg-type]
    )
    return examine(Snapshot((one,)), directory_ids)


def judged(space: Workspace, used: Usage | None, snap: Snapshot | None) -> Row:
    """The row of a workspace, judged by the real rules."""
    session = snap.sessions.get(space.id) if snap is not None and space.id is not None else None
    return Row(space, judge(space, used, snap, POLICY, Now(NOW)), used, session)


def orphan(
    name: bytes = b"orphan", size: int = 1_000, *, inode: int = 1, explained: bool = True, **kinds: float
) -> Row:
    """An orphan, explained by a deleted session or doubtful."""
    age = kinds.get("age", 30 * DAY)
    changed = NOW - age
    space = workspace(name, inode=inode, changed=changed)
    sessions = [Session("other-live"), Session("known", deleted=True)]
    if explained:
        sessions.append(Session(space.id or "", True, "A task", "octocat", changed, changed + DAY))
    return judged(
        space,
        usage(size, int(kinds.get("entries", 100)), changed=changed),
        snapshot(sessions, ["known", space.id or ""]),
    )


def live(name: bytes = b"live", size: int = 1_000, *, inode: int = 2) -> Row:
    """A workspace with a live session."""
    space = workspace(name, inode=inode)
    return judged(
        space, usage(size), snapshot([Session(space.id or "", False, "Live task", "hubot")], [space.id or ""])
    )


def unmeasured(row: Row) -> Row:
    """The same row before it was measured."""
    sessions = [row.session] if row.session is not None else []
    known = row.workspace.id or ""
    return judged(row.workspace, None, snapshot([*sessions, Session("known", True)], ["known", known]))


def realistic_rows(count: int, seed: int = 1) -> list[Row]:
    """A volume as it may be found: mostly live and orphaned sessions, with some of everything else."""
    dice = random.Random(seed)
    spaces: list[tuple[Workspace, Usage]] = []
    sessions: list[Session] = []
    for number in range(count):
        name = f"{dice.choice(_ADJECTIVES)}-{dice.choice(_ANIMALS)}-{number:04x}"
        age = dice.uniform(1.5, 160) * DAY
        fate = dice.random()
        if fate < 0.08:
            age = dice.uniform(0.01, 0.9) * DAY
        if fate > 0.975:
            name = f"demo-{name}"
        changed = NOW - age
        owner, title = dice.choice(_OWNERS), dice.choice(_TASKS)
        if fate < 0.55:
            sessions.append(Session(name, False, title, owner, changed - 5 * DAY))
        elif fate < 0.86:
            sessions.append(
                Session(name, True, title, owner, changed - 5 * DAY, changed + dice.uniform(0, 1) * min(DAY, age))
            )
        used_by = "node (pid 4711) has its working directory inside" if 0.93 < fate < 0.945 else None
        space = workspace(name.encode(), inode=1000 + number, changed=changed, used_by=used_by)
        size = int(dice.lognormvariate(20.2, 1.1))
        spaces.append((space, usage(size, max(3, int(size / 28_000)), changed=changed, complete=dice.random() > 0.015)))
    spaces.append((workspace(b"lost+found", inode=11, changed=NOW - 300 * DAY), usage(16_384, 0)))
    spaces.append((workspace(b"notes.txt", inode=12, kind=Kind.FILE), usage(4_096, 0)))
    sessions += [Session(f"gone-{number}", True) for number in range(40)] + [
        Session("archived-1"),
        Session("archived-2"),
    ]
    known = snapshot(sessions, [space.id for space, _ in spaces if space.id])
    return [judged(space, used, known) for space, used in spaces]
