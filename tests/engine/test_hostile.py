"""Messages that no front end of ours would send, and answers that no engine of ours would give."""

import contextlib
import io
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sweeper_gui.core.plan import Plan
from sweeper_gui.core.plan import Request as Asked
from sweeper_gui.core.policy import Treatment
from sweeper_gui.core.verdict import Status, Verdict
from sweeper_gui.core.workspace import Kind
from sweeper_gui.engine import messages as m
from sweeper_gui.engine.host import EngineGone
from sweeper_gui.engine.process import BadFrame, EngineProcess, _answer, encoded, read_frame
from tests.engine.driving import Driver, settings_of
from tests.support.local import LocalHost
from tests.support.trees import fingerprint, make_tree
from tests.support.volume import FakeVolume

REPO = Path(__file__).parents[2]


class Besieged:
    """An engine on a volume, and what must be the same whatever it is told: all but the orphans."""

    def __init__(self, volume: FakeVolume) -> None:
        self.volume = volume
        self.outside = make_tree(volume.root.parent / "precious", 5)
        (volume.root / "link").symlink_to(self.outside)
        self.host = LocalHost()
        self.driver = Driver(self.host, settings_of(volume))
        self.driver.run(m.Scan())
        self._before = self._prints()

    def _prints(self) -> dict[str, str]:
        kept = [self.volume.root / name for name in ("live-0", "live-1", "live-2", "file", "link")]
        return {path.name: fingerprint(path) for path in (*kept, self.outside)}

    def check(self) -> None:
        """The engine answers, and nothing that it must not touch has changed."""
        assert isinstance(self.host.request(m.Poll()), m.Update)
        assert self._prints() == self._before

    def plan(self, *names: str, **request: Any) -> Plan:
        planned = self.driver.run(m.Prepare(Asked(names=tuple(name.encode() for name in names), **request)))
        assert isinstance(planned, m.Planned)
        return planned.plan

    def sweep(self, plan: Plan) -> dict[bytes, Any]:
        result = self.driver.run(m.Sweep(plan, plan.digest))
        self.check()
        if isinstance(result, m.Failure):
            return {b"": result}
        return {outcome.name: outcome for outcome in result.report.outcomes}


@pytest.fixture
def besieged(volume: FakeVolume) -> Iterator[Besieged]:
    made = Besieged(volume)
    yield made
    made.host.close()


# --- a plan that no one has made --------------------------------------------------------------------------------------


def test_a_plan_that_calls_a_live_workspace_an_orphan_is_refused_by_the_recheck(besieged: Besieged) -> None:
    (orphan,) = besieged.plan("gone-0").candidates
    live = besieged.driver.rows[b"live-0"]
    assert live.usage is not None
    forged = replace(orphan, workspace=live.workspace, usage=live.usage)
    with_another_id = replace(forged, workspace=replace(live.workspace, id="gone-0"))
    for candidate in (forged, with_another_id):
        outcome = besieged.sweep(Plan((candidate,), explicit=True))[b"live-0"]
        assert str(outcome.result) == "skipped"
        assert outcome.reason


@pytest.mark.parametrize(
    "name",
    [
        b"", b".", b"..", b"../precious", b"/etc", b"gone-0/..", b"gone-0/repo", b"live-0/", b"link", b"gone-0\0",
        b"x" * 70_000,
    ],
    ids=lambda name: repr(name[:12]),
)  # fmt: skip
def test_a_name_that_leads_elsewhere_leads_nowhere(besieged: Besieged, name: bytes) -> None:
    (orphan,) = besieged.plan("gone-0").candidates
    for kind in (Kind.DIRECTORY, Kind.SYMLINK):
        candidate = replace(orphan, workspace=replace(orphan.workspace, name=name, kind=kind))
        (outcome,) = besieged.sweep(Plan((candidate,), explicit=True)).values()
        assert str(outcome.result) in ("skipped", "failed")
    for request in (m.Restore((name,)), m.Purge((name,)), m.Pin(name, True)):
        besieged.driver.run(request)
        besieged.check()
    assert besieged.volume.names() >= {"gone-0", "gone-1", "gone-2"}


def test_evidence_that_is_older_than_the_tree_keeps_it(besieged: Besieged) -> None:
    """Forged as if it had not changed for years: the discovery sees that it has."""
    (orphan,) = besieged.plan("gone-0").candidates
    usage = replace(orphan.usage, newest_change_ns=1, newest_ctime_ns=1)
    outcome = besieged.sweep(Plan((replace(orphan, usage=usage),), explicit=True))[b"gone-0"]
    assert str(outcome.result) == "restored"
    assert (besieged.volume.root / "gone-0").is_dir()


def without_doubts(plan: Plan) -> Plan:
    return replace(plan, candidates=tuple(replace(c, verdict=Verdict(Status.ORPHAN, "")) for c in plan.candidates))


def to_be_removed(plan: Plan) -> Plan:
    return replace(plan, candidates=tuple(replace(c, treatment=Treatment.REMOVE) for c in plan.candidates))


