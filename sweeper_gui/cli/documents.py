"""The JSON documents that scripts depend on. Sizes are bytes, times ISO 8601 in UTC, missing facts null."""

import base64
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sweeper_gui.cli.compare import Compared
from sweeper_gui.core.audit import PastEvidence, PastSweep, PastWorkspace, Proposal, Who
from sweeper_gui.core.names import stored
from sweeper_gui.core.outcome import Outcome, Report, TrashItem
from sweeper_gui.core.row import Row
from sweeper_gui.core.units import utc_text
from sweeper_gui.engine.messages import Check, RegistryState, Trash, VolumeState

if TYPE_CHECKING:
    from sweeper_gui.engine.heartbeat import Lateness

SCHEMA = 1

Document = dict[str, Any]


def text_of(document: Document) -> str:
    """The document as text. Only ASCII, so that no name in it can do anything to a terminal."""
    return json.dumps(document, indent=2, ensure_ascii=True)


def listing(rows: Iterable[Row], volume: VolumeState, registry: RegistryState | None) -> Document:
    """`sweeper list`."""
    return {
        "schema": SCHEMA,
        "volume": _volume(volume),
        "registry": _registry(registry),
        "workspaces": [_workspace(row, volume.root) for row in rows],
    }


def comparison(compared: Iterable[Compared]) -> list[Document]:
    """What `sweeper list --compare` adds to the listing."""
    return [
        {
            **_name(one.name),
            "verdict": one.verdict,
            "status": one.status,
            "reason": one.reason,
            "doubts": list(one.doubts),
        }
        for one in compared
    ]


def report(done: Report) -> Document:
    """`sweeper sweep`, `restore`, `purge` and `resume`."""
    return {
        "schema": SCHEMA,
        "sweep_id": done.sweep_id,
        "dry_run": done.dry_run,
        "ending": done.ending,
        "problem": done.problem,
        "outcomes": [_outcome(outcome) for outcome in done.outcomes],
        "untouched": [_name(name) for name in done.untouched],
        "remaining_orphans": done.remaining_orphans,
        "bytes_freed": done.bytes_freed,
        "seconds": round(done.seconds, 3),
        "notes": list(done.notes),
    }


def trash(found: Trash) -> Document:
    """`sweeper trash`."""
    return {"schema": SCHEMA, "path": found.path, "items": [_trash_item(item) for item in found.items]}


def history(sweeps: Iterable[PastSweep]) -> Iterator[str]:
    """`sweeper history`, in pieces: a volume may have years of it."""
    yield f'{{\n  "schema": {SCHEMA},\n  "sweeps": ['
    between = "\n"
    for sweep in sweeps:
        yield between + textwrap.indent(text_of(_past_sweep(sweep)), "    ")
        between = ",\n"
    yield "\n  ]\n}\n"


def diagnosis(checks: Sequence[Check], late: "Lateness | None" = None) -> Document:
    """`sweeper doctor`; `event_loop` says how late one was on this host, null where nothing could be checked."""
    loop = None
    if late is not None:
        loop = {
            "p99_ms": round(late.p99 * 1e3, 1),
            "max_ms": round(late.max * 1e3, 1),
            "beats": late.beats,
            "seconds": round(late.seconds, 1),
        }
    return {
        "schema": SCHEMA,
        "checks": [
            {"title": check.title, "state": check.state, "detail": check.detail, "mend": check.mend} for check in checks
        ],
        "event_loop": loop,
    }


def time_text(seconds: float | None) -> str | None:
    """'2026-11-24T08:02:11Z'; None for a time that no calendar has."""
    return None if seconds is None else utc_text(seconds) or None


def _name(name: bytes) -> Document:
    text, raw = stored(name)
    return {"name": text} if raw is None else {"name": text, "name_bytes": base64.b64encode(raw).decode("ascii")}


