"""How a sweep is to run, as it is set at the bottom of the window."""

from dataclasses import dataclass

from sweeper_gui.core.plan import Order
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.settings import Settings


@dataclass(frozen=True)
class SweepOptions:
    """`cap` and `max_bytes` (allocated bytes) bound a sweep of the next orphans, never one of selected ones."""

    cap: int = 10
    max_bytes: int | None = None
    order: Order = Order.OLDEST
    impact: str = "balanced"
    dry_run: bool = False
    set_aside: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "SweepOptions":
        """What the configuration says."""
        sweep = settings.sweep
        return cls(
            cap=sweep.max_per_sweep,
            max_bytes=sweep.max_bytes,
            order=sweep.order,
            impact=sweep.impact,
            set_aside=sweep.remove == "set-aside",
        )

    def request(self, names: tuple[bytes, ...]) -> SweepRequest:
        """What is asked of the engine: these names, or without any the next orphans."""
        if names:
            return SweepRequest(names=names, order=self.order, set_aside=self.set_aside)
        return SweepRequest(cap=self.cap, max_bytes=self.max_bytes, order=self.order, set_aside=self.set_aside)
