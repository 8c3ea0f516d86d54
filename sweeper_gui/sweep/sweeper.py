"""A sweep: set aside, confirm, remove, report; exactly as the protocol says, for the plan that a person confirmed."""

import os
import time
from collections.abc import Sequence

import msgspec

from sweeper_gui.core.outcome import Ending, Outcome, Report, Result
from sweeper_gui.core.plan import Candidate, Plan
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.units import size_text
from sweeper_gui.storage import files
from sweeper_gui.storage.control import SWEEPS, WHOLE, Control
from sweeper_gui.storage.inuse import user_of, uses_below
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Evidence, Untrusted
from sweeper_gui.sweep.ground import Facts, Ground
from sweeper_gui.sweep.log import Confirmed, Intent, SetAside, intent_of
from sweeper_gui.sweep.progress import Progress
from sweeper_gui.sweep.recheck import difference, judge_set_aside, recheck
from sweeper_gui.sweep.removal import Removals
from sweeper_gui.sweep.site import Site, listed_ids, open_site
from sweeper_gui.sweep.tree import Tree, immovable_mode, put_back, set_mode, words_of

#: At most so many workspaces are set aside before the registry is asked again.
BATCH = 10

_CANCELLED = "cancelled before its removal began"


def run_sweep(ground: Ground, plan: Plan, progress: Progress, options: dict[str, str]) -> Report:
    """Runs a plan and reports one outcome per candidate that was reached.

    Raises `VolumeError`, `LockHeld` or `Untrusted` where the preflight fails: nothing has been touched then. Later
    trouble ends the sweep and is told in the report.
    """
    with open_site(ground, "sweep", options, allow_empty=plan.allow_empty) as site:
        return _Sweep(site, plan, progress).run()


