"""Plan files on the disk: written whole or not at all, and read as what they are, the work of somebody else."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from sweeper_gui.core.names import visible
from sweeper_gui.core.proposal import MAX_BYTES, PlanFile, PlanProblem, VolumeMark, decoded
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.files import NameTaken, rename_exclusively
from sweeper_gui.storage.mounts import below
from sweeper_gui.sweep.ground import Ground
from sweeper_gui.sweep.words import words_of

_THE_FILE = "name the file that 'sweeper plan' wrote"
_NOT_FOR_ALL = "let its author give it to a group that you are in, or to all (chmod o+r)"
_OTHER_NAME = "give another name, or say that it may be replaced"


def mark_of(ground: Ground) -> VolumeMark:
    """Which volume this is. Raises `VolumeError` and OSError."""
    control = Control.open_existing(ground.volume, ground.settings.volume)
    inode = None
    if control is not None:
        with control:
            inode = os.fstat(control.descriptor).st_ino
    return VolumeMark(ground.volume.shown, ground.volume.inode, inode)


def write_plan(file: PlanFile, path: Path, ground: Ground, *, overwrite: bool) -> None:
    """Writes the file, for its writer and the group, never over another one unless `overwrite`. Raises `PlanProblem`.

    It never lies below the root: planning leaves the volume as it is.
    """
    parent = Path(os.path.realpath(path.parent))
    if not path.is_absolute() or below(os.fsencode(parent / path.name), ground.volume.root) is not None:
        raise PlanProblem(f"{visible(str(path))} lies on the volume below the root", "write it somewhere else")
    try:
        directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        _write_in(directory, os.fsencode(path.name), file.encoded(), overwrite)
    except NameTaken as error:
        raise PlanProblem(f"{visible(str(path))} exists already", _OTHER_NAME) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        os.close(directory)


def _unwritable(path: Path, error: OSError) -> PlanProblem:
    words = "there is no such directory" if error.errno == errno.ENOENT else words_of(error)
    return PlanProblem(f"{visible(str(path))} can't be written: {words}", "write it somewhere else")


def _write_in(directory: int, name: bytes, content: bytes, overwrite: bool) -> None:
    new = b".plan-" + secrets.token_hex(8).encode()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o640, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        else:
            rename_exclusively(new, directory, name, directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=directory)
        raise
    os.fsync(directory)


def read_plan(path: Path) -> PlanFile:
    """The plan in this file. Raises `PlanProblem`.

    A link, a pipe, a huge file or one that others may write is none: what is approved is what one person wrote.
    """
    shown = visible(str(path))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            _check_file(os.fstat(file.fileno()))
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise PlanProblem("it has grown too large")
        return decoded(content)
    except PlanProblem as problem:
        raise PlanProblem(f"the plan {shown} is refused: {problem}", problem.hint) from problem
    except OSError as error:
        words = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        hint = _NOT_FOR_ALL if error.errno == errno.EACCES else _THE_FILE
        raise PlanProblem(f"the plan {shown} can't be read: {words}", hint) from error


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PlanProblem("it is no regular file", _THE_FILE)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PlanProblem("others than its owner may write it", "look who changed it; chmod go-w where it is right")
    if status.st_size > MAX_BYTES:
        raise PlanProblem(f"it is larger than {MAX_BYTES >> 20} MiB")
