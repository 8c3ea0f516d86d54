"""A plan as a file: nothing is taken that is not in it, has changed, or is judged otherwise."""

import hashlib
import json
import math
import random
import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sweeper_gui.core.audit import Who
from sweeper_gui.core.plan import Plan, Request, make_plan
from sweeper_gui.core.policy import Policy, Treatment
from sweeper_gui.core.proposal import (
    PlanFile,
    PlanProblem,
    VolumeMark,
    as_planned,
    check,
    check_answers,
    decoded,
    plan_file,
    within,
)
from sweeper_gui.core.row import Row
from sweeper_gui.core.snapshot import RegistryIdentity, Session
from sweeper_gui.core.usage import Usage
from sweeper_gui.core.verdict import Doubt, Status, Verdict
from sweeper_gui.core.workspace import Identity, Kind, Workspace

NOW = 1_795_507_331.0
MARK = VolumeMark("/mnt/efs", 2, 77)
REGISTRY = RegistryIdentity("sqlite", path="/srv/collab.db")
USAGE = Usage(4096, 4000, 5, 3, 1_795_000_000_000_000_001, 1_795_000_000_000_000_002, NOW - 5)
POLICY = Policy()


DELETED = Session("dead", True, "Title", "octocat")


def row(name: bytes = b"dead", *doubts: Doubt, session: Session | None = DELETED) -> Row:
    workspace = Workspace(name, Kind.DIRECTORY, id=name.decode("utf-8", "replace"), identity=Identity(1, 2, 3, 4))
    return Row(workspace, Verdict(Status.ORPHAN, "session deleted 3 Oct", doubts), USAGE, session)


def proposed(*rows: Row, plan: Plan | None = None, set_aside_only: bool = False, **asked: Any) -> PlanFile:
    made = plan or make_plan(rows, Request(cap=10, **asked), POLICY)
    return plan_file(
        made, by=Who("amelie", "laptop", 3), at=NOW, ticket="OPS-1", version="1", volume=MARK, registries=(REGISTRY,),
        policy=POLICY, set_aside_only=set_aside_only, sessions={one.name: one.session for one in rows},
    )  # fmt: skip


def planned(file: PlanFile, *rows: Row, policy: Policy = POLICY, set_aside_only: bool = False) -> Plan:
    return as_planned(file, rows, policy, set_aside_only=set_aside_only)


# --- what is unchanged ----------------------------------------------------------------------------------------------


def test_what_is_as_it_was_is_swept_as_proposed() -> None:
    rows = [row(b"b"), row(b"a", Doubt.UNEXPLAINED, session=None), row(b"not\xffutf8")]
    original = make_plan(rows, Request(cap=2, max_bytes=10**9), POLICY)
    file = decoded(proposed(*rows, plan=original).encoded())
    assert planned(file, *reversed(rows), row(b"new")).candidates == original.candidates
    assert (file.cap, file.max_bytes, file.proposal.by.person, file.ticket) == (2, 10**9, "amelie", "OPS-1")


def test_what_is_not_in_the_plan_is_never_taken() -> None:
    found = planned(proposed(row(b"a")), row(b"a"), row(b"new"))
    assert [one.name for one in found.candidates] == [b"a"]


def test_the_reason_may_be_worded_otherwise_and_the_usage_measured_later() -> None:
    later = replace(row(), verdict=Verdict(Status.ORPHAN, "other words"), usage=replace(USAGE, measured_at=NOW + 900))
    assert len(planned(proposed(row()), later).candidates) == 1


# --- what has changed -----------------------------------------------------------------------------------------------

IDENTITY = Identity(1, 2, 3, 4)
SESSION = Session("dead", True, deleted_at=NOW - 90 * 86_400)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workspace": replace(row().workspace, identity=replace(IDENTITY, inode=9))}, "another directory"),
        ({"workspace": replace(row().workspace, identity=replace(IDENTITY, mtime_ns=9))}, "it has changed"),
        ({"workspace": replace(row().workspace, identity=replace(IDENTITY, ctime_ns=9))}, "it has changed"),
        ({"workspace": replace(row().workspace, identity=None)}, "another directory"),
        ({"workspace": replace(row().workspace, id="other")}, "its id"),
        ({"usage": replace(USAGE, newest_change_ns=USAGE.newest_change_ns + 1)}, "something in it has changed"),
        ({"usage": replace(USAGE, newest_ctime_ns=USAGE.newest_ctime_ns + 1)}, "something in it has changed"),
        ({"usage": replace(USAGE, entries=6)}, "5 entries then, 6 now"),
        ({"usage": replace(USAGE, directories=4)}, "it has changed"),
        ({"usage": replace(USAGE, allocated=8192)}, "its size"),
        ({"usage": replace(USAGE, apparent=1)}, "its size"),
        ({"usage": None}, "no orphan any more"),
        ({"verdict": Verdict(Status.LIVE, "session is live")}, "no orphan any more (live): session is live"),
        ({"verdict": Verdict(Status.UNKNOWN, "can't be read")}, "no orphan any more (unknown)"),
        ({"verdict": Verdict(Status.ORPHAN, "x", (Doubt.UNSAVED_WORK,))}, "its doubts"),
        ({"session": None}, "its session"),
        ({"session": replace(SESSION, deleted_at=NOW)}, "its session"),
        ({"session": replace(SESSION, deleted=False)}, "its session"),
    ],
)  # fmt: skip
def test_a_workspace_that_changed_in_anything_is_refused(change: dict[str, Any], words: str) -> None:
    before = row(session=SESSION)
    found = planned(proposed(before), replace(before, **change))
    assert found.candidates == ()
    assert words in found.refused[0].reason
    assert found.refused[0].name == b"dead"


