"""The first process of the guest (see uml.py): prepares what Linux needs, runs the tests, and switches the guest off.

    python -m tests.support.guest DIRECTORY

reads the tests to run from `DIRECTORY/tests`, and writes what became of them to `DIRECTORY/reports.jsonl`, on the host.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import traceback
from pathlib import Path

#: Everything that the guest makes lies below, in its memory.
MEDIA = Path("/media")
_REPORTS = MEDIA / "reports"
_MODULES = Path("/usr/lib/uml/modules")
_NEEDED = ("nfsd", "nfsv4", "loop")
_TEST_TIMEOUT = 60

_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x41
_POWER_OFF = 0x4321FEDC
_SYS_FINIT_MODULE = 313
_libc = ctypes.CDLL(None, use_errno=True)


def main(directory: Path) -> None:
    """Runs as process 1: whatever happens, the guest goes off at the end."""
    try:
        _prepare(directory)
        _run(_pytest(directory))
    except BaseException:  # noqa: BLE001 - an init that dies is a panic of the kernel, which tells less
        traceback.print_exc()
    sys.stdout.flush()
    _libc.reboot(_POWER_OFF)


def _prepare(directory: Path) -> None:
    _mount("proc", Path("/proc"))
    _mount("sysfs", Path("/sys"))
    _mount("tmpfs", MEDIA)
    for name in ("reports", "home", "tmp"):
        (MEDIA / name).mkdir()
    _mount("hostfs", _REPORTS, str(directory))
    os.environ |= {"HOME": str(MEDIA / "home"), "TMPDIR": str(MEDIA / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    for module in _NEEDED:
        _load(module)
    _bring_loopback_up()


def _mount(kind: str, at: Path, options: str = "") -> None:
    if _libc.mount(kind.encode(), bytes(at), kind.encode(), 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(at))


def _load(module: str) -> None:
    """Loads a module and before it those that it needs; modprobe would look for them in the host's place."""
    directory = _MODULES / os.uname().release
    needs = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[file] = others.split()
    (wanted,) = (file for file in needs if file.endswith(f"/{module}.ko"))
    for file in (*reversed(needs[wanted]), wanted):
        descriptor = os.open(directory / file, os.O_RDONLY)
        try:
            if _libc.syscall(_SYS_FINIT_MODULE, descriptor, b"", 0) != 0 and ctypes.get_errno() != 17:  # loaded before
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), file)
        finally:
            os.close(descriptor)


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def _pytest(directory: Path) -> subprocess.Popen[bytes]:
    tests = (directory / "tests").read_text().split("\n")[:-1]
    options = ["-p", "no:cacheprovider", f"--basetemp={MEDIA}/tmp/pytest", f"--timeout={_TEST_TIMEOUT}", "--tb=short"]
    command = [sys.executable, "-m", "pytest", "--color=no", *options, *tests]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[2])


def _run(process: subprocess.Popen[bytes]) -> None:
    """Waits for it; orphans of any process become ours."""
    while os.wait()[0] != process.pid:
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
