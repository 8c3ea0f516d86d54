"""The questions that are asked again, each time anew, before something is changed."""

import msgspec

from sweeper_gui.core.plan import Candidate
from sweeper_gui.core.policy import Policy
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Status, Verdict, judge
from sweeper_gui.core.workspace import Identity, Kind, Workspace
from sweeper_gui.storage.listing import with_attributes
from sweeper_gui.storage.measure import measure_now
from sweeper_gui.sweep.evidence import Evidence
from sweeper_gui.sweep.ground import Facts
from sweeper_gui.sweep.log import Intent

#: Stands where `judge` wants to know that an entry has been looked at; its values are not judged.
_NOT_JUDGED = Identity(0, 0, 0, 0)


class Rechecked(msgspec.Struct, frozen=True):
    """A candidate as it is now, or why it is not touched."""

    candidate: Candidate
    problem: str = ""


def recheck(evidence: Evidence, candidate: Candidate, snapshot: Snapshot, facts: Facts) -> Rechecked:
    """Whether a candidate, in its place, still is what was shown: same directory, same state, same verdict."""
    try:
        with evidence.ground.pool.operation():
            seen = with_attributes(evidence.ground.volume, candidate.workspace)
    except FileNotFoundError:
        return Rechecked(candidate, "it is gone")
    if seen.kind is not Kind.DIRECTORY:
        return Rechecked(candidate, f"it is a {seen.kind} now")
    shown, found = candidate.workspace.identity, seen.identity
    if shown is None or found is None or not found.same_inode(shown):
        return Rechecked(candidate, "another directory has taken its name since it was shown")
    if not found.same_as(shown):
        return Rechecked(candidate, "it has changed since it was shown")
    if seen.id != evidence.ground.volume.id_of(candidate.name):
        return Rechecked(candidate, "its id is not what the pattern says")
    workspace = facts.about(seen, evidence.ground.volume.root)
    usage = _renewed(evidence, candidate)
    if usage is None:
        return Rechecked(candidate, "it has changed since it was measured")
    verdict = judge(
        workspace, usage, snapshot, evidence.ground.policy, evidence.now(), allow_empty=evidence.allow_empty
    )
    problem = difference(candidate.verdict, verdict)
    now = msgspec.structs.replace(candidate, usage=usage)
    return Rechecked(now, problem)


def _renewed(evidence: Evidence, candidate: Candidate) -> Usage | None:
    """The usage that was shown, measured again where it is too old; None where the tree differs by now."""
    usage = candidate.usage
    if evidence.now().host - usage.measured_at <= evidence.ground.policy.max_usage_age:
        return usage
    with evidence.ground.volume.parent_of(candidate.name) as parent:
        measured = measure_now(
            evidence.ground.pool, parent, candidate.workspace.basename, now_ns=int(evidence.now().host * 1e9),
            cancel=evidence.ground.cancel,
        ).usage  # fmt: skip
    same = measured.complete and (measured.newest_change_ns, measured.entries) == (
        usage.newest_change_ns,
        usage.entries,
    )
    return measured if same else None


def difference(shown: Verdict, found: Verdict) -> str:
    """Why the verdict found now forbids what the shown one allowed; empty where it does not."""
    if found.status is not Status.ORPHAN:
        return f"no orphan any more ({found.status}): {found.reason}"
    if set(found.doubts) != set(shown.doubts):
        return f"its doubts are others than shown: {found.reason}"
    return ""


def judge_set_aside(
    evidence: Evidence, name: bytes, intent: Intent, snapshot: Snapshot, used_by: str | None = None
) -> Verdict:
    """The verdict over a tree that lies in the trash, on the evidence that its log holds.

    Its age was judged when it was set aside, so that only the registry, protection and use can change the verdict.
    """
    volume = evidence.ground.volume
    workspace = Workspace(name, Kind.DIRECTORY, id=volume.id_of(name), identity=_NOT_JUDGED, used_by=used_by)
    usage = Usage(
        intent.allocated, 0, intent.entries, 0, intent.newest_change_ns, intent.newest_change_ns, evidence.now().host,
        unsaved_work=("as it was found when it was set aside",) if "unsaved-work" in intent.doubts else (),
    )  # fmt: skip
    return judge(
        workspace, usage, snapshot, _ageless(evidence.ground.policy), evidence.now(), allow_empty=evidence.allow_empty
    )


def _ageless(policy: Policy) -> Policy:
    return msgspec.structs.replace(policy, min_age=0.0)