def test_one_that_is_gone_is_refused() -> None:
    assert "no such workspace" in planned(proposed(row())).refused[0].reason


# --- treatments -----------------------------------------------------------------------------------------------------


def test_rules_that_became_stricter_refuse_what_was_to_be_removed() -> None:
    loose = Policy(unexplained=Treatment.REMOVE)
    doubtful = row(b"odd", Doubt.UNEXPLAINED)
    file = proposed(doubtful, plan=make_plan([doubtful], Request(cap=1), loose))
    made_loose = plan_file(
        make_plan([doubtful], Request(cap=1), loose), by=file.by, at=NOW, ticket="", version="", volume=MARK,
        registries=(), policy=loose, set_aside_only=False, sessions={},
    )  # fmt: skip
    made_loose = replace(
        made_loose, candidates=(replace(made_loose.candidates[0], session=file.candidates[0].session),)
    )
    assert [one.treatment for one in planned(made_loose, doubtful, policy=loose).candidates] == [Treatment.REMOVE]
    assert "stricter" in planned(made_loose, doubtful).refused[0].reason
    assert "stricter" in planned(proposed(row()), row(), set_aside_only=True).refused[0].reason


def test_rules_that_became_looser_never_remove_what_was_to_be_set_aside() -> None:
    doubtful = row(b"odd", Doubt.UNEXPLAINED)
    found = planned(proposed(doubtful), doubtful, policy=Policy(unexplained=Treatment.REMOVE))
    assert [one.treatment for one in found.candidates] == [Treatment.SET_ASIDE]


def test_a_doubtful_one_is_removed_only_if_a_person_had_named_it() -> None:
    doubtful = row(b"odd", Doubt.UNEXPLAINED)
    file = proposed(doubtful, names=(b"odd",), remove_doubtful=True)
    assert file.candidates[0].in_spite_of
    assert [one.treatment for one in planned(file, doubtful).candidates] == [Treatment.REMOVE]


def test_a_plan_that_accepts_an_empty_registry_can_not_be_proposed() -> None:
    doubtful = row(b"odd", Doubt.UNEXPLAINED)
    with pytest.raises(PlanProblem, match="one run only"):
        proposed(doubtful, names=(b"odd",), allow_empty=True)


def test_a_plan_stays_within_the_approved_one_only_with_the_same_or_less() -> None:
    approved = planned(proposed(row(b"a"), row(b"b")), row(b"a"), row(b"b"))
    assert within(approved, approved)
    assert within(approved.all_set_aside(), approved)
    assert within(replace(approved, candidates=approved.candidates[:1]), approved)
    assert not within(approved, approved.all_set_aside())
    assert not within(replace(approved, cap=11), approved)
    assert not within(replace(approved, max_bytes=11), approved)
    assert not within(replace(approved, allow_empty=True), approved)
    other = planned(proposed(row(b"c")), row(b"c"))
    assert not within(other, approved)
    forged = replace(approved.candidates[0], verdict=Verdict(Status.ORPHAN, "", (Doubt.UNEXPLAINED,)))
    assert not within(replace(approved, candidates=(forged,)), approved)


# --- the file -------------------------------------------------------------------------------------------------------


def test_every_single_byte_counts() -> None:
    data = proposed(row(), row(b"not\xffutf8")).encoded()
    rng = random.Random(7)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ rng.randint(1, 255)]) + data[place + 1 :]
        with pytest.raises(PlanProblem):
            decoded(changed)
    for cut in range(0, len(data), 7):
        with pytest.raises(PlanProblem):
            decoded(data[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"schema": 1}',
        b'{"schema": "1"}',
        b"\xff\xfe{",
        b"[" * 1_000_000,
        b'{"schema": ' + b"[" * 1_000_000,
        b'{"x": ' * 200_000 + b"1" + b"}" * 200_000,
        b'{"schema": 1e999}',
        b'{"schema": ' + b"9" * 10_000 + b"}",
    ],
)  # fmt: skip
def test_anything_else_is_no_plan(data: bytes) -> None:
    with pytest.raises(PlanProblem):
        decoded(data)


def test_a_plan_of_another_schema_says_so() -> None:
    with pytest.raises(PlanProblem, match="schema is 2"):
        decoded(proposed(row()).encoded().replace(b'"schema": 1', b'"schema": 2'))


