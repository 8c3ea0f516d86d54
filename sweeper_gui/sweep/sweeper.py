"""A sweep: set aside, confirm, remove, report; exactly as the protocol says, for the plan that a person confirmed."""

import os
import time
from collections.abc import Sequence

import msgspec

from sweeper_gui.core.audit import NO_MANDATE, Mandate
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Candidate, Plan
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.units import size_text
from sweeper_gui.storage import files
from sweeper_gui.storage.order import Found
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import FRESH, Evidence, Untrusted
from sweeper_gui.sweep.ground import Facts, Ground
from sweeper_gui.sweep.log import Confirmed, Intent, SetAside, intent_of
from sweeper_gui.sweep.progress import Progress, ending_of
from sweeper_gui.sweep.recheck import difference, judge_set_aside, measured_anew, recheck
from sweeper_gui.sweep.removal import Removals
from sweeper_gui.sweep.site import Site, listed_ids, open_site
from sweeper_gui.sweep.tree import Tree, immovable_mode, intended_identity, put_back
from sweeper_gui.sweep.words import words_of

#: At most so many workspaces are set aside before the registry is asked again.
BATCH = 10
#: Before each removal the host's processes are looked at again, where the last look is older than so many seconds.
_LOOKED_WITHIN = 2.0


def run_sweep(
    ground: Ground, plan: Plan, progress: Progress, options: dict[str, str], mandate: Mandate = NO_MANDATE
) -> Report:
    """Runs a plan and reports one outcome per candidate that was reached.

    Raises `VolumeError`, `LockHeld` or `Untrusted` where the preflight fails: nothing has been touched then. Later
    trouble ends the sweep and is told in the report.
    """
    with open_site(ground, "sweep", options, allow_empty=plan.allow_empty and plan.explicit, mandate=mandate) as site:
        return _Sweep(site, plan, progress).run()


def rehearse(ground: Ground, plan: Plan, progress: Progress) -> Report:
    """A dry run: asks what a sweep asks before its first rename, and writes nothing. Raises as `run_sweep` does."""
    started = time.monotonic()
    progress.step = "checking"
    ground.volume.check_unchanged()
    evidence = Evidence(ground, listed_ids(ground), allow_empty=plan.allow_empty and plan.explicit)
    snapshot, facts = evidence.fresh_snapshot(), ground.facts()
    progress.ended(_refusals(plan))
    share = _Share(plan)
    for candidate in plan.candidates:
        if ground.cancel.is_set():
            break
        if share.fits(candidate):
            problem = _overstepped(plan, candidate, ground) or recheck(evidence, candidate, snapshot, facts)
            if not problem:
                share.take(candidate)
            progress.ended([Outcome(candidate.name, Result.SKIPPED, problem or _would(candidate))])
    ending = Ending.CANCELLED if ground.cancel.is_set() else Ending.DONE
    seconds = round(time.monotonic() - started, 3)
    outcomes = tuple(progress.all_outcomes())
    return Report("", outcomes, ending, remaining_orphans=plan.remaining_orphans, seconds=seconds, dry_run=True)


def _overstepped(plan: Plan, candidate: Candidate, ground: Ground) -> str:
    return "it may only be set aside: make the plan again" if plan.oversteps(candidate, ground.policy) else ""


def _would(candidate: Candidate) -> str:
    words = "set aside" if candidate.treatment is Treatment.SET_ASIDE else "removed"
    return f"dry run: would be {words} ({size_text(candidate.usage.allocated)})"


def _refusals(plan: Plan) -> list[Outcome]:
    return [Outcome(refused.name, Result.SKIPPED, refused.reason) for refused in plan.refused]


