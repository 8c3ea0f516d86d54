"""What follows from a sweep: restore, purge, resume, and binding a volume to its registry.

Each is a run of its own, with preflight, lock and log; the trees stay where the sweep that set them aside put them.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from sweeper_gui.core.audit import NO_MANDATE, Mandate
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result, TrashState
from sweeper_gui.core.snapshot import Snapshot
from sweeper_gui.core.units import count_text
from sweeper_gui.core.verdict import Doubt, Status, Verdict
from sweeper_gui.storage import files
from sweeper_gui.storage.control import SweepDirectory
from sweeper_gui.storage.order import Found
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep.evidence import Untrusted
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.log import Confirmed, SetAside, identity_before
from sweeper_gui.sweep.progress import Progress, ending_of
from sweeper_gui.sweep.recheck import difference, judge_set_aside
from sweeper_gui.sweep.removal import Removals
from sweeper_gui.sweep.site import Site, open_site
from sweeper_gui.sweep.trash import Left, Lying, Restores, announced_restores, lying_in
from sweeper_gui.sweep.tree import Tree, put_back
from sweeper_gui.sweep.words import words_of

#: Trees in the trash by sweep id and number.
Items = Collection[tuple[str, int]]
#: Before each removal the host's processes are looked at again, where the last look is older than so many seconds.
_LOOKED_WITHIN = 2.0


def restore(
    ground: Ground,
    names: Sequence[bytes],
    progress: Progress,
    *,
    items: Items | None = None,
    mandate: Mandate = NO_MANDATE,
) -> Report:
    """Puts set-aside workspaces back: the latest of each name, or exactly these items.

    Raises `VolumeError`, `LockHeld`.
    """
    with open_site(ground, "restore", {"names": str(len(names))}, mandate=mandate) as site:
        return _Reclaim(site, progress).restore(names, items)


def purge(
    ground: Ground,
    names: Sequence[bytes],
    older_than: float | None,
    progress: Progress,
    *,
    items: Items | None = None,
    mandate: Mandate = NO_MANDATE,
) -> Report:
    """Removes set-aside workspaces for good: of these names, these items, or older than so many seconds.

    Each condition that is given must hold; with none of them nothing is purged. Raises `VolumeError`, `LockHeld`,
    `Untrusted`.
    """
    options = {"names": str(len(names)), "older_than": str(older_than), "items": str(items and len(items))}
    with open_site(ground, "purge", options, mandate=mandate) as site:
        return _Reclaim(site, progress).purge(names, older_than, items)


def resume(ground: Ground, progress: Progress, *, items: Items | None = None, mandate: Mandate = NO_MANDATE) -> Report:
    """Finishes what runs left half done: all of it, or exactly these items.

    Raises `VolumeError`, `LockHeld`, `Untrusted`.
    """
    with open_site(ground, "resume", {}, mandate=mandate) as site:
        return _Reclaim(site, progress).resume(items)


def bind(ground: Ground) -> str:
    """Binds the volume to the configured registry and accepts what that says now; the text tells what was done.

    Raises `VolumeError`, `LockHeld`, and `Untrusted` where the registry can't be trusted for another reason.
    """
    with open_site(ground, "bind", {}) as site:
        snapshot = ground.read_registry(site.evidence.directory_ids, accept=True)
        if snapshot.problems:
            raise Untrusted(snapshot.distrust)
        site.bind(snapshot, anew=True)
        ground.state.remember_live(snapshot.live_ids)
        site.report((), Ending.DONE)
        names = " and ".join(str(registry) for registry in ground.registries)
        return (
            f"{ground.volume.shown} is bound to the registry {names}: of its directories "
            f"{count_text(snapshot.matched_live)} have a live session, "
            f"{count_text(snapshot.matched_deleted)} a deleted one"
        )


class _Reclaim:
    """One run over what lies in the trash."""

    def __init__(self, site: Site, progress: Progress) -> None:
        self._site = site
        self._ground = site.ground
        self._progress = progress
        self._cancel = site.ground.cancel
        self._lying = list(lying_in(site.control, site.ground))
        self._open: dict[str, SweepDirectory] = {}
        self._number = 0
        self._removals: Removals | None = None
        #: whether a person named what is removed, which takes away its doubts
        self._by_name = False

    # --- restore ----------------------------------------------------------------------------------------------------

    def restore(self, names: Sequence[bytes], items: Items | None) -> Report:
        self._skip_missing(items)
        chosen = [lying for lying in self._lying if _is_item(lying, items)] if items is not None else []
        for name in dict.fromkeys(names):
            if items is None:
                chosen += self._latest(name)
        return self._run(((lying, self._give_back) for lying in chosen), "restoring")

    def _latest(self, name: bytes) -> list[Lying]:
        found = [lying for lying in self._lying if lying.item.name == name and lying.intent is not None]
        whole = [lying for lying in found if lying.item.state is TrashState.WHOLE]
        if whole:
            return [max(whole, key=lambda lying: lying.item.set_aside_at)]
        self._skip(name, "its removal has begun: it can't be restored" if found else "no such workspace is set aside")
        return []

    def _give_back(self, tree: Tree) -> None:
        if tree.begun:
            self._end(tree, Outcome(tree.name, Result.SKIPPED, "its removal has begun: it can't be restored"))
            return
        self._site.about_to_change()
        self._end(tree, put_back(self._site, tree, "restored on request"))

    # --- purge ------------------------------------------------------------------------------------------------------

    def purge(self, names: Sequence[bytes], older_than: float | None, items: Items | None) -> Report:
        self._by_name = bool(names)
        # What a removal left half done is resume's, unless a person names it: then it need not be what it was.
        lying_here = [one for one in self._lying if self._by_name or one.item.state is TrashState.WHOLE]
        for missing in dict.fromkeys(name for name in names if all(one.item.name != name for one in lying_here)):
            self._skip(missing, "no such workspace is set aside")
        self._skip_missing(items)
        asked = bool(names) or items is not None or older_than is not None
        before = time.time() - (older_than or 0.0)
        by_age = not names and items is None
        restores = announced_restores(self._site.control, self._ground) if by_age else None
        chosen = [
            lying
            for lying in lying_here
            if asked
            and (not names or lying.item.name in names)
            and (items is None or _is_item(lying, items))
            and (older_than is None or lying.item.set_aside_at <= before)
            and (self._by_name or not self._unsaved(lying))
            and (restores is None or not self._to_be_put_back(lying, restores))
        ]
        return self._remove([(lying, Left.REMOVE) for lying in chosen])

    def _unsaved(self, lying: Lying) -> bool:
        if Doubt.UNSAVED_WORK not in lying.item.doubts:
            return False
        self._skip(lying.item.name, "stays set aside: it holds unsaved work and is purged only by name")
        return True

    def _to_be_put_back(self, lying: Lying, restores: Restores) -> bool:
        """Whether a run that did not come to it was about to put it back: an age alone is no reason to do otherwise."""
        left = _resumed(lying, restores.announced)
        if left is Left.PUT_BACK:
            self._skip(lying.item.name, "stays set aside: it was about to be put back; restore it, or purge it by name")
            return True
        return self._perhaps_restored(lying, Left.REMOVE, restores)

    # --- resume -----------------------------------------------------------------------------------------------------

    def resume(self, items: Items | None) -> Report:
        self._skip_missing(items)
        restores = announced_restores(self._site.control, self._ground)
        chosen = []
        for lying in self._lying:
            if items is not None and not _is_item(lying, items):
                continue
            left = _resumed(lying, restores.announced)
            if not (lying.item.unfinished and lying.intent):
                self._skip_finished(lying, asked=items is not None)
            elif not self._perhaps_restored(lying, left, restores):
                chosen.append((lying, left))
        return self._remove(chosen)

    def _skip_finished(self, lying: Lying, *, asked: bool) -> None:
        """What was asked for, or is half removed, is told also where there is nothing to be done about it."""
        item = lying.item
        if asked or (item.problem and item.state is TrashState.REMOVING):
            self._skip(item.name, f"stays in the trash: {item.problem or 'nothing of it was left half done'}")

    def _perhaps_restored(self, lying: Lying, left: Left, restores: Restores) -> bool:
        """Whether a person may have said that it go back, in a log that does not tell all; then it stays."""
        item = lying.item
        perhaps = left is Left.REMOVE and item.state is TrashState.WHOLE and item.sweep_id < restores.untold
        if perhaps:
            words = f"the log of {restores.untold} can't be read to its end, and may say that it be put back"
            self._skip(item.name, f"stays in the trash: {words}; restore it, or purge it by name")
        return perhaps

    # --- both -------------------------------------------------------------------------------------------------------

    def _remove(self, chosen: Sequence[tuple[Lying, Left]]) -> Report:
        """Finishes trees after a trusted read that starts now, so after they were set aside; a live one goes back."""
        self._progress.planned = len(chosen)
        self._site.evidence.snapshot_after_now()
        self._removals = Removals(self._site, self._last_question, put_back_on_doubt=False)
        steps = {Left.REMOVE: self._begin_removal, Left.CONFIRM: self._confirm, Left.PUT_BACK: self._give_up}
        return self._run(((lying, steps[left]) for lying, left in chosen), "removing")

    def _begin_removal(self, tree: Tree) -> None:
        assert self._removals is not None
        doubt = self._judged(tree)
        if doubt is None:
            return
        if doubt:
            self._end(tree, Outcome(tree.name, Result.SKIPPED, f"stays in the trash: {doubt}"))
        else:
            self._removals.wait_for_room()
            self._removals.start(tree)

    def _confirm(self, tree: Tree) -> None:
        """A tree that was to stay set aside, and whose sweep died before it asked the registry again."""
        doubt = self._judged(tree)
        if doubt is None:
            return
        if doubt:
            self._site.about_to_change()
            self._end(tree, put_back(self._site, tree, doubt))
        else:
            self._adopt(tree)

    def _give_up(self, tree: Tree) -> None:
        """A tree that was about to be put back when its sweep died."""
        self._site.about_to_change()
        self._end(tree, put_back(self._site, tree, "the sweep that died was about to put it back"))

    def _judged(self, tree: Tree) -> str | None:
        """Why a tree must stay, '' where it need not; None where its session is live and the tree has ended so."""
        verdict = self._verdict(tree, self._site.evidence.fresh_snapshot())
        if verdict.status is not Status.LIVE:
            return self._difference(tree, verdict)
        if tree.begun:
            words = "its session is live again, but its removal had begun"
            self._end(tree, Outcome(tree.name, Result.CONFLICT, words))
        else:
            self._site.about_to_change()
            self._end(tree, put_back(self._site, tree, "its session is live again"))
        return None

    def _last_question(self, tree: Tree, found: Found) -> str:
        """Right before the first unlink: a session that was undeleted until now is seen by the read that starts now."""
        verdict = self._verdict(tree, self._site.evidence.snapshot_after_now(), found)
        tree.revived = verdict.status is Status.LIVE
        return self._difference(tree, verdict)

    def _verdict(self, tree: Tree, snapshot: Snapshot, found: Found | None = None) -> Verdict:
        evidence = self._site.evidence
        used_by = self._site.users.user_of(tree.place, _LOOKED_WITHIN)
        return judge_set_aside(evidence, tree.name, tree.intent, snapshot, used_by=used_by, found=found)

    def _difference(self, tree: Tree, verdict: Verdict) -> str:
        if self._by_name and verdict.status is Status.ORPHAN:
            return ""
        return difference(tree.shown, verdict)

    def _adopt(self, tree: Tree) -> None:
        """Takes a confirmed tree over into this run, whose log tells that it is where it should be."""
        mine = msgspec.structs.replace(tree.intent, at=time.time(), number=self._number)
        self._number += 1
        self._site.about_to_change()
        self._site.write(mine)
        whole, entry = self._site.sweep.whole, str(mine.number).encode()
        with self._ground.operation():
            files.move(tree.entry, tree.directory.whole, entry, whole, tree.identity.inode)
        now = time.time()
        read_at = self._site.evidence.fresh_snapshot().started_at
        self._site.write(SetAside(now, mine.number), Confirmed(now, (mine.number,), read_at))
        self._end(tree, Outcome(tree.name, Result.SET_ASIDE, "can be restored from the trash"))

    def _run(self, chosen: Iterable[tuple[Lying, Callable[[Tree], None]]], step: str) -> Report:
        """Takes one tree after the other. Everything that was begun has ended when it returns or raises."""
        self._progress.step = step
        problem = ""
        untouched: list[bytes] = []
        with contextlib.ExitStack() as stack:
            try:
                for lying, do in chosen:
                    problem = problem or (self._removals.problem if self._removals else "")
                    if self._cancel.is_set() or problem:
                        untouched.append(lying.item.name)
                    else:
                        problem = self._take(lying, do, stack)
            except BaseException:
                self._cancel.set()
                raise
            finally:
                if self._removals is not None:
                    self._removals.wait()
        problem = problem or (self._removals.problem if self._removals else "")
        outcomes = self._progress.all_outcomes()
        left_off = bool(untouched) or any(not o.done and o.result is not Result.RESTORED for o in outcomes)
        ending = ending_of(self._cancel.is_set(), problem, left_off=left_off)
        told = problem if ending is Ending.STOPPED else ""
        return self._site.report(outcomes, ending, problem=told, untouched=tuple(untouched))

    def _take(self, lying: Lying, do: Callable[[Tree], None], stack: contextlib.ExitStack) -> str:
        """One tree; returns why no further one may be taken."""
        tree = None
        try:
            tree = self._tree(lying, stack)
            if tree is not None:
                do(tree)
        except (Untrusted, VolumeError) as error:
            self._leave(lying, tree, words_of(error))
            return words_of(error)
        except OSError as error:
            self._leave(lying, tree, words_of(error))
        return ""

    def _leave(self, lying: Lying, tree: Tree | None, why: str) -> None:
        reason = f"stays in the trash: {why}"
        if tree is None:
            self._skip(lying.item.name, reason)
        else:
            self._end(tree, Outcome(tree.name, Result.SKIPPED, reason))

    def _tree(self, lying: Lying, stack: contextlib.ExitStack) -> Tree | None:
        item, intent = lying.item, lying.intent
        if intent is None or (item.problem and self._removals is not None):
            self._skip(item.name, f"stays in the trash: {item.problem}")
            return None
        if item.sweep_id not in self._open:
            self._open[item.sweep_id] = stack.enter_context(self._site.control.open_sweep(item.sweep_id))
        identity = identity_before(intent, self._ground.volume.device)
        tree = Tree(self._open[item.sweep_id], intent, identity, begun=item.state is TrashState.REMOVING)
        self._progress.took(tree)
        return tree

    def _skip_missing(self, items: Items | None) -> None:
        there = {(lying.item.sweep_id, lying.item.number) for lying in self._lying}
        for sweep_id, number in items or ():
            if (sweep_id, number) not in there:
                self._skip(f"{sweep_id}/{number}".encode(), "no longer in the trash")

    def _skip(self, name: bytes, reason: str) -> None:
        self._progress.ended([self._site.told(Outcome(name, Result.SKIPPED, reason))])

    def _end(self, tree: Tree, outcome: Outcome) -> None:
        if tree.end(outcome):
            self._site.told(outcome)


def _resumed(lying: Lying, restores: Collection[tuple[str, int]]) -> Left:
    """What is left to be done with a tree; a person's word that it go back comes before what its sweep had meant."""
    whole = lying.item.state is TrashState.WHOLE
    return Left.PUT_BACK if whole and _is_item(lying, restores) else lying.left


def _is_item(lying: Lying, items: Items) -> bool:
    return (lying.item.sweep_id, lying.item.number) in items
