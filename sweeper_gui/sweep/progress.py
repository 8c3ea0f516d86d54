"""How far a run is: read by others while it runs, written by the run alone."""

from collections.abc import Sequence

from sweeper_gui.core.outcome import Ending, Outcome
from sweeper_gui.sweep.tree import Tree


def ending_of(cancelled: bool, problem: str, *, left_off: bool) -> Ending:
    """How a run ended. A cancel that came when nothing was left to be done has changed nothing."""
    if cancelled and left_off:
        return Ending.CANCELLED
    return Ending.STOPPED if problem and not cancelled else Ending.DONE


class Progress:
    """Sampled a few times a second from another thread; every value may be a moment old."""

    def __init__(self, planned: int, entries_planned: int) -> None:
        self.planned = planned
        self.entries_planned = entries_planned
        self.step = "preflight"
        self.trees: list[Tree] = []
        self.outcomes: list[Outcome] = []

    def took(self, tree: Tree) -> None:
        """A tree is on its way."""
        self.trees.append(tree)

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        """Workspaces that ended without ever being a tree, such as skipped ones."""
        self.outcomes.extend(outcomes)

    def all_outcomes(self) -> list[Outcome]:
        """Every outcome so far, in the order of the plan as far as it was reached."""
        return [*self.outcomes, *(tree.outcome for tree in list(self.trees) if tree.outcome is not None)]
