"""Listing the volume: names first, attributes after, nothing written."""

import contextlib
import os
import stat
from collections.abc import Iterator
from threading import Event

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.workspace import Kind, Workspace
from sweeper_gui.storage import claim, files
from sweeper_gui.storage.volume import Volume

#: Names that are handed on at once, so that the first rows show while a large root is still being read.
BATCH = 500


class Listed(msgspec.Struct, frozen=True):
    """A batch of workspaces, by name and kind only, and what could not be listed."""

    workspaces: tuple[Workspace, ...]
    problems: tuple[str, ...] = ()


def list_workspaces(volume: Volume, cancel: Event) -> Iterator[Listed]:
    """Everything `volume.depth` levels below the root, in batches, and what is in the way on the levels above.

    A root that can't be read raises the OSError; a shard that can't be is reported as a problem. Ends early, without
    a word, when `cancel` is set: the caller knows.
    """
    yield from _level(volume, volume.descriptor, b"", volume.depth, None, cancel)


def _level(
    volume: Volume, directory: int, prefix: bytes, levels: int, other_root: bytes | None, cancel: Event
) -> Iterator[Listed]:
    batch: list[Workspace] = []
    shards: list[bytes] = []
    descriptor = files.reopen(directory)
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if cancel.is_set():
                    return
                if not prefix and _is_claim(entry):
                    continue
                workspace = _listed(volume, prefix + os.fsencode(entry.name), _kind(entry), levels, other_root)
                if levels > 1 and workspace.kind is Kind.DIRECTORY and not workspace.hidden:
                    shards.append(os.fsencode(entry.name))
                    continue
                batch.append(workspace)
                if len(batch) >= BATCH:
                    yield Listed(tuple(batch))
                    batch = []
        if batch:
            yield Listed(tuple(batch))
        for shard in shards:
            yield from _shard(volume, descriptor, prefix + shard, levels, other_root, cancel)
    finally:
        os.close(descriptor)


def _shard(
    volume: Volume, parent: int, path: bytes, levels: int, other_root: bytes | None, cancel: Event
) -> Iterator[Listed]:
    try:
        descriptor = files.open_directory(path.rpartition(b"/")[2], parent)
    except files.CrossesMount:
        yield Listed((Workspace(path, Kind.DIRECTORY, mounts=(path,)),))
        return
    except OSError as error:
        yield Listed((), (f"{visible(path)} could not be listed: {error.strerror}",))
        return
    try:
        if other_root is None and claim.is_in(descriptor):
            other_root = path
        yield from _level(volume, descriptor, path + b"/", levels - 1, other_root, cancel)
    except OSError as error:
        yield Listed((), (f"{visible(path)} could not be listed: {error.strerror}",))
    finally:
        os.close(descriptor)


def _listed(volume: Volume, name: bytes, kind: Kind, levels: int, other_root: bytes | None) -> Workspace:
    is_workspace = levels == 1 and kind is Kind.DIRECTORY
    return Workspace(name, kind, id=volume.id_of(name) if is_workspace else None, other_root=other_root)


def _is_claim(entry: "os.DirEntry[str]") -> bool:
    """Whether it is the file that a sweep left in the root, which is no news to anybody."""
    return os.fsencode(entry.name) == claim.CLAIM and entry.is_file(follow_symlinks=False)


def _kind(entry: "os.DirEntry[str]") -> Kind:
    if entry.is_symlink():
        return Kind.SYMLINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.DIRECTORY
    return Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.OTHER


def with_attributes(volume: Volume, workspace: Workspace, *, fresh: bool = False) -> Workspace:
    """The workspace with what stat says of it now: kind, identity and owner. Raises FileNotFoundError, OSError.

    With `fresh` the server is asked, whatever this host knows of the name and of the directory behind it, and whether a
    directory above has become the root of another volume.
    """
    with volume.parent_of(workspace.name) as parent:  # first: it refuses a name that is none of a workspace
        if fresh:
            workspace = msgspec.structs.replace(workspace, other_root=_other_root(volume, workspace.name))
            files.fresh_stat(b"", parent)
            status = files.fresh_stat(workspace.basename, parent)
        else:
            status = os.stat(workspace.basename, dir_fd=parent, follow_symlinks=False)
    return msgspec.structs.replace(
        workspace, kind=kind_of(status), identity=files.identity_of(status), uid=status.st_uid
    )


def _other_root(volume: Volume, name: bytes) -> bytes | None:
    """The directory above the workspace, and below our root, that is another volume's root. Raises OSError."""
    above: list[bytes] = []
    with contextlib.ExitStack() as stack:
        directory = volume.descriptor
        for shard in name.split(b"/")[:-1]:
            directory = files.open_directory(shard, directory)
            stack.callback(os.close, directory)
            above.append(shard)
            if claim.is_in(directory):
                return b"/".join(above)
    return None


def kind_of(status: os.stat_result) -> Kind:
    """The kind in a stat result."""
    kinds = {stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMLINK}
    return kinds.get(stat.S_IFMT(status.st_mode), Kind.OTHER)