def forged(**change: Any) -> bytes:
    """A file with another content whose digest fits: who may write the file can do that."""
    of_one = ("name", "name_bytes", "in_spite_of", "entries")
    candidate = {name: change.pop(name) for name in of_one if name in change}
    file = proposed(row())
    file = replace(file, candidates=tuple(replace(one, **candidate) for one in file.candidates))
    file = replace(file, **change, digest="")
    digest = hashlib.sha256(msgspec.json.encode(file)).hexdigest()
    return replace(file, digest=digest).encoded()


def test_a_forged_file_whose_digest_fits_is_read_and_judged_by_its_evidence() -> None:
    assert decoded(forged()).names == (b"dead",)
    file = decoded(forged(entries=6))
    assert "it has changed" in planned(file, row()).refused[0].reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidates": ()}, "proposes nothing"),
        ({"candidates": proposed(row()).candidates * 2}, "twice"),
        ({"name": "../alive"}, "no name of a workspace"),
        ({"name": "/etc"}, "no name of a workspace"),
        ({"name": "a//b"}, "no name of a workspace"),
        ({"name": "."}, "no name of a workspace"),
        ({"name": ""}, "no name of a workspace"),
        ({"name": "a\0b"}, "no name of a workspace"),
        ({"name": "x" * 5_000}, "no name of a workspace"),
        ({"name_bytes": b"../x"}, "no name of a workspace"),
        ({"in_spite_of": True}, "nobody named it"),
        ({"ticket": "two\nlines"}, "one line"),
        ({"cap": 0}, "no plan"),
        ({"max_bytes": -1}, "no plan"),
        ({"entries": -1}, "no plan"),
        ({"entries": 1 << 63}, "no plan"),
        ({"order": "newest"}, "no plan"),
    ],
)
def test_a_forged_file_that_contradicts_itself_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanProblem, match=words):
        decoded(forged(**change))


def test_numbers_that_are_none_are_refused() -> None:
    for value in ("NaN", "Infinity", "1e400"):
        text = proposed(row()).encoded().decode()
        measured = json.loads(text)["candidates"][0]["measured_at"]
        with pytest.raises(PlanProblem):
            decoded(text.replace(str(measured), value).encode())
    assert not math.isfinite(float("1e400"))


# --- for what, and how old ------------------------------------------------------------------------------------------


def checked(file: PlanFile, **change: Any) -> None:
    facts: dict[str, Any] = {"now": NOW + 60, "max_age": 3_600.0, "volume": MARK, "registries": (REGISTRY,)}
    check(file, **(facts | change))


@pytest.mark.parametrize(
    ("change", "words", "foreign"),
    [
        ({"now": NOW + 3_700}, "is 61 minutes old", False),
        ({"now": NOW - 3_600}, "from the future", False),
        ({"now": math.nan}, "from the future", False),
        ({"volume": replace(MARK, root="/mnt/other")}, "is for /mnt/efs, not for /mnt/other", True),
        ({"volume": replace(MARK, root_inode=3)}, "another directory lies at", True),
        ({"volume": replace(MARK, control_inode=78)}, "control directory", True),
        ({"volume": replace(MARK, control_inode=None)}, "control directory", True),
        ({"registries": ()}, "was made with the registry sqlite", True),
        ({"registries": (REGISTRY, replace(REGISTRY, path="/x"))}, "was made with the registry", True),
    ],
)
def test_a_plan_is_for_one_volume_one_registry_and_some_days(change: dict[str, Any], words: str, foreign: bool) -> None:
    with pytest.raises(PlanProblem, match=words) as raised:
        checked(proposed(row()), **change)
    assert raised.value.foreign is foreign
    assert raised.value.hint


def test_behind_the_same_name_there_must_be_the_same_registry() -> None:
    file = replace(proposed(row()), registries=(replace(REGISTRY, answered="system 7"),))
    checked(file)
    check_answers(file, (replace(REGISTRY, answered="system 7"),))
    check_answers(file, (REGISTRY,))  # one that could not be read says nothing, and makes everything unknown
    with pytest.raises(PlanProblem, match="is system 8 now; the plan was made with system 7") as raised:
        check_answers(file, (replace(REGISTRY, answered="system 8"),))
    assert raised.value.foreign


def test_a_volume_that_has_got_its_control_directory_since_is_still_the_one() -> None:
    file = replace(proposed(row()), volume=replace(MARK, control_inode=None))
    checked(file)
    checked(file, now=NOW - 30)  # another host's clock may be a little ahead


def test_ten_thousand_candidates_are_compared_in_no_time() -> None:
    rows = [row(b"w%d" % number) for number in range(10_000)]
    data = plan_file(
        make_plan(rows, Request(cap=10_000), POLICY), by=Who("a", "h", 1), at=time.time(), ticket="", version="",
        volume=MARK, registries=(), policy=POLICY, set_aside_only=False,
        sessions={one.name: one.session for one in rows},
    ).encoded()  # fmt: skip
    assert len(planned(decoded(data), *rows).candidates) == 10_000
