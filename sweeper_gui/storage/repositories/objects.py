"""Commits and trees, read from loose objects and packs.

Nothing is kept in memory but the object that is asked for: a pack's index is looked up in the file. It is never mapped,
for a file that shrinks while it is mapped ends the process.
"""

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO

from dulwich.objects import Commit, ShaFile, Tag, parse_tree
from dulwich.pack import OFS_DELTA, REF_DELTA, apply_delta, unpack_object

from sweeper_gui.core.names import visible
from sweeper_gui.storage.repositories.access import Access, File, Folder, Stopped, Unreadable

#: No object is read that is larger than this, in bytes; only commits, tags and trees are read at all.
MAX_OBJECT = 32 << 20
_MAX_CHAIN = 4_096
_MAX_PACKS = 10_000
#: So many packs stay open; dozens of repositories are read at a time.
_OPEN_PACKS = 2
_COMMIT, _TREE, _TAG = 1, 2, 4
_FIRST_READ, _NEXT_READ = 4_096, 1 << 16
_PACK_INDEX = b"\377tOc\0\0\0\2"
_FAN_OUT = struct.Struct(">256I")


class Missing(Unreadable):
    """An object is not there."""


class Objects:
    """The objects of a repository: its own directory `objects`, and those that it borrows from."""

    def __init__(self, access: Access, folders: Sequence[Folder], *, borrows_outside: bool) -> None:
        self._check = access.budget.check
        self._folders = folders
        self._borrows_outside = borrows_outside
        self._packs: list[_Pack] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def commit(self, id_: bytes) -> Commit:
        """The commit. Raises `Missing`, `Unreadable`."""
        kind, data = self._read(id_)
        if kind != _COMMIT:
            raise Unreadable(f"{id_.decode()[:12]} is no commit")
        return Commit.from_string(data)

    def peeled(self, id_: bytes) -> bytes | None:
        """The commit that a ref's id leads to, through tags; None where it leads to something else."""
        for _ in range(10):
            kind, data = self._read(id_)
            if kind != _TAG:
                return id_ if kind == _COMMIT else None
            id_ = Tag.from_string(data).object[1]
        raise Unreadable("it has tags of tags of tags")

    def tree(self, id_: bytes) -> list[tuple[bytes, int, bytes]]:
        """Name, mode and hexadecimal id of what is in a tree. Raises `Missing`, `Unreadable`."""
        kind, data = self._read(id_)
        if kind != _TREE:
            raise Unreadable(f"{id_.decode()[:12]} is no tree")
        return [(name, mode, bytes(entry)) for name, mode, entry in parse_tree(data, 20)]

    def _read(self, id_: bytes) -> tuple[int, bytes]:
        """Type and content. Raises `Missing` and `Unreadable`, the latter also for what is not what its id says."""
        self._check()
        try:
            kind, data = self._found(id_)
        except (Unreadable, Stopped):
            raise
        except Exception as error:
            raise Unreadable(f"the object {id_.decode()[:12]} is damaged") from error
        names = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
        header = b"%s %d\0" % (names[kind], len(data))
        if hashlib.sha1(header + data, usedforsecurity=False).hexdigest().encode() != id_:
            raise Unreadable(f"the object {id_.decode()[:12]} is damaged")
        return kind, data

    def _found(self, id_: bytes) -> tuple[int, bytes]:
        deltas: list[bytes] = []
        size = 0
        while True:
            place = self._packed(id_)
            if place is None:
                kind, data = self._loose(id_)
                break
            pack, offset = place
            kind, data, base = pack.unpacked(offset, deltas)
            size += sum(map(len, deltas))
            if len(deltas) > _MAX_CHAIN or size > 4 * MAX_OBJECT:
                raise Unreadable(f"the object {id_.decode()[:12]} is too large")
            if base is None:
                break
            id_ = base
        for delta in reversed(deltas):
            self._check()
            _check_result(delta)
            data = b"".join(apply_delta(data, delta))
        return kind, data

    def _loose(self, id_: bytes) -> tuple[int, bytes]:
        text = id_.decode()
        for folder in self._folders:
            below = folder.folder(text[:2].encode())
            if below is None:
                continue
            with below:
                content = below.read(text[2:].encode(), MAX_OBJECT)
            if content is not None:
                found = ShaFile.from_file(BytesIO(content), max_size=MAX_OBJECT)
                return found.type_num, found.as_raw_string()
        where = (
            ": it may lie outside of this workspace, where the repository borrows from" if self._borrows_outside else ""
        )
        raise Missing(f"the object {text[:12]} is missing{where}")

    def _packed(self, id_: bytes) -> "tuple[_Pack, int] | None":
        if self._packs is None:
            self._packs = self._open_packs()
        raw = bytes.fromhex(id_.decode())
        for number, pack in enumerate(self._packs):
            offset = pack.offset_of(raw)
            if offset is not None:
                self._packs.insert(0, self._packs.pop(number))  # the next one is likely to be in it too
                for rest in self._packs[_OPEN_PACKS : number + 1]:
                    rest.close()
                return pack, offset
            if number >= _OPEN_PACKS:
                pack.close()
        return None

    def _open_packs(self) -> "list[_Pack]":
        packs: list[_Pack] = []
        for folder in self._folders:
            below = folder.folder(b"pack")
            if below is None:
                continue
            self._stack.enter_context(below)
            self._check()
            names = [name for name in below.names() if name.startswith(b"pack-") and name.endswith(b".idx")]
            packs += [_Pack(below, name) for name in names]
        if len(packs) > _MAX_PACKS:
            raise Unreadable("it has too many packs")
        for pack in packs:
            self._stack.callback(pack.close)
        return packs


