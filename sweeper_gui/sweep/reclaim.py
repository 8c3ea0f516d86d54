"""What follows from a sweep: restore, purge, resume, and binding a volume to its registry.

Each is a run of its own, with preflight, lock and log; the trees stay where the sweep that set them aside put them.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence

from sweeper_gui.core.outcome import Ending, Outcome, Report, Result, TrashState
from sweeper_gui.core.verdict import Doubt, Status
from sweeper_gui.storage.control import SweepDirectory
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Untrusted
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import Intent, identity_before
from sweeper_gui.sweep.progress import Progress
from sweeper_gui.sweep.recheck import judge_set_aside
from sweeper_gui.sweep.removal import Removals
from sweeper_gui.sweep.site import Site, open_site
from sweeper_gui.sweep.trash import Lying, lying_in
from sweeper_gui.sweep.tree import Tree, put_back, words_of


def restore(ground: Ground, names: Sequence[bytes], progress: Progress) -> Report:
    """Puts the named set-aside workspaces back, the latest of a name. Raises `VolumeError`, `LockHeld`."""
    with open_site(ground, "restore", {"names": str(len(names))}) as site:
        return _Reclaim(site, progress).restore(names)


def purge(ground: Ground, names: Sequence[bytes], older_than: float | None, progress: Progress) -> Report:
    """Removes set-aside workspaces for good: the named ones, or all that are older than so many seconds.

    Raises `VolumeError`, `LockHeld`, `Untrusted`.
    """
    options = {"names": str(len(names))} if names else {"older_than": str(older_than)}
    with open_site(ground, "purge", options) as site:
        return _Reclaim(site, progress).purge(names, older_than)


def resume(ground: Ground, progress: Progress) -> Report:
    """Finishes what sweeps left half done. Raises `VolumeError`, `LockHeld`, `Untrusted`."""
    with open_site(ground, "resume", {}) as site:
        return _Reclaim(site, progress).resume()


def bind(ground: Ground) -> str:
    """Binds the volume to the configured registry and accepts what that says now; the text tells what was done.

    Raises `VolumeError`, `LockHeld`, and `Untrusted` where the registry can't be trusted for another reason.
    """
    with open_site(ground, "bind", {}) as site:
        snapshot = ground.read_registry(site.evidence.directory_ids, accept=True)
        if snapshot.problems:
            raise Untrusted(snapshot.problems[0])
        site.bind(anew=True)
        ground.state.remember_live(snapshot.live_ids)
        site.report((), Ending.DONE)
        names = " and ".join(str(registry) for registry in ground.registries)
        return (
            f"{ground.volume.shown} is bound to the registry {names}: "
            f"{snapshot.matched_live} directories have a live session, {snapshot.matched_deleted} a deleted one"
        )


class _Reclaim:
    """One run over what lies in the trash."""

    def __init__(self, site: Site, progress: Progress) -> None:
        self._site = site
        self._ground = site.ground
        self._progress = progress
        self._cancel = site.ground.cancel
        self._lying = list(lying_in(site.control, site.ground))
        self._intents: dict[Tree, Intent] = {}
        self._open: dict[str, SweepDirectory] = {}

    def restore(self, names: Sequence[bytes]) -> Report:
        chosen = []
        for name in dict.fromkeys(names):
            found = [lying for lying in self._lying if lying.item.name == name and not lying.item.problem]
            whole = [lying for lying in found if lying.item.state is TrashState.WHOLE]
            if whole:
                chosen.append(max(whole, key=lambda lying: lying.item.set_aside_at))
            else:
                why = "its removal has begun: it can't be restored" if found else "no such workspace is set aside"
                self._skip(name, why)
        with contextlib.ExitStack() as stack:
            return self._run(chosen, self._give_back, stack)

    def _give_back(self, tree: Tree) -> None:
        self._site.about_to_change()
        self._end(tree, put_back(self._site, tree, "restored on request"))

    def purge(self, names: Sequence[bytes], older_than: float | None) -> Report:
        wanted = set(names)
        chosen = [lying for lying in self._lying if lying.item.state is TrashState.WHOLE]
        if names:
            for missing in dict.fromkeys(n for n in names if all(lying.item.name != n for lying in chosen)):
                self._skip(missing, "no such workspace is set aside")
            chosen = [lying for lying in chosen if lying.item.name in wanted]
        else:
            before = time.time() - (older_than or 0.0)
            chosen = [lying for lying in chosen if lying.item.set_aside_at <= before and not self._unsaved(lying)]
        return self._remove(chosen)

    def _unsaved(self, lying: Lying) -> bool:
        if Doubt.UNSAVED_WORK not in lying.item.doubts:
            return False
        self._skip(lying.item.name, "stays set aside: it holds unsaved work and is purged only by name")
        return True

    def resume(self) -> Report:
        return self._remove([lying for lying in self._lying if lying.item.unfinished])

    def _remove(self, chosen: Sequence[Lying]) -> Report:
        """Removes trees after a trusted read that started after they were set aside; a live one goes back."""
        self._site.evidence.snapshot_after_now()
        removals = Removals(self._site, self._doubt, put_back_on_doubt=False)
        with contextlib.ExitStack() as stack:
            return self._run(chosen, lambda tree: self._judge(tree, removals), stack, removals)

    def _judge(self, tree: Tree, removals: Removals) -> None:
        begun = tree.newest_change_ns is None
        snapshot = self._site.evidence.fresh_snapshot()
        verdict = judge_set_aside(self._site.evidence, tree.name, self._intents[tree], snapshot)
        if verdict.status is Status.ORPHAN:
            removals.start(tree)
        elif verdict.status is Status.LIVE and begun:
            self._end(tree, Outcome(tree.name, Result.CONFLICT, "its session is live again, but its removal had begun"))
        elif verdict.status is Status.LIVE:
            self._site.about_to_change()
            self._end(tree, put_back(self._site, tree, "its session is live again"))
        else:
            self._end(tree, Outcome(tree.name, Result.SKIPPED, f"stays in the trash: {verdict.reason}"))

    def _doubt(self, tree: Tree) -> str:
        snapshot = self._site.evidence.fresh_snapshot()
        verdict = judge_set_aside(self._site.evidence, tree.name, self._intents[tree], snapshot)
        return "" if verdict.status is Status.ORPHAN else verdict.reason

    def _run(
        self,
        chosen: Iterable[Lying],
        step: Callable[[Tree], None],
        stack: contextlib.ExitStack,
        removals: Removals | None = None,
    ) -> Report:
        """Takes one tree after the other; what the removals began is waited for."""
        problem = ""
        untouched: list[bytes] = []
        self._progress.step = "removing" if removals else "restoring"
        for lying in chosen:
            if self._cancel.is_set() or problem or (removals and removals.problem):
                untouched.append(lying.item.name)
                continue
            try:
                tree = self._tree(lying, stack)
                if tree is not None:
                    step(tree)
            except (Untrusted, VolumeError) as error:
                problem = str(error)
                untouched.append(lying.item.name)
            except OSError as error:
                self._skip(lying.item.name, f"stays in the trash: {words_of(error)}")
        if removals is not None:
            removals.wait()
            problem = problem or removals.problem
        ending = Ending.CANCELLED if self._cancel.is_set() else Ending.STOPPED if problem else Ending.DONE
        outcomes = self._progress.all_outcomes()
        return self._site.report(outcomes, ending, problem=problem, untouched=tuple(untouched))

    def _tree(self, lying: Lying, stack: contextlib.ExitStack) -> Tree | None:
        item, intent = lying.item, lying.intent
        if intent is None or item.problem:
            self._skip(item.name, f"stays in the trash: {item.problem}")
            return None
        if item.sweep_id not in self._open:
            self._open[item.sweep_id] = stack.enter_context(self._site.control.open_sweep(item.sweep_id))
        begun = item.state is TrashState.REMOVING
        tree = Tree(
            self._open[item.sweep_id],
            item.number,
            item.name,
            intent.id,
            identity_before(intent, self._ground.volume.device),
            None if begun else intent.newest_change_ns,
            intent.entries,
            mode=intent.mode,
        )
        self._intents[tree] = intent
        self._progress.took(tree)
        return tree

    def _skip(self, name: bytes, reason: str) -> None:
        self._progress.ended([self._site.told(Outcome(name, Result.SKIPPED, reason))])

    def _end(self, tree: Tree, outcome: Outcome) -> None:
        if tree.end(outcome):
            self._site.told(outcome)
