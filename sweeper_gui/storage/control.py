"""The control directory of a volume: the trash, the logs, the lock, and whose volume it is.

It lies on the same mount as the root, so that setting aside is one rename. Nothing in it is trusted by its name:
everything is opened without following links, and its owner must be who owns what we create there.
"""

import contextlib
import errno
import grp
import os
import pwd
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.settings import VolumeSettings
from sweeper_gui.storage import claim, files
from sweeper_gui.storage.opened import Opened
from sweeper_gui.storage.volume import Volume, VolumeError

T = TypeVar("T")

_PRIVATE_MODE = 0o700
_TEAM_MODE = 0o2770
SWEEPS = b"sweeps"
WHOLE = b"whole"
REMOVING = b"removing"
LOG = b"log.jsonl"
#: What `new_sweep` names a sweep, and what trees are called in there; anything else is none of ours.
_SWEEP_ID = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{6}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
#: A parent may be one that we can pass through and not read.
_PARENT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PROBE = b"probe-"
_PROBE_DIRECTORY = b".sweeper-probe"
#: Files that live for a moment only: what is there of them with the lock held was left by a run that died.
_MOMENTARY = re.compile(rb"(probe|binding|identity)-[0-9a-f]{16}")
_RESERVE = b"reserve"
#: The files in a control directory in which no sweep has been begun yet.
_OF_A_NEW_ONE = (b"identity", b"lock")
_RESERVED_BYTES = 256 * 1024


def is_sweep_id(name: str) -> bool:
    """Whether a sweep of ours may be called so."""
    return _SWEEP_ID.fullmatch(name) is not None


class Place(msgspec.Struct, frozen=True):
    """Where a volume's control directory is or would be. `warning` says what is bad about that place."""

    path: bytes
    warning: str = ""


class Probe(msgspec.Struct, frozen=True):
    """What a file just created on the volume tells: the server's clock (epoch seconds) and whom it makes the owner."""

    clock: float
    host_clock: float
    uid: int
    gid: int


def place_of(volume: Volume, settings: VolumeSettings) -> Place:
    """Where the control directory is: as configured, where one exists, else where one can be made.

    Looks, and writes nothing. Raises `VolumeError` where the configured place can't be used.
    """
    if settings.control_dir is not None:
        return Place(_configured(volume, settings.control_dir))
    parent, name = os.path.split(volume.root)
    beside = Place(os.path.join(parent, b".sweeper-" + name))
    inside = Place(
        os.path.join(volume.root, b".sweeper"),
        "the control directory lies inside the root, where another cleaner of the root may delete it: "
        "set 'control_dir' to a directory beside it on the same mount",
    )
    exists = [place for place in (beside, inside) if _exists(place.path)]
    if len(exists) > 1:
        raise VolumeError(
            f"there are two control directories, {visible(beside.path)} and {visible(inside.path)}, and so two trashes",
            "see what is in each, and set 'control_dir' to the one to be used, on every host",
        )
    if exists:
        return exists[0]
    return beside if _on_mount(parent, volume) and os.access(parent, os.W_OK | os.X_OK) else inside


def _configured(volume: Volume, path: Path) -> bytes:
    if not path.is_absolute():
        raise VolumeError(f"'control_dir' {path} is not an absolute path", "give the whole path")
    try:
        parent = os.fsencode(os.path.realpath(path.parent, strict=True))
    except OSError as error:
        raise VolumeError(f"the parent of 'control_dir' {path} can't be used: {error.strerror}", "make it") from error
    place = os.path.join(parent, os.fsencode(path.name))
    if place == volume.root or volume.root.startswith(place + b"/"):
        raise VolumeError(f"'control_dir' {path} holds the root itself", "choose a directory beside the root")
    inside = place.startswith(volume.root + b"/")
    if inside and not place.removeprefix(volume.root + b"/").startswith(b"."):
        raise VolumeError(
            f"'control_dir' {path} lies among the workspaces", "choose a directory beside the root, or a hidden name"
        )
    return place


def _exists(path: bytes) -> bool:
    """Whether something is there by now; another host may have made it after this one had looked in vain."""
    with contextlib.suppress(OSError):
        descriptor = os.open(os.path.dirname(path), _PARENT_FLAGS)
        try:
            files.fresh_stat(b"", descriptor)
        finally:
            os.close(descriptor)
    return os.path.lexists(path)


def _on_mount(path: bytes, volume: Volume) -> bool:
    try:
        descriptor = os.open(path, _PARENT_FLAGS)
    except OSError:
        return False
    try:
        return files.mount_id(descriptor) == volume.mount.id
    finally:
        os.close(descriptor)


