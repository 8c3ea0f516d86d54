"""NFSv4.1 in earnest: the tests of this directory run in a guest (tests/support/uml.py), with one server and two hosts.

On the host each of them is an ordinary test that takes its result from the guest's report. What follows is read on both
sides: the hooks first, then the fixtures, which only the guest uses.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sweeper_gui.storage.queue import WorkPool
from tests.support.guest import MEDIA
from tests.support.nfs import Server, mounted
from tests.support.uml import IN_GUEST, LIFETIME, Guest, GuestFailed, report_of_failure
from tests.support.volume import FakeVolume
from tests.sweep.rig import Rig

_HERE = Path(__file__).parent
_GUEST = pytest.StashKey[Guest]()
_REPORTS = MEDIA / "reports/reports.jsonl"


def _ours(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if item.path.is_relative_to(_HERE)]


if IN_GUEST:

    def pytest_runtest_logreport(report: pytest.TestReport) -> None:
        """One line for the host; hostfs hands it on at once."""
        with _REPORTS.open("a") as file:
            file.write(json.dumps(report._to_json()) + "\n")

else:

    def pytest_collection_finish(session: pytest.Session) -> None:
        """The guest boots and works while other tests run here; several processes of one run share it."""
        ours = _ours(session.items)
        if not ours or session.config.option.collectonly:
            return
        base: Path = getattr(session.config, "_tmp_path_factory").getbasetemp()  # noqa: B009 - pytest tells it nowhere else
        shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        guest = session.config.stash[_GUEST] = Guest(shared / "guest")
        guest.start([item.nodeid for item in ours])
        for item in ours:
            item.add_marker(pytest.mark.timeout(LIFETIME + 30))

    def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
        """Reports what the guest has reported."""
        if not _ours([item]):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            reported = item.config.stash[_GUEST].reports(item.nodeid)
            reports = [pytest.TestReport._from_json(report) for report in reported]
        except GuestFailed as error:
            reports = [report_of_failure(item, str(error))]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_sessionfinish(session: pytest.Session) -> None:
        """Nothing is left running, once the other processes of the run have what they wait for."""
        if _GUEST in session.config.stash:
            session.config.stash[_GUEST].stop(at_once=bool(session.shouldstop or session.shouldfail))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server, with the volume that both hosts mount."""
    with Server().running() as server:
        yield server


@pytest.fixture(scope="session")
def mount_a(server: Server) -> Iterator[Path]:
    """The volume as host a sees it."""
    with mounted("main", MEDIA / "a", host="host-a", address="127.0.0.1") as mount:
        yield mount


@pytest.fixture(scope="session")
def mount_b(server: Server) -> Iterator[Path]:
    """The volume as host b sees it."""
    with mounted("main", MEDIA / "b", host="host-b", address="127.0.0.2") as mount:
        yield mount


@pytest.fixture(scope="session")
def caching_mount(server: Server) -> Iterator[Path]:
    """The volume as another mount of host a sees it, which believes what it knows for an hour."""
    with mounted("main", MEDIA / "caching", host="host-a", address="127.0.0.1", options=",actimeo=3600") as mount:
        yield mount


@pytest.fixture
def case(server: Server) -> str:
    """The test's own directory on the volume."""
    return Path(tempfile.mkdtemp(prefix="case-", dir=server.volume)).name


@pytest.fixture
def pool() -> Iterator[WorkPool]:
    """Workers."""
    pool = WorkPool(8)
    yield pool
    pool.close()


@pytest.fixture
def a(mount_a: Path, case: str, pool: WorkPool, tmp_path: Path) -> Rig:
    """The test's volume under a sweep from host a; the registry lies on a local disk."""
    return Rig(tmp_path, pool, FakeVolume(mount_a / case, tmp_path / "collab.sqlite3"))


@pytest.fixture
def b(mount_b: Path, case: str, pool: WorkPool, tmp_path: Path) -> Rig:
    """The same from host b."""
    (tmp_path / "b").mkdir()
    return Rig(tmp_path / "b", pool, FakeVolume(mount_b / case, tmp_path / "collab.sqlite3"))


@pytest.fixture
def caching(caching_mount: Path, case: str, pool: WorkPool, tmp_path: Path) -> Rig:
    """The same from host a, which believes what it knows for an hour."""
    (tmp_path / "caching").mkdir()
    return Rig(tmp_path / "caching", pool, FakeVolume(caching_mount / case, tmp_path / "collab.sqlite3"))