def _check_result(delta: bytes) -> None:
    """Before memory is taken for it. Raises `Unreadable` where the result of a delta would be too large."""
    at = sizes = value = shift = 0
    while sizes < 2:
        value |= (delta[at] & 0x7F) << shift
        shift += 7
        if shift > 70 or value > MAX_OBJECT:
            raise Unreadable("an object is too large")
        if not delta[at] & 0x80:
            sizes, value, shift = sizes + 1, 0, 0
        at += 1


class _Pack:
    """A pack and its index. The files are opened when they are needed, and again after they were closed."""

    def __init__(self, folder: Folder, name: bytes) -> None:
        self._folder = folder
        self._name = name
        self._index: File | None = None
        self._pack: File | None = None
        self._fan_out: tuple[int, ...] = ()

    def offset_of(self, raw: bytes) -> int | None:
        """Where the object of this binary id begins in the pack, None where it is not in it."""
        index = self._index or self._open_index()
        first = self._fan_out[raw[0] - 1] if raw[0] else 0
        last, count = self._fan_out[raw[0]], self._fan_out[255]
        if not first <= last <= count or (last - first) * 20 > MAX_OBJECT:
            raise Unreadable("the index of a pack is damaged")
        ids = index.read(1032 + first * 20, (last - first) * 20)
        at = bisect_left(range(len(ids) // 20), raw, key=lambda number: ids[number * 20 : number * 20 + 20])
        if ids[at * 20 : at * 20 + 20] != raw:
            return None
        (offset,) = struct.unpack(">I", index.read(1032 + count * 24 + (first + at) * 4, 4))
        if offset & 0x80000000:
            (offset,) = struct.unpack(">Q", index.read(1032 + count * 28 + (offset & 0x7FFFFFFF) * 8, 8))
        return int(offset)

    def _open_index(self) -> File:
        self._index = index = self._opened(self._name)
        if index.read(0, 8) != _PACK_INDEX:
            raise Unreadable("the index of a pack is damaged, or of an unknown format")
        self._fan_out = _FAN_OUT.unpack(index.read(8, _FAN_OUT.size))
        if index.size < 1032 + self._fan_out[255] * 28 + 40:
            raise Unreadable("the index of a pack is damaged")
        return index

    def _opened(self, name: bytes) -> File:
        found = self._folder.file(name)
        if found is None:
            raise Unreadable(f"{visible(name)} is missing")
        return found

    def close(self) -> None:
        """Gives the descriptors back."""
        for file in (self._index, self._pack):
            if file is not None:
                file.close()
        self._index = self._pack = None

    def unpacked(self, offset: int, deltas: list[bytes]) -> tuple[int, bytes, bytes | None]:
        """Type and content of what a chain of deltas ends in, or the id of that; the deltas are added to the list."""
        if self._pack is None:
            self._pack = self._opened(self._name[:-4] + b".pack")
        while True:
            reader = _Reader(self._pack, offset)
            _check_size(reader)
            found, _ = unpack_object(reader.read_all, hashlib.sha1, reader.read_some)
            data = b"".join(found.decomp_chunks)
            if found.pack_type_num not in (OFS_DELTA, REF_DELTA):
                return found.pack_type_num, data, None
            deltas.append(data)
            if isinstance(found.delta_base, bytes):
                return 0, b"", found.delta_base.hex().encode()
            assert isinstance(found.delta_base, int)
            offset -= found.delta_base  # which is positive, so that a chain always ends
            if offset <= 0 or len(deltas) > _MAX_CHAIN or sum(map(len, deltas)) > 4 * MAX_OBJECT:
                raise Unreadable("a chain of deltas is damaged or too long")


class _Reader:
    """A pack from an offset on, read in pieces that fit most objects."""

    def __init__(self, file: File, offset: int) -> None:
        self._file = file
        self._offset = offset
        self._buffer = b""

    def peek(self, length: int) -> bytes:
        """The next bytes, which stay."""
        while len(self._buffer) < length and self._fill():
            pass
        return self._buffer[:length]

    def read_all(self, length: int) -> bytes:
        """So many bytes. Raises `Unreadable` at the end of the file."""
        if len(self.peek(length)) < length:
            raise Unreadable("a pack is cut off")
        return self._take(length)

    def read_some(self, length: int) -> bytes:
        """At most so many bytes, none at the end of the file."""
        if not self._buffer:
            self._fill()
        return self._take(length)

    def _fill(self) -> bool:
        part = self._file.read(self._offset, _NEXT_READ if self._buffer else _FIRST_READ)
        self._offset += len(part)
        self._buffer += part
        return bool(part)

    def _take(self, length: int) -> bytes:
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken


def _check_size(reader: _Reader) -> None:
    """Before it is unpacked: the size that the header claims is what memory is taken for."""
    header = reader.peek(12)
    size, shift, at = header[0] & 0x0F, 4, 0
    while header[at] & 0x80:
        at += 1
        size |= (header[at] & 0x7F) << shift
        shift += 7
    if size > MAX_OBJECT:
        raise Unreadable("an object is too large")