class Control(Opened):
    """An open control directory. Made by `open_existing` or `open_or_create`."""

    def __init__(self, path: bytes, descriptor: int, group: int | None) -> None:
        super().__init__(descriptor)
        self.path = path
        self.group = group
        #: whether this run has made it, so that it holds nothing of anybody else's yet
        self.made = False

    @classmethod
    def open_existing(cls, volume: Volume, settings: VolumeSettings) -> "Control | None":
        """The volume's control directory, or None where there is none yet. Writes nothing."""
        place = place_of(volume, settings)
        try:
            descriptor = _opened(place.path, volume)
        except FileNotFoundError:
            _refuse_other(volume, place.path, None)
            return None
        control = cls(place.path, descriptor, _group_id(settings))
        try:
            control._refuse_changeable()
            _refuse_other(volume, place.path, control.descriptor)
        except BaseException:
            control.close()
            raise
        return control

    @classmethod
    def open_at(cls, path: bytes, inode: int, group: int | None) -> "Control":
        """The control directory at a path that somebody else has found, if it is the one with this inode there too.

        Raises `VolumeError` where it is another one or open to changes by others, OSError where it can't be opened.
        """
        control = cls(path, os.open(path, _PARENT_FLAGS | os.O_NOFOLLOW), group)
        try:
            if os.fstat(control.descriptor).st_ino != inode:
                words = f"{visible(path)} is not the control directory that is meant"
                raise VolumeError(words, "mount the same volume at the same place")
            control._refuse_changeable()
        except BaseException:
            control.close()
            raise
        return control

    @classmethod
    def open_or_create(cls, volume: Volume, settings: VolumeSettings) -> "Control":
        """The control directory, made where there is none, with its owner and mode checked."""
        place = place_of(volume, settings)
        group = _group_id(settings)
        if not _exists(place.path):
            _refuse_other(volume, place.path, None)
        with _words(f"the control directory {visible(place.path)} can't be made"):
            parent = os.open(os.path.dirname(place.path), _PARENT_FLAGS)
            try:
                made = _make(os.path.basename(place.path), parent, group)
                if made:
                    files.settle_place(parent)
            finally:
                os.close(parent)
        control = cls(place.path, _opened(place.path, volume), group)
        control.made = made
        try:
            control._check(fresh=made)
            control._refuse_other(volume)
            if control._make(SWEEPS):
                files.settle(control.descriptor)
        except BaseException:
            control.close()
            raise
        return control

    def claim(self, volume: Volume, by: str) -> None:
        """Makes this the one control directory of the root, for hosts that see the root differently too.

        Call with the lock held. Raises `VolumeError`, also where the root has another one by now.
        """
        self._even_if_full(lambda: self._claim(volume, by))
        self._refuse_other(volume)

    def _refuse_other(self, volume: Volume) -> None:
        """As the function; and one that we have just made goes again, or it would be a second one for the other host.

        Whatever anybody has put into it meanwhile stays, and so does the directory then.
        """
        try:
            _refuse_other(volume, self.path, self.descriptor)
        except VolumeError:
            if self.made:
                with contextlib.suppress(OSError, VolumeError):
                    self._withdraw()
            raise

    def _withdraw(self) -> None:
        parent = os.open(os.path.dirname(self.path), _PARENT_FLAGS)
        try:
            name = os.path.basename(self.path)
            if files.inode_of(name, parent) != os.fstat(self.descriptor).st_ino:
                return
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(SWEEPS, dir_fd=self.descriptor)  # fails where a sweep has been begun in it
            for entry in _OF_A_NEW_ONE:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry, dir_fd=self.descriptor)
            os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)

    def _claim(self, volume: Volume, by: str) -> None:
        with _words(f"{volume.shown} can't be given the file {visible(claim.CLAIM)} that names its control directory"):
            claim.stake(volume.descriptor, self.descriptor, visible(self.path), by, time.time())

    def check_unchanged(self, volume: Volume) -> None:
        """Raises `VolumeError` where the path no longer leads to this directory: another run could lock that one.

        So it does where the root belongs to another one.
        """
        _refuse_other(volume, self.path, self.descriptor)
        with _words(f"the control directory {visible(self.path)} can't be looked at"):
            descriptor = _opened(self.path, volume)
            try:
                ours, there = os.fstat(self.descriptor), os.fstat(descriptor)
            finally:
                os.close(descriptor)
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise VolumeError(
                f"the control directory {visible(self.path)} has been moved or replaced", "look who did, then resume"
            )

    def share(self, descriptor: int) -> None:
        """Gives a file just made in here to the team, whatever the umask says."""
        if self.group is not None:
            os.fchmod(descriptor, self.file_mode)

    @property
    def file_mode(self) -> int:
        """The mode of files made in here."""
        return 0o600 if self.group is None else 0o660

    def _check(self, *, fresh: bool) -> None:
        """Refuses a directory that someone else owns or may enter."""
        owner = os.fstat(self.descriptor).st_uid
        probe = self.probe()
        if owner != probe.uid and not (self._of_team and _is_member(owner, self.group)):
            raise VolumeError(
                f"the control directory {visible(self.path)} belongs to user {owner}, "
                f"but what we create there belongs to user {probe.uid}",
                "run as its owner, or set 'control_group' for a team, or set 'control_dir' elsewhere",
            )
        problem, mend = self._openness()
        if problem and not fresh:
            raise VolumeError(f"the control directory {visible(self.path)} is not safe: {problem}", mend)

    def _refuse_changeable(self) -> None:
        """Even to be looked at: what lies in a directory that others may change, anybody may have put there."""
        mode = stat.S_IMODE(os.fstat(self.descriptor).st_mode)
        if mode & (0o002 if self._of_team else 0o022):
            problem, mend = self._openness()
            raise VolumeError(f"the control directory {visible(self.path)} is not safe: {problem}", mend)

    def _refuse_planted(self, descriptor: int, name: str) -> None:
        """What lies in here must be its owner's, or a member's of the team, and no one else's to change."""
        status, owner = os.fstat(descriptor), os.fstat(self.descriptor).st_uid
        ours = status.st_uid == owner or (self._of_team and _is_member(status.st_uid, self.group))
        if not ours or status.st_mode & (0o002 if self._of_team else 0o022):
            raise PermissionError(errno.EPERM, "planted by another user, or open to changes by others", name)

    @property
    def _of_team(self) -> bool:
        return self.group is not None and os.fstat(self.descriptor).st_gid == self.group

    def _openness(self) -> tuple[str, str]:
        mode = stat.S_IMODE(os.fstat(self.descriptor).st_mode)
        if not mode & (0o007 if self._of_team else 0o077):
            return "", ""
        wanted = _TEAM_MODE if self._of_team else _PRIVATE_MODE
        return f"others may enter it (mode {mode:04o})", f"chmod {wanted:o} it, and look who put what into it"

    def condition(self) -> tuple[Literal["ok", "warning", "error"], str, str]:
        """How safe it looks without writing anything: state, words, mend."""
        problem, mend = self._openness()
        if problem:
            return "error", problem, mend
        status = os.fstat(self.descriptor)
        if status.st_uid != os.geteuid() and not self._of_team:
            return "warning", f"it belongs to user {status.st_uid}", "a sweep will check that we are its owner there"
        return "ok", "private" if not self._of_team else "shared with the team", ""

    def probe(self) -> Probe:
        """Writes a file and removes it again: the server's clock, and whom it makes the owner."""
        return self._even_if_full(self._probe)

    def _probe(self) -> Probe:
        name = _PROBE + secrets.token_hex(8).encode()
        with _words(f"nothing can be written to the control directory {visible(self.path)}"):
            host_clock = time.time()
            descriptor = os.open(
                name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                dir_fd=self.descriptor,
            )  # fmt: skip
            try:
                os.fsync(descriptor)
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
                with contextlib.suppress(FileNotFoundError):  # another run took it for one that was left behind
                    os.unlink(name, dir_fd=self.descriptor)
        return Probe(status.st_ctime_ns / 1e9, host_clock, status.st_uid, status.st_gid)

    def probe_rename(self, volume: Volume, parent: int, trash: int) -> None:
        """Moves a directory from the trash among the workspaces and back: so can the workspaces be moved.

        Call with the lock held: a directory of that name was left by a run that died here, and is empty.
        """
        self._even_if_full(lambda: self._probe_rename(volume, parent, trash))

    def _probe_rename(self, volume: Volume, parent: int, trash: int) -> None:
        name = _PROBE_DIRECTORY
        with _words(f"directories of {volume.shown} can't be moved to the trash {visible(self.path)}"):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(name, dir_fd=parent)
            os.mkdir(name, 0o700, dir_fd=trash)
            inode = files.inode_of(name, trash)
            try:
                files.rename_exclusively(name, trash, name, parent)
                files.rename_exclusively(name, parent, name, trash)
            except BaseException:
                for place in (trash, parent):
                    with contextlib.suppress(OSError):
                        os.rmdir(name, dir_fd=place)
                raise
            if files.inode_of(name, trash) != inode:  # whoever may write there can rename a workspace to this name
                files.rename_exclusively(name, trash, name, parent)
                raise OSError(errno.EEXIST, "somebody exchanges directories there")
            os.rmdir(name, dir_fd=trash)

    def clear_up(self) -> None:
        """Removes what runs that died were about to remove at once. Call with the lock held. Raises OSError."""
        descriptor = files.reopen(self.descriptor)
        try:
            for name in filter(_MOMENTARY.fullmatch, map(os.fsencode, os.listdir(descriptor))):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def clear_probe(trash: int) -> None:
        """Removes the empty directory that a run that died had renamed into its trash. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(_PROBE_DIRECTORY, dir_fd=trash)

    def _make(self, name: bytes) -> bool:
        return _make(name, self.descriptor, self.group)

    @contextmanager
    def _sweeps(self) -> Iterator[int]:
        descriptor = files.open_directory(SWEEPS, self.descriptor)
        try:
            self._refuse_planted(descriptor, os.fsdecode(SWEEPS))
            yield descriptor
        finally:
            os.close(descriptor)

    def new_sweep(self) -> "SweepDirectory":
        """Makes the directory of a new sweep, named for the time (UTC) and a random part."""
        return self._even_if_full(self._new_sweep)

    def _new_sweep(self) -> "SweepDirectory":
        id_ = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"
        with _words(f"no sweep can be begun in {visible(self.path)}"), self._sweeps() as sweeps:
            os.mkdir(id_.encode(), _PRIVATE_MODE, dir_fd=sweeps)
            sweep = SweepDirectory(id_, files.open_directory(id_.encode(), sweeps))
            try:
                _own(sweep.descriptor, self.group)
                for name in (WHOLE, REMOVING):
                    _make(name, sweep.descriptor, self.group)
                files.settle(sweeps)
            except BaseException:
                sweep.close()
                raise
            return sweep

    def keep_reserve(self) -> None:
        """Keeps a little space in store, so that a sweep can begin when the volume is full. Fails silently."""
        with contextlib.suppress(OSError):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(_RESERVE, flags, self.file_mode, dir_fd=self.descriptor)
            try:
                self.share(descriptor)
                os.posix_fallocate(descriptor, 0, _RESERVED_BYTES)
            finally:
                os.close(descriptor)

    def _even_if_full(self, step: Callable[[], T]) -> T:
        """Takes a step, giving the reserve back to the volume where there is no space for it."""
        try:
            return step()
        except VolumeFull:
            try:
                os.unlink(_RESERVE, dir_fd=self.descriptor)
            except OSError:
                raise VolumeFull(
                    f"the volume of {visible(self.path)} is full, and nothing is left of what a sweep keeps in reserve",
                    "free a little space first",
                ) from None
            return step()

    def sweep_ids(self) -> list[str]:
        """The ids of all sweeps, the oldest first."""
        try:
            with self._sweeps() as sweeps:
                return sorted(filter(is_sweep_id, os.listdir(sweeps)))
        except FileNotFoundError:
            return []

    def open_sweep(self, id_: str) -> "SweepDirectory":
        """The directory of a past sweep. Raises OSError where it is gone or no directory of ours."""
        with self._sweeps() as sweeps:
            sweep = SweepDirectory(id_, files.open_directory(os.fsencode(id_), sweeps))
        try:
            self._refuse_planted(sweep.descriptor, id_)
        except BaseException:
            sweep.close()
            raise
        return sweep


class SweepDirectory(Opened):
    """`sweeps/<id>`, with `whole/` and `removing/` opened when first needed."""

    def __init__(self, id_: str, descriptor: int) -> None:
        super().__init__(descriptor)
        self.id = id_
        self._inner: dict[bytes, int] = {}
        self._opening = threading.Lock()

    def close(self) -> None:
        """Gives the descriptors back; harmless when done twice."""
        for descriptor in self._inner.values():
            os.close(descriptor)
        self._inner.clear()
        super().close()

    def _opened(self, name: bytes) -> int:
        with self._opening:  # trees are worked on side by side
            if name not in self._inner:
                self._inner[name] = files.open_directory(name, self.descriptor)
            return self._inner[name]

    @property
    def whole(self) -> int:
        """The open directory of trees that can be restored."""
        return self._opened(WHOLE)

    @property
    def removing(self) -> int:
        """The open directory of trees whose removal has begun."""
        return self._opened(REMOVING)

    @staticmethod
    def _numbers(directory: int) -> list[int]:
        """The numbers of the trees in `whole` or `removing`; other names are none of ours."""
        descriptor = files.reopen(directory)
        try:
            return sorted(int(name) for name in os.listdir(descriptor) if _NUMBER.fullmatch(name))
        finally:
            os.close(descriptor)

    def trees(self) -> list[tuple[bytes, int]]:
        """All trees in here: `WHOLE` or `REMOVING`, and the number. A run that died early has not even those two."""
        found = []
        for place in (WHOLE, REMOVING):
            with contextlib.suppress(FileNotFoundError):
                found += [(place, number) for number in self._numbers(self._opened(place))]
        return found


def _refuse_other(volume: Volume, path: bytes, control: int | None) -> None:
    """Refuses a control directory that is not the root's: two would mean two locks and two trashes."""
    try:
        other = claim.objection(volume.descriptor, control)
    except OSError as error:
        raise VolumeError(
            f"whose root {volume.shown} is can't be told: {visible(claim.CLAIM)} in it can't be read: {error.strerror}",
            "look who changed it",
        ) from error
    if other:
        raise VolumeError(
            f"{volume.shown} belongs to {other}, not to {visible(path)}",
            "set 'control_dir' to that one on every host, and mount what holds it; only where it is gone for good, "
            f"remove {visible(claim.CLAIM)} from the root",
        )


