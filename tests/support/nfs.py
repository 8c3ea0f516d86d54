"""The guest's NFS server and the hosts that mount from it: all in one kernel, and yet strangers to each other.

nfsd asks a daemon about clients and exports; here the answers are written to its caches beforehand, so that no program
of the NFS tools is needed. A host is a client of its own to the server where its name and the server's address differ
from those of the others: it has its own lease, locks, delegations and caches.
"""

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.guest import MEDIA
from tests.support.mounts import ext4

_NFSD = Path("/proc/fs/nfsd")
_CACHES = Path("/proc/net/rpc")
#: Seconds, the shortest that nfsd takes; as long a server that has started waits for those who held locks before.
LEASE = 10
_FOR_EVER = 2**31 - 1
_NOBODY = 65534
PATIENCE = 45.0

READ_ONLY = 0x1
_INSECURE = 0x2
ROOT_SQUASH = 0x4
ALL_SQUASH = 0x8
_NO_SUBTREE_CHECK = 0x400
_NUMBERED = 0x2000
_CROSS_MOUNTS = 0x4000


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Returns as soon as the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not in {patience:.0f} s: {what}"
        time.sleep(0.02)


class Server:
    """The server of this guest; `volume` is the exported directory as the server itself sees it."""

    def __init__(self) -> None:
        self._exports = MEDIA / "exports"
        self._recovery = MEDIA / "recovery"
        self._disk = MEDIA / "disk"
        #: number, flags and user of each exported place
        self._exported: dict[Path, tuple[int, int, int]] = {}

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """With a volume on ext4 exported as `/main`."""
        for directory in (self._exports, self._recovery):
            directory.mkdir()
        _run("mount", "-t", "tmpfs", "tmpfs", self._exports)
        _run("mount", "-t", "nfsd", "nfsd", _NFSD)
        _write(_CACHES / "auth.unix.ip/channel", f"nfsd 127.0.0.1 {_FOR_EVER} everybody")
        _write(_NFSD / "nfsv4recoverydir", str(self._recovery))
        for period in ("nfsv4leasetime", "nfsv4gracetime"):
            _write(_NFSD / period, str(LEASE))
        _write(_NFSD / "versions", "-2 -3 +4 +4.1")
        self._export(self._exports, _CROSS_MOUNTS)
        with ext4(self._disk, 192) as disk:
            self.export("main", disk)
            self.start()
            self.end_grace()
            yield self
            self.stop()

    @property
    def volume(self) -> Path:
        """What `/main` exports."""
        return self._disk

    # --- exports ------------------------------------------------------------------------------------------------------

    def export(self, name: str, directory: Path, flags: int = 0, user: int = _NOBODY) -> str:
        """Exports a directory as `/name`; `user` is whom squashed clients become. Returns the name."""
        place = self._exports / name
        place.mkdir()
        _run("mount", "--bind", directory, place)
        self._export(place, flags, user)
        return name

    def change(self, name: str, flags: int) -> None:
        """Exports `/name` in another way from now on."""
        self._export(self._exports / name, flags)

    def _export(self, place: Path, flags: int, user: int = _NOBODY) -> None:
        number, _, _ = self._exported.get(place, (len(self._exported), 0, 0))
        self._exported[place] = number, flags | _INSECURE | _NO_SUBTREE_CHECK | _NUMBERED, user
        self._answer(place)

    def _answer(self, place: Path) -> None:
        number, flags, user = self._exported[place]
        export = f"everybody {place} {_FOR_EVER} {flags} {user} {user} {number}"
        _write(_CACHES / "nfsd.export/channel", export)
        handle = f"\\x{struct.pack('I', number).hex()}"
        _write(_CACHES / "nfsd.fh/channel", f"everybody 1 {handle} {_FOR_EVER} {place}")

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Serves, after a period of grace for those who held something before."""
        for place in self._exported:  # nfsd forgets the answers when it stops
            self._answer(place)
        _write(_NFSD / "portlist", "tcp 2049")
        _write(_NFSD / "threads", "8")

    def stop(self) -> None:
        """Goes away as by a crash: it forgets opens and locks, and hosts wait for ever for an answer."""
        _write(_NFSD / "threads", "0")

    def end_grace(self) -> None:
        """Ends the period of grace: whoever has not come back by now has lost what it held."""
        _write(_NFSD / "v4_end_grace", "Y")

    def forget_hosts(self) -> None:
        """Nobody will be known after the next start, so that nobody gets back what it held. Call it while stopped."""
        for directory in self._recovery.iterdir():
            shutil.rmtree(directory)

    def expire(self, host: str) -> None:
        """Takes a host's lease away, with all its opens and locks, as after a long break of the network."""
        for client in (_NFSD / "clients").iterdir():
            if f' {host}"' in (client / "info").read_text():
                _write(client / "ctl", "expire")
                return
        raise AssertionError(f"the server knows no {host}")


@contextmanager
def mounted(name: str, at: Path, *, host: str, address: str, options: str = "") -> Iterator[Path]:
    """`/name` mounted on `at`, which is made, as this host does it that reaches the server at this address."""
    at.mkdir()
    before = socket.gethostname()
    socket.sethostname(host)
    try:
        mount = f"vers=4.1,proto=tcp,hard,nosharecache,clientaddr=127.0.0.1,addr={address}"
        _run("mount", "-i", "-t", "nfs4", "-o", mount + options, f"{address}:/{name}", at)
    finally:
        socket.sethostname(before)
    try:
        yield at
    finally:
        _run("umount", "--lazy", at)
        at.rmdir()


def _write(file: Path, line: str) -> None:
    """One answer or order: the kernel takes a line in one piece."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
