"""Removal orders carried out by processes that have nothing but the order: what would be done on other hosts."""

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.plan import Plan
from sweeper_gui.storage.control import SweepDirectory
from sweeper_gui.storage.order import Ask, Carried, Found, Order, carry_out_here
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.remove import RemovalOutcome
from sweeper_gui.storage.volume import VolumeError
from sweeper_gui.sweep import removal
from tests.support.mounts import bind
from tests.support.trees import fingerprint
from tests.support.worker import Codec, Worker
from tests.sweep.rig import Rig, results

ENTRIES = 400


def elsewhere(
    order: Order, _directory: SweepDirectory, pool: WorkPool, ask: Ask, *, cancel: threading.Event,
    counters: object, on_done: Callable[[Carried], None],
) -> None:  # fmt: skip
    """`carry_out` by a worker; the pool only gives the thread that waits for it."""

    def work() -> None:
        with Worker() as worker:
            carried = worker.carry_out(order, ask)
        on_done(carried or Carried(failure="the worker has died"))

    pool.submit(work)


@pytest.fixture
def aside(rig: Rig) -> tuple[Path, Order]:
    """A tree that is set aside, and the order to remove it."""
    rig.volume.live("live-0", 2)
    rig.volume.deleted("gone-0", ENTRIES)
    plan = rig.plan("gone-0", set_aside=True)
    report = rig.sweep(plan)
    (candidate,) = plan.candidates
    identity = candidate.workspace.identity
    assert identity is not None
    return (
        rig.control_dir / "sweeps" / report.sweep_id / "whole" / "0",
        Order(
            control=os.fsencode(rig.control_dir),
            control_inode=rig.control_dir.stat().st_ino,
            sweep_id=report.sweep_id,
            number=0,
            inode=identity.inode,
            mtime_ns=identity.mtime_ns,
            newest_change_ns=candidate.usage.newest_change_ns,
            now_ns=time.time_ns(),
            back_off=(),
            max_in_flight=4,
        ),
    )


def announced(tree: Path) -> Path:
    """Moves a set-aside tree to where it is removed, as the coordinator does before it says yes."""
    begun = tree.parents[1] / "removing" / tree.name
    tree.rename(begun)
    return begun


def yes(tree: Path) -> Ask:
    def answer(_: Found) -> bool:
        announced(tree)
        return True

    return answer


@pytest.mark.parametrize("codec", ["pickle", "msgpack"])
def test_an_order_is_all_that_a_fresh_process_needs(aside: tuple[Path, Order], codec: Codec) -> None:
    tree, order = aside
    asked: list[Found] = []

    def answer(found: Found) -> bool:
        asked.append(found)
        return yes(tree)(found)

    with Worker(codec) as worker:
        carried = worker.carry_out(order, answer)
    assert carried is not None
    assert carried.removal is not None
    assert carried.removal.outcome is RemovalOutcome.COMPLETE
    assert carried.removal.entries_removed == asked[0].entries > ENTRIES
    assert asked[0].children == (b"repo",)
    assert not list(tree.parents[1].glob("*/*"))


def test_orders_and_their_ends_go_through_any_pipe(aside: tuple[Path, Order]) -> None:
    tree, order = aside
    carried = carry_out_here(order, yes(tree), threading.Event())
    for sent in (order, carried, Found(1, 2, (b"a\xff",))):
        assert pickle.loads(pickle.dumps(sent)) == sent
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=type(sent)) == sent


def test_without_a_yes_nothing_is_touched(aside: tuple[Path, Order]) -> None:
    tree, order = aside
    before = fingerprint(tree)
    with Worker() as worker:
        assert worker.carry_out(order, lambda _: False) == Carried()
    assert fingerprint(tree) == before


@contextmanager
def changed(tree: Path) -> Iterator[str]:
    (tree / "repo" / "new").write_text("work")
    yield "changed since it was measured"


@contextmanager
def replaced(tree: Path) -> Iterator[str]:
    tree.rename(tree.with_name("other"))
    tree.mkdir()
    (tree / "repo").mkdir()
    yield "another directory"


@contextmanager
def mounted(tree: Path) -> Iterator[str]:
    with bind(tree.parents[4] / "workspaces" / "live-0", tree / "repo"):
        yield "contains a mount point"


@pytest.mark.parametrize("act", [changed, replaced, mounted])
def test_a_worker_refuses_what_is_not_as_the_order_says(aside: tuple[Path, Order], act: Callable) -> None:
    tree, order = aside
    with act(tree) as words:
        before = sorted(path.name for path in tree.rglob("*"))
        with Worker() as worker:
            carried = worker.carry_out(order, lambda _: pytest.fail("it asked"))
        assert carried is not None
        assert words in carried.doubt
        assert sorted(path.name for path in tree.rglob("*")) == before