def rehearse(ground: Ground, plan: Plan, progress: Progress) -> Report:
    """A dry run: asks what a sweep asks before its first rename, and writes nothing. Raises as `run_sweep` does."""
    started = time.monotonic()
    progress.step = "checking"
    ground.volume.check_unchanged()
    evidence = Evidence(ground, listed_ids(ground), allow_empty=plan.allow_empty)
    snapshot, facts = evidence.fresh_snapshot(), ground.facts()
    progress.ended(_refusals(plan))
    share = _Share(plan)
    for candidate in plan.candidates:
        if ground.cancel.is_set():
            break
        if share.fits(candidate):
            problem = recheck(evidence, candidate, snapshot, facts).problem
            if not problem:
                share.take(candidate)
            progress.ended([Outcome(candidate.name, Result.SKIPPED, problem or _would(candidate))])
    ending = Ending.CANCELLED if ground.cancel.is_set() else Ending.DONE
    seconds = round(time.monotonic() - started, 3)
    outcomes = tuple(progress.all_outcomes())
    return Report("", outcomes, ending, remaining_orphans=plan.remaining_orphans, seconds=seconds, dry_run=True)


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
        self._intents: dict[int, Intent] = {}
        self._verdicts = {candidate.name: candidate.verdict for candidate in plan.candidates}
        self._removals = Removals(site, self._last_question, put_back_on_doubt=True)

    def run(self) -> Report:
        problem = ""
        for refusal in _refusals(self._plan):
            self._progress.ended([self._site.told(refusal)])
        try:
            self._take_all()
        except (Untrusted, VolumeError) as error:
            problem = str(error)
        self._progress.step = "removing"
        self._removals.wait()
        problem = problem or self._removals.problem
        return self._report(problem)

    def _report(self, problem: str) -> Report:
        outcomes = self._progress.all_outcomes()
        ending = Ending.DONE
        if self._cancel.is_set():
            ending, problem = Ending.CANCELLED, ""
        elif problem:
            ending = Ending.STOPPED
        done = sum(outcome.done for outcome in outcomes)
        reached = {outcome.name for outcome in outcomes}
        untouched = (
            tuple(c.name for c in self._plan.chosen if c.name not in reached) if ending is not Ending.DONE else ()
        )
        remaining = max(0, self._plan.remaining_orphans - done)
        return self._site.report(outcomes, ending, problem=problem, untouched=untouched, remaining=remaining)

    def _take_all(self) -> None:
        """Batch after batch until the cap is filled by successes; a failure gives its place to the next candidate."""
        while not self._cancel.is_set() and not self._removals.problem:
            self._settle()
            batch = self._next_batch()
            if batch:
                self._progress.step = "setting aside"
                self._take(batch)
            elif self._removals.pending:
                self._progress.step = "removing"
                self._removals.wait_for_any(1.0)
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

    def _take(self, batch: Sequence[Candidate]) -> None:
        snapshot = self._evidence.fresh_snapshot()
        self._site.bind()
        self._evidence.look_at_clock()
        facts = self._ground.facts()
        passed = [c for c in (self._rechecked(candidate, facts) for candidate in batch) if c is not None]
        if not passed or self._cancel.is_set():
            return
        self._site.about_to_change()
        intents = [self._announced(candidate, snapshot.started_at) for candidate in passed]
        self._site.write(*intents)
        trees: list[Tree] = []
        try:
            for candidate, intent in zip(passed, intents, strict=True):
                if not self._cancel.is_set():
                    trees += self._set_aside(candidate, intent)
            self._confirm(trees)
        finally:
            self._put_back_rest(trees)

    def _rechecked(self, candidate: Candidate, facts: Facts) -> Candidate | None:
        try:
            found = recheck(self._evidence, candidate, self._evidence.fresh_snapshot(), facts)
        except OSError as error:
            self._skip(candidate, words_of(error))
            return None
        if found.problem:
            self._skip(candidate, found.problem)
            return None
        return found.candidate

    def _skip(self, candidate: Candidate, reason: str, result: Result = Result.SKIPPED) -> None:
        self._share.give_back(candidate.name)
        errors = (reason,) if result is Result.FAILED else ()
        outcome = Outcome(candidate.name, result, reason, error_count=len(errors), errors=errors)
        self._progress.ended([self._site.told(outcome)])

    def _announced(self, candidate: Candidate, read_at: float) -> Intent:
        intent = intent_of(self._number, candidate, read_at)
        self._intents[self._number] = intent
        self._number += 1
        return intent

    def _set_aside(self, candidate: Candidate, intent: Intent) -> list[Tree]:
        """One rename into the trash, and a look at what was renamed: the tree, or nothing."""
        identity = candidate.workspace.identity
        assert identity is not None
        tree = Tree(
            self._site.sweep, intent.number, candidate.name, intent.id, identity, intent.newest_change_ns,
            candidate.usage.entries, candidate.treatment,
        )  # fmt: skip
        try:
            self._rename(tree, intent)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            self._skip(candidate, f"can't be set aside: {words_of(error)}", Result.SKIPPED if gone else Result.FAILED)
            return []
        self._progress.took(tree)
        try:
            descriptor = files.open_directory(tree.entry, self._site.sweep.whole)
        except OSError:
            self._end(tree, put_back(self._site, tree, "something else had taken its name at the last moment"))
            return []
        try:
            found = files.identity_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if not found.same_inode(identity) or found.mtime_ns != identity.mtime_ns:
            self._end(tree, put_back(self._site, tree, "another directory had taken its name at the last moment"))
            return []
        return [tree]

    def _rename(self, tree: Tree, intent: Intent) -> None:
        basename = tree.name.rpartition(b"/")[2]
        with self._ground.pool.operation(), self._ground.volume.parent_of(tree.name) as parent:
            try:
                files.rename_exclusively(basename, parent, tree.entry, self._site.sweep.whole)
            except PermissionError:
                tree.mode = immovable_mode(basename, parent, self._site.uid)
                if tree.mode is None:
                    raise
                self._site.write(msgspec.structs.replace(intent, mode=tree.mode))
                set_mode(basename, parent, tree.mode | 0o700, intent.inode)
                files.rename_exclusively(basename, parent, tree.entry, self._site.sweep.whole)

    def _confirm(self, trees: Sequence[Tree]) -> None:
        """Asks the registry once more, after the renames, and the host who uses them."""
        if not trees:
            return
        self._site.write(*(SetAside(time.time(), tree.number) for tree in trees))
        snapshot = self._evidence.snapshot_after_now()
        tops = {tree: whole_path(self._site.control, tree) for tree in trees}
        uses = uses_below(list(tops.values()))
        confirmed: list[Tree] = []
        for tree in trees:
            verdict = judge_set_aside(
                self._evidence, tree.name, self._intents[tree.number], snapshot, user_of(tops[tree], uses)
            )
            problem = difference(self._verdicts[tree.name], verdict)
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
        reason = _CANCELLED if self._cancel.is_set() else "the sweep was stopped before it was confirmed"
        for tree in trees:
            if tree.outcome is None and tree.step == "set-aside":
                self._end(tree, put_back(self._site, tree, reason))

    def _end(self, tree: Tree, outcome: Outcome) -> None:
        if tree.end(outcome):
            self._site.told(outcome)

    def _last_question(self, tree: Tree) -> str:
        """Right before the first unlink: the registry's word may not be older than a recheck allows."""
        snapshot = self._evidence.fresh_snapshot()
        verdict = judge_set_aside(self._evidence, tree.name, self._intents[tree.number], snapshot)
        return difference(self._verdicts[tree.name], verdict)


def whole_path(control: Control, tree: Tree) -> bytes:
    """The absolute path of a whole tree, to be compared with what processes use; never to open it."""
    return b"/".join((control.path, SWEEPS, os.fsencode(tree.directory.id), WHOLE, tree.entry))
