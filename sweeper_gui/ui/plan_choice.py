"""What a person may still decide about a plan that is shown, and the plan that follows from it.

Each function returns another plan with the same candidates in the same order: only what is done with them differs,
and so the digest does. What is sent to the engine is always exactly the plan whose list was on the screen.
"""

from msgspec.structs import replace

from sweeper_gui.core.plan import Candidate, Plan
from sweeper_gui.core.policy import Treatment


def all_set_aside(plan: Plan) -> Plan:
    """The plan with nothing removed: everything only goes to the volume's trash."""
    return plan.all_set_aside()


def doubtful_removed(plan: Plan) -> Plan:
    """The plan with the doubtful ones removed too: a person's explicit act, and only for names that were asked for."""
    if not plan.explicit or plan.allow_empty:
        raise ValueError("doubtful ones are only removed where they were asked for by name")
    return replace(plan, candidates=tuple(replace(c, treatment=Treatment.REMOVE) for c in plan.candidates))


def kept_back(plan: Plan) -> tuple[Candidate, ...]:
    """The candidates that are only set aside though others are removed: those with doubts."""
    return tuple(c for c in plan.candidates if c.treatment is Treatment.SET_ASIDE)


def removable(plan: Plan) -> tuple[Candidate, ...]:
    """The chosen candidates that would be removed for good."""
    return tuple(c for c in plan.chosen if c.treatment is Treatment.REMOVE)