def _opened(path: bytes, volume: Volume) -> int:
    descriptor = os.open(os.path.dirname(path), _PARENT_FLAGS)
    try:
        files.fresh_stat(b"", descriptor)  # or one that another host has made in the last minute would be missed
        try:
            control = files.open_directory(os.path.basename(path), descriptor)
        except files.CrossesMount as error:
            raise VolumeError(f"the control directory {visible(path)} is a mount point", "unmount it") from error
        except NotADirectoryError as error:
            raise VolumeError(
                f"the control directory {visible(path)} is a link or no directory", "look who put it there"
            ) from error
        except PermissionError as error:
            raise VolumeError(
                f"the control directory {visible(path)} can't be opened: {error.strerror}",
                "run as its owner, or let him set 'control_group' for a team that you are in",
            ) from error
    finally:
        os.close(descriptor)
    if files.mount_id(control) != volume.mount.id:
        os.close(control)
        raise VolumeError(
            f"the control directory {visible(path)} lies on another mount than the root",
            "set 'control_dir' to a directory on the same mount: setting aside is a rename",
        )
    return control


def _make(name: bytes, parent: int, group: int | None) -> bool:
    """Makes a directory where there is none, with the mode and group of the control directory; whether it did."""
    try:
        os.mkdir(name, _PRIVATE_MODE, dir_fd=parent)
    except FileExistsError:
        return False
    descriptor = files.open_directory(name, parent)
    try:
        _own(descriptor, group)
    finally:
        os.close(descriptor)
    return True