@pytest.mark.parametrize(
    "forge",
    [
        lambda plan: replace(to_be_removed(plan), explicit=False),
        lambda plan: replace(to_be_removed(plan), allow_empty=True),
        lambda plan: to_be_removed(without_doubts(plan)),
    ],
    ids=["not by name", "with an empty registry", "without its doubts"],
)
def test_a_doubtful_one_is_not_removed_by_a_forged_plan(besieged: Besieged, forge: Callable[[Plan], Plan]) -> None:
    outcome = besieged.sweep(forge(besieged.plan("lost-0")))[b"lost-0"]
    assert str(outcome.result) == "skipped"
    assert (besieged.volume.root / "lost-0").is_dir()


def test_an_empty_registry_is_not_allowed_without_names(besieged: Besieged) -> None:
    plan = besieged.plan("gone-0", set_aside=True)
    for name in ("gone-0", "gone-1", "gone-2", "live-0", "live-1", "live-2"):
        besieged.volume.forget_session(name)
    besieged.sweep(replace(plan, allow_empty=True, explicit=False))
    assert "gone-0" in besieged.volume.names()


# --- frames -----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_none(data: bytes) -> None:
    stream = io.BytesIO(data)
    with contextlib.suppress(BadFrame):
        while read_frame(stream) is not None:
            pass


def samples(besieged: Besieged) -> list[m.Request]:
    """One of each kind of message, in earnest."""
    plan = besieged.plan("gone-0", "gone-1")
    items = (("20260101T000000.000000Z-abcdef", 0),)
    return [
        m.Open(b"{}"), m.Poll(), m.ReadRegistry(), m.Prepare(Asked((b"gone-0",))),
        m.Sweep(plan, plan.digest, dry_run=True), m.ListTrash(), m.Restore((b"gone-0",), items),
        m.Purge((b"gone-0",), 0.0), m.Resume(), m.ReadHistory(), m.Pin(b"gone-2", True), m.Cancel(1),
        m.SetImpact("fast"),
    ]  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, frames: list[bytes]) -> bytes:
    """A frame of ours with some bytes changed, taken out or put in; or cut, or doubled."""
    frame = bytearray(draw(st.sampled_from(frames)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(frame)))
        how = draw(st.sampled_from(["change", "insert", "cut", "repeat"]))
        if how == "change" and at < len(frame):
            frame[at] = draw(st.integers(0, 255))
        elif how == "insert":
            frame[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif how == "cut":
            del frame[at:]
        else:
            frame[at:at] = frame[:at]
    return bytes(frame)


def test_no_message_however_spoilt_harms_anything_or_stops_the_engine(besieged: Besieged) -> None:
    """In any order, with jobs of earlier ones still running."""
    frames = [msgspec.msgpack.encode(sample) for sample in samples(besieged)]
    handle = besieged.host.request

    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(st.sampled_from(frames), spoilt(frames)), min_size=1, max_size=3))
    def told(messages: list[bytes]) -> None:
        for message in messages:
            reply = _answer(handle, message)
            assert isinstance(reply, m.Update | m.Started | m.Done | m.Failure)
            assert encoded(reply)

    told()
    besieged.host.request(m.Cancel())
    besieged.driver.until(lambda _: not any(t.name.startswith("job-") for t in threading.enumerate()))
    besieged.check()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\0\0\1\0cut", b"ends too early"),
        (b"\xff\xff\xff\xff", b"a message of 4294967295 bytes"),
        (struct.pack(">I", 100_020) + b"\x82\xa4type\xa6Resume\xa1x" + b"\x91" * 100_006, b"not a request"),
    ],
    ids=["cut", "huge", "deep"],
)
def test_an_engine_says_why_it_ends_or_refuses(sent: bytes, words: bytes) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sweeper_gui", "engine"], cwd=REPO,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as engine:  # fmt: skip
        answer, said = engine.communicate(sent, timeout=60)
    assert words in answer + said
    assert b"Traceback" not in said


# --- an engine that is none -------------------------------------------------------------------------------------------


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\7short", frame(b""), frame(b"junk"), frame(b"\x91" * 100_000),
        frame(msgspec.msgpack.encode(m.Resume())),
        frame(b"\x82\xa4type\xa6Update\xa1x" + b"\x91" * 100_000),
        frame(msgspec.msgpack.encode({"type": "Update", "rows": [{"workspace": 3}]})),
        frame(msgspec.msgpack.encode({"type": "Started", "job": "1"})),
    ],
    ids=["nothing", "cut head", "huge", "cut", "empty", "junk", "deep", "a request", "deep in a field", "rows", "text"],
)  # fmt: skip
def test_an_answer_that_is_none_means_that_the_engine_is_gone(answer: bytes, tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(answer)
    answering = f"sys.stdout.buffer.write(open({str(tmp_path / 'answer')!r}, 'rb').read())"
    script = f"import sys; sys.stdin.buffer.read(4); {answering}"
    engine = EngineProcess([sys.executable, "-S", "-c", script])
    try:
        with pytest.raises(EngineGone, match=r"\w+ engine"):
            engine.request(m.Poll())
    finally:
        engine.close()
