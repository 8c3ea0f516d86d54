"""The questions that are asked again, each time anew, before something is changed."""

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.plan import Candidate
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.usage import MAX_CHILD_NAMES, Usage
from sweeper_gui.core.verdict import Doubt, Status, Verdict, judge
from sweeper_gui.core.workspace import Identity, Kind, Workspace
from sweeper_gui.storage.listing import with_attributes
from sweeper_gui.storage.measure import measure_now
from sweeper_gui.storage.order import Found
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Evidence
from sweeper_gui.sweep.ground import Facts
from sweeper_gui.sweep.log import Intent
from sweeper_gui.sweep.words import words_of

#: Stands where `judge` wants to know that an entry has been looked at; its values are not judged.
_NOT_JUDGED = Identity(0, 0, 0, 0)


class Rechecked(msgspec.Struct, frozen=True):
    """A candidate as it is now, or why it is not touched."""

    candidate: Candidate
    problem: str = ""


def measured_anew(evidence: Evidence, candidate: Candidate) -> Rechecked:
    """The candidate with a usage that is young enough for a sweep: the one shown, or one measured now that agrees.

    Its unsaved work is told anew with it, and the recheck refuses it where that is no longer what was shown. May take
    as long as measuring takes, so it comes before the registry is asked.
    """
    usage = candidate.usage
    if evidence.now().host - usage.measured_at <= evidence.ground.policy.max_usage_age / 2:
        return Rechecked(candidate)
    try:
        with evidence.ground.volume.parent_of(candidate.name) as parent:
            measured = measure_now(
                evidence.ground.pool,
                parent,
                candidate.workspace.basename,
                now_ns=int(evidence.now().host * 1e9),
                cancel=evidence.ground.cancel,
                repository_seconds=evidence.ground.settings.policy.unsaved_work_budget,
            ).usage
    except (OSError, VolumeError) as error:
        return Rechecked(candidate, words_of(error))
    agrees = (measured.newest_change_ns, measured.entries) == (usage.newest_change_ns, usage.entries)
    if not measured.complete or not agrees:
        return Rechecked(candidate, "it has changed since it was measured")
    return Rechecked(msgspec.structs.replace(candidate, usage=measured))


def recheck(evidence: Evidence, candidate: Candidate, snapshot: Snapshot, facts: Facts) -> str:
    """Why a candidate, in its place, is no longer what was shown: directory, state and verdict; '' if it is."""
    volume = evidence.ground.volume
    try:
        with evidence.ground.operation():
            seen = with_attributes(volume, candidate.workspace, fresh=True)
    except (OSError, VolumeError) as error:
        return words_of(error)
    if seen.kind is not Kind.DIRECTORY:
        return f"it is a {seen.kind} now"
    shown, found = candidate.workspace.identity, seen.identity
    if shown is None or found is None or not found.same_inode(shown):
        return "another directory has taken its name since it was shown"
    if not found.same_as(shown):
        return "it has changed since it was shown"
    if seen.id != volume.id_of(candidate.name):
        return "its id is not what the pattern says"
    workspace = facts.about(seen, volume.root)
    policy = evidence.ground.policy
    verdict = judge(workspace, candidate.usage, snapshot, policy, evidence.now(), allow_empty=evidence.allow_empty)
    return difference(candidate.verdict, verdict)


def difference(shown: Verdict, found: Verdict) -> str:
    """Why the verdict found now forbids what the shown one allowed; empty where it does not."""
    if found.status is not Status.ORPHAN:
        return f"no orphan any more ({found.status}): {found.reason}"
    if set(found.doubts) != set(shown.doubts):
        return f"its doubts are others than shown: {found.reason}"
    return ""


def judge_set_aside(
    evidence: Evidence,
    name: bytes,
    intent: Intent,
    snapshot: Snapshot,
    *,
    used_by: str | None,
    found: Found | None = None,
) -> Verdict:
    """The verdict over a tree that lies in the trash, on the evidence that its log holds and the discovery, if any.

    Its age was judged when it was set aside: a change since then is the discovery's to find. So is unsaved work: what
    a repository holds is in its files alone, whose times the discovery has compared with the evidence, so it holds now
    what it held then. The doubt is carried on in the intent, and nothing need be read for it again, before a purge or
    a resumed removal either. One whose removal has begun is no repository any more.
    """
    volume = evidence.ground.volume
    workspace = Workspace(name, Kind.DIRECTORY, id=volume.id_of(name), identity=_NOT_JUDGED, used_by=used_by)
    children = tuple(map(visible, found.children)) if found else ()
    usage = Usage(
        allocated=intent.allocated,
        apparent=0,
        entries=intent.entries,
        directories=0,
        newest_change_ns=intent.newest_change_ns,
        newest_ctime_ns=intent.newest_change_ns,
        measured_at=evidence.now().host,
        child_directories=children[:MAX_CHILD_NAMES],
        children_cut=len(children) > MAX_CHILD_NAMES,
        unsaved_work=("as it was found when it was set aside",) if Doubt.UNSAVED_WORK in intent.doubts else (),
    )
    policy = evidence.ground.policy
    ageless = msgspec.structs.replace(policy, min_age=0.0)
    verdict = judge(workspace, usage, snapshot, ageless, evidence.now(), allow_empty=evidence.allow_empty)
    session = snapshot.sessions.get(workspace.id or "")
    if verdict.orphan and session is not None and session.deleted_at is not None:
        deleted_for = evidence.now().earlier - session.deleted_at
        if not deleted_for >= policy.min_age:  # not a number is not old enough either
            return Verdict(Status.RECENT, "its session was deleted a short time ago, after it had been set aside")
    return verdict