def _own(descriptor: int, group: int | None) -> None:
    if group is not None:
        os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, _TEAM_MODE)


def _group_id(settings: VolumeSettings) -> int | None:
    if not settings.control_group:
        return None
    try:
        return grp.getgrnam(settings.control_group).gr_gid
    except KeyError as error:
        raise VolumeError(
            f"'control_group' {settings.control_group} is no group of this host", "correct it, or make the group"
        ) from error


def _is_member(uid: int, group: int | None) -> bool:
    """Whether the host counts the user among the group, or it is root's: a directory may get its group from its parent.

    So another user's may have the team's group, and he would keep the right to change what is in there.
    """
    if uid == 0:
        return True
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    return group in os.getgrouplist(user.pw_name, user.pw_gid)


class VolumeFull(VolumeError):
    """There is no space left, or the quota is used up."""


@contextmanager
def _words(what: str) -> Iterator[None]:
    """Turns an OSError into a `VolumeError` that says what could not be done."""
    try:
        yield
    except OSError as error:
        kind = VolumeFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else VolumeError
        hints = {
            errno.EROFS: "the volume is mounted read-only: mount it read-write",
            errno.EACCES: "run as a user who may write there, or set 'control_dir'",
            errno.EPERM: "run as a user who may write there, or set 'control_dir'",
            errno.EXDEV: "set 'control_dir' to a directory on the same mount as the root",
            errno.ENOSPC: "the volume is full: free a little space first",
            errno.EDQUOT: "the quota is used up: free a little space first",
        }
        raise kind(f"{what}: {error.strerror}", hints.get(error.errno or 0, "check the mount")) from error