def _workspace(row: Row, root: str) -> Document:
    usage, session = row.usage, row.session
    text, _ = stored(row.name)
    return {
        "id": row.workspace.id,
        **_name(row.name),
        "path": f"{root.rstrip('/')}/{text}",
        "status": row.status,
        "reason": row.verdict.reason,
        "doubts": list(row.verdict.doubts),
        "size_bytes": usage.allocated if usage else None,
        "apparent_bytes": usage.apparent if usage else None,
        "entries": usage.entries if usage else None,
        "complete": usage.complete if usage else None,
        "newest_change": time_text(usage.newest_change_ns // 10**9) if usage else None,
        "owner": session.owner if session else None,
        "title": session.title if session else None,
    }


def _volume(volume: VolumeState) -> Document:
    return {
        "root": volume.root,
        "control_dir": volume.control_dir,
        "fs_type": volume.fs_type,
        "source": volume.source,
        "total_bytes": volume.total,
        "free_bytes": volume.free,
        "network": volume.network,
        "read_only": volume.read_only,
        "clock_skew": volume.clock_skew,
        "warnings": list(volume.warnings),
        "error": volume.error,
        "set_aside": volume.set_aside,
        "unfinished": volume.unfinished,
        "expired": volume.expired,
    }


def _registry(registry: RegistryState | None) -> Document | None:
    if registry is None:
        return None
    return {
        "sources": [
            {"source": source.shown, "sessions": source.sessions, "error": source.error, "hint": source.hint}
            for source in registry.sources
        ],
        "read_at": time_text(registry.read_at),
        "trusted": registry.trusted,
        "problems": list(registry.problems),
        "directories": registry.directories,
        "matched_live": registry.matched_live,
        "matched_deleted": registry.matched_deleted,
        "unmatched_directories": registry.unmatched_directories,
        "sessions_without_directory": registry.sessions_without_directory,
    }


def _outcome(outcome: Outcome) -> Document:
    return {
        **_name(outcome.name),
        "outcome": outcome.result,
        "reason": outcome.reason,
        "entries_removed": outcome.entries_removed,
        "bytes_freed": outcome.bytes_freed,
        "error_count": outcome.error_count,
        "errors": list(outcome.errors),
    }


def _trash_item(item: TrashItem) -> Document:
    return {
        **_name(item.name),
        "sweep_id": item.sweep_id,
        "number": item.number,
        "state": item.state,
        "set_aside_at": time_text(item.set_aside_at),
        "expires_at": time_text(item.expires_at),
        "by": item.by,
        "size_bytes": item.allocated,
        "entries": item.entries,
        "reason": item.reason,
        "doubts": list(item.doubts),
        "unfinished": item.unfinished,
        "problem": item.problem,
    }


def _past_sweep(sweep: PastSweep) -> Document:
    return {
        "sweep_id": sweep.sweep_id,
        "kind": sweep.kind,
        "started_at": time_text(sweep.started_at) if sweep.who else None,
        "ended_at": time_text(sweep.ended_at),
        "ending": sweep.ending,
        "who": _who(sweep.who),
        "ticket": sweep.ticket,
        "proposed": _proposal(sweep.proposal),
        "root": sweep.root,
        "registry": sweep.registry,
        "options": sweep.options,
        "clock_skew": sweep.clock_skew,
        "version": sweep.version,
        "problem": sweep.problem,
        "notes": list(sweep.notes),
        "outcomes": [_past_workspace(workspace) for workspace in sweep.workspaces],
    }


def _who(who: Who | None) -> Document | None:
    if who is None:
        return None
    return {
        "person": who.person,
        "login": who.login,
        "sudo_user": who.sudo_user,
        "audit_user": who.audit_user,
        "host": who.host,
        "pid": who.pid,
    }


def _proposal(proposal: Proposal | None) -> Document | None:
    if proposal is None:
        return None
    by = _who(proposal.by)
    return {"who": by, "at": time_text(proposal.at), "ticket": proposal.ticket, "digest": proposal.digest}


def _past_workspace(workspace: PastWorkspace) -> Document:
    outcome = workspace.outcome
    told = {**_name(workspace.name), "outcome": None} if outcome is None else _outcome(outcome)
    return {**told, "evidence": _evidence(workspace.evidence)}


def _evidence(evidence: PastEvidence | None) -> Document | None:
    if evidence is None:
        return None
    return {
        "number": evidence.number,
        "set_aside_by": evidence.source or None,
        "id": evidence.id,
        "reason": evidence.reason,
        "doubts": list(evidence.doubts),
        "treatment": evidence.treatment,
        "size_bytes": evidence.allocated,
        "entries": evidence.entries,
        "newest_change": time_text(evidence.newest_change),
        "inode": evidence.inode,
        "registry_read_at": time_text(evidence.registry_read_at),
        "set_aside_at": time_text(evidence.set_aside_at),
        "confirmed_read_at": time_text(evidence.confirmed_read_at),
        "removal_at": time_text(evidence.removal_at),
        "restored_at": time_text(evidence.restored_at),
    }
