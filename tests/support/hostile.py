"""A process that had been at work in a tree before it was set aside, and now does its worst to the removal.

    with hostile(top, outside, stash) as attacker:
        ...
    assert attacker.done["link"] > 0

It holds every directory of the tree open, so that no closed door above the tree keeps it out, and goes on and on, at
random: exchanges directories for links to `outside` and back (in one step, by RENAME_EXCHANGE), moves directories to
`stash`, a directory of its own, and back, from one directory to another, files for directories, and makes new ones.
With `does="take"` it moves directories to the stash for good and tells how many files each has lost there afterwards,
with "make" it never lets one directory become empty, with "mount" (as root) it mounts `outside` on directories and
takes it away again.
"""

import ctypes
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PROJECT = Path(__file__).parents[2]
_RENAME_EXCHANGE = 2
_MS_BIND = 4096
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Attacker:
    """What a hostile process has done, by kind, once it has ended."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        #: of each directory that was taken away: files that it had afterwards, and a while later
        self.taken: list[tuple[int, int]] = []


@contextmanager
def hostile(
    top: Path, outside: Path, stash: Path, *, does: str = "attack", run_as: Sequence[str] = ()
) -> Iterator[Attacker]:
    """A process that attacks during the block. `run_as` is put in front of its arguments."""
    attacker = Attacker()
    options = json.dumps({"top": str(top), "outside": str(outside), "stash": str(stash), "does": does})
    with subprocess.Popen(
        [*run_as, sys.executable, "-m", "tests.support.hostile", options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_PROJECT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield attacker
        finally:
            process.stdin.close()
            answer = json.loads(process.stdout.readline())
        attacker.done.update(answer["done"])
        attacker.taken += [(after, later) for after, later in answer["taken"]]


class _Attack:
    """The attacking process."""

    def __init__(self, top: str, outside: str, stash: str) -> None:
        self.done: Counter[str] = Counter()
        self.taken: list[tuple[int, int]] = []
        self._chance = random.Random()
        self._outside = os.fsencode(outside)
        self._stash = os.open(stash, os.O_RDONLY)
        os.symlink(outside, "link", dir_fd=self._stash)
        #: (open parent, its name there, open directory)
        self._directories: list[tuple[int, str, int]] = []
        self._open_all(os.open(top, os.O_RDONLY))

    def _open_all(self, parent: int) -> None:
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                below = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
                self._directories.append((parent, entry.name, below))
                self._open_all(below)

    def attack(self, stopped: threading.Event) -> None:
        """One attack after the other, in any order."""
        attacks: list[Callable[[], None]] = [self._link, self._away, self._across, self._file, self._make]
        while not stopped.is_set():
            attack = self._chance.choice(attacks)
            try:
                attack()
            except OSError:
                continue
            self.done[attack.__name__.lstrip("_")] += 1

    def take(self, stopped: threading.Event) -> None:
        """Moves directories away as soon as something is missing in them."""
        full = {below: len(os.listdir(below)) for _, _, below in self._directories}
        while not stopped.is_set():
            for number, (parent, name, below) in enumerate(self._directories):
                try:
                    if len(os.listdir(below)) == full[below]:
                        continue
                    os.rename(name, f"taken{number}", src_dir_fd=parent, dst_dir_fd=self._stash)
                except OSError:
                    continue
                after = len(os.listdir(below))
                time.sleep(0.1)
                self.taken.append((after, len(os.listdir(below))))

    def make(self, stopped: threading.Event) -> None:
        """A new file as soon as the last directory holds less than three, whoever removes them."""
        _, _, directory = self._directories[-1]
        while not stopped.is_set():
            try:
                if len(os.listdir(directory)) < 3:
                    os.mknod(f"new{self.done['make']}", dir_fd=directory)
                    self.done["make"] += 1
            except OSError:
                continue

    def mount(self, stopped: threading.Event) -> None:
        """Bind mounts: their st_dev is the tree's own."""
        while not stopped.is_set():
            _, _, directory = self._chance.choice(self._directories)
            seen = f"/proc/self/fd/{directory}".encode()
            if _libc.mount(self._outside, seen, None, _MS_BIND, None) == 0:
                self.done["mount"] += 1
                time.sleep(self._chance.random() / 500)
                _libc.umount2(os.readlink(seen), _MNT_DETACH)

    def _link(self) -> None:
        parent, name, _ = self._chance.choice(self._directories)
        self._exchange(parent, name, "link")
        self._exchange(parent, name, "link")

    def _exchange(self, parent: int, name: str, stashed: str) -> None:
        code = _libc.renameat2(parent, name.encode(), self._stash, stashed.encode(), _RENAME_EXCHANGE)
        if code != 0:
            raise OSError(ctypes.get_errno(), "exchange")

    def _away(self) -> None:
        parent, name, _ = self._chance.choice(self._directories)
        os.rename(name, "away", src_dir_fd=parent, dst_dir_fd=self._stash)
        os.rename("away", name, src_dir_fd=self._stash, dst_dir_fd=parent)

    def _across(self) -> None:
        parent, name, _ = self._chance.choice(self._directories)
        _, _, other = self._chance.choice(self._directories)
        os.rename(name, f"{name}+", src_dir_fd=parent, dst_dir_fd=other)

    def _file(self) -> None:
        _, _, directory = self._chance.choice(self._directories)
        os.unlink("f0", dir_fd=directory)
        os.mkdir("f0", dir_fd=directory)
        os.mkdir("f0/inner", dir_fd=directory)
        os.rmdir("f0/inner", dir_fd=directory)
        os.rmdir("f0", dir_fd=directory)
        os.mknod("f0", dir_fd=directory)

    def _make(self) -> None:
        _, _, directory = self._chance.choice(self._directories)
        os.mknod(f"new{self._chance.random()}", dir_fd=directory)


def main() -> None:
    """Attacks until standard input ends."""
    options = json.loads(sys.argv[1])
    attack = _Attack(options["top"], options["outside"], options["stash"])
    stopped = threading.Event()
    work = threading.Thread(target=getattr(attack, options["does"]), args=(stopped,))
    work.start()
    print("ready", flush=True)
    sys.stdin.read()
    stopped.set()
    work.join()
    print(json.dumps({"done": attack.done, "taken": attack.taken}), flush=True)


if __name__ == "__main__":
    main()