class _Share:
    """How much of a plan's cap is used up, by successes and by what may still become one."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._taken: dict[bytes, int] = {}

    def fits(self, candidate: Candidate) -> bool:
        plan = self._plan
        if plan.cap is not None and len(self._taken) >= plan.cap:
            return False
        return plan.max_bytes is None or sum(self._taken.values()) + candidate.usage.allocated <= plan.max_bytes

    def take(self, candidate: Candidate) -> None:
        self._taken[candidate.name] = candidate.usage.allocated

    def give_back(self, name: bytes) -> None:
        self._taken.pop(name, None)


class _Sweep:
    """One run. The steps are methods in the order of the protocol."""

    def __init__(self, site: Site, plan: Plan, progress: Progress) -> None:
        self._site = site
        self._evidence = site.evidence
        self._ground = site.ground
        self._plan = plan
        self._progress = progress
        self._cancel = site.ground.cancel
        self._share = _Share(plan)
        self._waiting = list(plan.candidates)
        self._number = 0
        #: how many were found to be no orphans any more, or to be changed, when they were looked at again
        self._no_orphans = 0
        self._removals = Removals(site, self._last_question, put_back_on_doubt=True)

    def run(self) -> Report:
        """Everything that was begun has ended when it returns or raises: the lock is held until then."""
        problem = ""
        try:
            for refusal in _refusals(self._plan):
                self._progress.ended([self._site.told(refusal)])
            self._take_all()
        except (Untrusted, VolumeError, OSError) as error:
            problem = words_of(error)
        except BaseException:
            self._cancel.set()
            raise
        finally:
            if self._removals.pending:
                self._progress.step = "removing"
            self._removals.wait()
        return self._report(problem or self._removals.problem)

    def _report(self, problem: str) -> Report:
        outcomes = self._progress.all_outcomes()
        reached = {outcome.name for outcome in outcomes}
        left = tuple(candidate.name for candidate in self._plan.chosen if candidate.name not in reached)
        ended = [tree.outcome for tree in self._progress.trees if tree.outcome is not None]
        left_off = bool(left) or any(not outcome.done for outcome in ended)
        ending = ending_of(self._cancel.is_set(), problem, left_off=left_off)
        gone = sum(outcome.result is not Result.RESTORED for outcome in ended) + self._no_orphans
        return self._site.report(
            outcomes,
            ending,
            problem=problem if ending is Ending.STOPPED else "",
            untouched=() if ending is Ending.DONE else left,
            remaining=max(0, self._plan.remaining_orphans - gone),
        )

    # --- which, and how many ----------------------------------------------------------------------------------------

    def _take_all(self) -> None:
        """Batch after batch until the cap is filled by successes; a failure gives its place to the next candidate."""
        while not self._cancel.is_set() and not self._removals.problem:
            self._settle()
            batch = self._next_batch()
            if batch:
                self._progress.step = "setting aside"
                self._removals.wait_for_room()
                self._take(batch)
            elif self._removals.pending:
                self._progress.step = "removing"
                self._removals.wait_for_any()
            elif not self._settle():
                return

    def _settle(self) -> bool:
        """Gives back the places of trees that failed; whether there were any."""
        failed = [t for t in self._progress.trees if t.outcome is not None and not t.outcome.done and not t.settled]
        for tree in failed:
            tree.settled = True
            self._share.give_back(tree.name)
        return bool(failed)

    def _next_batch(self) -> list[Candidate]:
        batch: list[Candidate] = []
        for candidate in list(self._waiting):
            if len(batch) == BATCH:
                break
            if self._share.fits(candidate):
                self._share.take(candidate)
                self._waiting.remove(candidate)
                batch.append(candidate)
        return batch

    # --- set aside --------------------------------------------------------------------------------------------------

    def _take(self, batch: Sequence[Candidate]) -> None:
        """Rechecks a batch, sets it aside, confirms it, and sends it on its way to be removed."""
        measured = [found for candidate in batch if (found := self._measured(candidate)) is not None]
        if self._cancel.is_set():
            return
        snapshot = self._evidence.fresh_snapshot()
        if not snapshot.problems:  # an empty one that is allowed for these names binds nothing
            self._site.bind(snapshot)
        self._evidence.look_at_clock()
        passed = self._recheck(measured, snapshot, self._ground.facts())
        if not passed or self._cancel.is_set():
            return
        self._site.about_to_change()
        intents = [self._intended(candidate, snapshot.started_at) for candidate in passed]
        self._site.write(*intents)
        trees: list[Tree] = []
        try:
            for candidate, intent in zip(passed, intents, strict=True):
                if not self._cancel.is_set():
                    self._site.about_to_change()
                    self._set_aside(candidate, intent, trees)
            self._confirm([tree for tree in trees if tree.outcome is None])
        finally:
            self._put_back_rest(trees)

    def _measured(self, candidate: Candidate) -> Candidate | None:
        """The candidate with a usage that is young enough; None where there is none."""
        if self._cancel.is_set():
            return None
        found = measured_anew(self._evidence, candidate)
        if not found.problem:
            return found.candidate
        if not self._cancel.is_set():
            self._skip(candidate, found.problem)
        return None

    def _recheck(self, batch: Sequence[Candidate], snapshot: Snapshot, facts: Facts) -> list[Candidate]:
        passed = []
        for candidate in batch:
            if self._cancel.is_set():
                return []
            problem = _overstepped(self._plan, candidate, self._ground)
            problem = problem or recheck(self._evidence, candidate, snapshot, facts)
            if problem:
                self._no_orphans += 1
                self._skip(candidate, problem)
            else:
                passed.append(candidate)
        return passed

    def _skip(self, candidate: Candidate, reason: str, result: Result = Result.SKIPPED) -> None:
        self._share.give_back(candidate.name)
        errors = (reason,) if result is Result.FAILED else ()
        outcome = Outcome(candidate.name, result, reason, error_count=len(errors), errors=errors)
        self._progress.ended([self._site.told(outcome)])

    def _intended(self, candidate: Candidate, read_at: float) -> Intent:
        intent = intent_of(self._number, candidate, read_at)
        self._number += 1
        return intent

    def _set_aside(self, candidate: Candidate, intent: Intent, trees: list[Tree]) -> None:
        """One rename into the trash, and a look at what was renamed: only what was meant stays there."""
        tree = Tree(self._site.sweep, intent, intended_identity(candidate), fullest=candidate.usage.fullest)
        try:
            self._rename(tree)
        except (OSError, VolumeError) as error:
            gone = isinstance(error, FileNotFoundError)
            self._skip(candidate, f"can't be set aside: {words_of(error)}", Result.SKIPPED if gone else Result.FAILED)
            return
        trees.append(tree)
        self._progress.took(tree)
        doubt = self._look_at(tree)
        if doubt:
            self._end(tree, put_back(self._site, tree, doubt))

    def _rename(self, tree: Tree) -> None:
        whole, inode = self._site.sweep.whole, tree.identity.inode
        with self._ground.operation(), self._ground.volume.parent_of(tree.name) as parent:
            try:
                files.move(tree.basename, parent, tree.entry, whole, inode)
            except PermissionError:
                mode = immovable_mode(tree.basename, parent, self._site.uid)
                if mode is None:
                    raise
                self._site.write(msgspec.structs.replace(tree.intent, mode=mode))
                files.set_mode(tree.basename, parent, mode | 0o700, inode)
                tree.mode = mode
                try:
                    files.move(tree.basename, parent, tree.entry, whole, inode)
                except OSError:
                    files.set_mode(tree.basename, parent, mode, inode)
                    raise

    def _look_at(self, tree: Tree) -> str:
        """Whether the very directory that was shown has been renamed; what is wrong, or ''."""
        whole = self._site.sweep.whole
        network = self._ground.volume.mount.network
        try:
            descriptor = files.open_directory(tree.entry, whole)
            try:
                found = files.identity_of(files.fresh_stat(b"", descriptor) if network else os.fstat(descriptor))
            finally:
                os.close(descriptor)
            listed = not network or files.is_listed_as(found.inode, tree.entry, whole)
        except OSError as error:
            return f"something else had taken its name at the last moment, or it can't be read: {words_of(error)}"
        if not listed or not found.same_inode(tree.identity) or found.mtime_ns != tree.identity.mtime_ns:
            return "another directory had taken its name at the last moment"
        return ""

    # --- confirm ----------------------------------------------------------------------------------------------------

    def _confirm(self, trees: Sequence[Tree]) -> None:
        """Asks the registry once more, after the renames, and the host who uses them."""
        if not trees or self._cancel.is_set():
            return
        self._site.write(*(SetAside(time.time(), tree.number) for tree in trees))
        snapshot = self._evidence.snapshot_after_now()
        confirmed: list[Tree] = []
        for tree in trees:
            problem = self._doubt(tree, snapshot, looked_within=0.0 if tree is trees[0] else FRESH)
            if problem:
                self._end(tree, put_back(self._site, tree, problem))
            else:
                confirmed.append(tree)
        numbers = tuple(tree.number for tree in confirmed)
        self._site.write(Confirmed(time.time(), numbers, snapshot.started_at))
        for tree in confirmed:
            if tree.treatment is Treatment.SET_ASIDE:
                self._end(tree, Outcome(tree.name, Result.SET_ASIDE, "can be restored from the trash"))
            elif not self._cancel.is_set():
                self._removals.start(tree)

    def _put_back_rest(self, trees: Sequence[Tree]) -> None:
        """Whatever was set aside and neither ended nor went on, because the batch was broken off, goes back."""
        cancelled = self._cancel.is_set()
        reason = "cancelled before its removal began" if cancelled else "the sweep stopped before it was confirmed"
        for tree in trees:
            if tree.outcome is None and tree.step == "set-aside":
                self._end(tree, put_back(self._site, tree, reason))

    def _end(self, tree: Tree, outcome: Outcome) -> None:
        if tree.end(outcome):
            self._site.told(outcome)

    # --- remove -----------------------------------------------------------------------------------------------------

    def _last_question(self, tree: Tree, found: Found) -> str:
        """Right before the first unlink: a session that was undeleted until now is seen by the read that starts now."""
        return self._doubt(tree, self._evidence.snapshot_after_now(), looked_within=_LOOKED_WITHIN, found=found)

    def _doubt(self, tree: Tree, snapshot: Snapshot, *, looked_within: float, found: Found | None = None) -> str:
        used_by = self._site.users.user_of(tree.place, looked_within)
        verdict = judge_set_aside(self._evidence, tree.name, tree.intent, snapshot, used_by=used_by, found=found)
        return difference(tree.shown, verdict)