@pytest.mark.parametrize("what", ["control_inode", "inode"])
def test_another_place_or_tree_of_that_name_is_not_touched(aside: tuple[Path, Order], what: str) -> None:
    tree, order = aside
    before = fingerprint(tree)
    wrong = msgspec.structs.replace(order, **{what: 1})
    if what == "control_inode":
        with pytest.raises(VolumeError, match="not the control directory"):
            carry_out_here(wrong, yes(tree), threading.Event())
    else:
        assert "another directory" in carry_out_here(wrong, yes(tree), threading.Event()).doubt
    assert fingerprint(tree) == before


@pytest.mark.parametrize("sweep_id", ["", ".", "..", "a/b", "/etc", "a\n"])
def test_an_order_names_one_directory_of_the_control_directory(aside: tuple[Path, Order], sweep_id: str) -> None:
    _, order = aside
    sent = msgspec.msgpack.encode(msgspec.structs.replace(order, sweep_id=sweep_id))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(sent, type=Order)


@pytest.mark.parametrize("end", [lambda worker: worker.cut_off(), lambda worker: worker.process.kill()])
def test_what_a_lost_worker_leaves_is_finished_by_another(aside: tuple[Path, Order], end: Callable) -> None:
    tree, order = aside
    slowly = msgspec.structs.replace(order, max_ops_per_second=1_000.0, max_in_flight=1)
    begun = tree.parents[1] / "removing" / tree.name

    def lose(worker: Worker) -> None:
        while not begun.exists() or sum(1 for _ in begun.rglob("*")) >= ENTRIES:
            time.sleep(0.01)
        end(worker)

    with Worker() as worker:
        losing = threading.Thread(target=lose, args=(worker,))
        losing.start()
        carried = worker.carry_out(slowly, yes(tree))
        losing.join()
        worker.process.wait(30)
    assert carried is None or (carried.removal is not None and carried.removal.cancelled)
    left = sum(1 for _ in begun.rglob("*"))
    assert 0 < left < ENTRIES
    with Worker() as worker:
        again = worker.carry_out(msgspec.structs.replace(order, begun=True), lambda _: True)
    assert again is not None
    assert again.removal is not None
    assert again.removal.complete
    assert not begun.exists()


# --- whole sweeps ---------------------------------------------------------------------------------------------------


def plan_of_two(rig: Rig) -> Plan:
    rig.volume.live("live-0", 2)
    for number in range(2):
        rig.volume.deleted(f"gone-{number}", 30)
    return rig.plan(cap=10)


def test_a_sweep_is_the_same_with_its_removals_elsewhere(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "carry_out", elsewhere)
    report = rig.sweep(plan_of_two(rig))
    assert results(report) == {"gone-0": "removed", "gone-1": "removed"}
    assert report.ending is Ending.DONE
    assert all(outcome.entries_removed > 30 for outcome in report.outcomes)
    assert rig.volume.names() == {"live-0"}
    assert not rig.trash()
    [past] = rig.history()
    assert [str(outcome.result) for outcome in past.outcomes] == ["removed", "removed"]


def test_the_registrys_last_word_reaches_a_removal_elsewhere(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is undeleted between the confirmation and the worker's question."""
    plan = plan_of_two(rig)
    before = fingerprint(rig.volume.root / "gone-0" / "repo")

    def revived(order: Order, *arguments: Any, **keywords: Any) -> None:
        if order.number == 0:
            rig.volume.revive_session("gone-0")
        elsewhere(order, *arguments, **keywords)

    monkeypatch.setattr(removal, "carry_out", revived)
    report = rig.sweep(plan)
    assert results(report) == {"gone-0": "restored", "gone-1": "removed"}
    assert fingerprint(rig.volume.root / "gone-0" / "repo") == before


def test_a_resume_orders_what_a_worker_that_died_has_begun(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of_two(rig)

    def died(order: Order, *arguments: Any, **keywords: Any) -> None:
        """After the yes, and before the first unlink."""
        _, pool, ask = arguments

        def work() -> None:
            with Worker() as worker:

                def answer(found: Found) -> bool:
                    allowed: bool = ask(found)
                    worker.process.kill()
                    return allowed

                worker.carry_out(order, answer)
            keywords["on_done"](Carried(failure="the worker has died"))

        pool.submit(work)

    with monkeypatch.context() as patched:
        patched.setattr(removal, "carry_out", died)
        report = rig.sweep(plan)
    assert results(report) == {"gone-0": "failed", "gone-1": "failed"}
    assert "the worker has died" in report.outcomes[0].reason
    given: list[Order] = []

    def noted(order: Order, *arguments: Any, **keywords: Any) -> None:
        given.append(msgspec.msgpack.decode(msgspec.msgpack.encode(order), type=Order))
        elsewhere(order, *arguments, **keywords)

    monkeypatch.setattr(removal, "carry_out", noted)
    assert results(rig.resume()) == {"gone-0": "removed", "gone-1": "removed"}
    assert [order.begun for order in given] == [True, True]
    assert not rig.trash()
