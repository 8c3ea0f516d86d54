"""A git directory: whether its format is one we know, its refs, its stashes, and what is in progress."""

from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

from dulwich.config import ConfigFile
from dulwich.refs import Ref, check_ref_format, read_packed_refs, read_packed_refs_with_peeled

from sweeper_gui.core.names import visible
from sweeper_gui.storage.repositories.access import Access, Folder, Unreadable

_SMALL = 1 << 20
#: The library takes seconds for a megabyte of settings, and can't be stopped meanwhile; no one has so many.
_MAX_CONFIG = 1 << 18
_MAX_PACKED_REFS = 1 << 24
_MAX_LINE = 4_096
_HEADS, _REMOTES, _STASH = b"refs/heads/", (b"refs/remotes/", b"refs/prefetch/"), b"refs/stash"
_MAX_DEPTH = 64
#: extensions that do not change what we read
_KNOWN_EXTENSIONS = {
    b"noop", b"partialclone", b"preciousobjects", b"relativeworktrees", b"worktreeconfig",
}  # fmt: skip
_IN_PROGRESS = {
    b"MERGE_HEAD": "a merge", b"rebase-merge": "a rebase", b"rebase-apply": "a rebase",
    b"CHERRY_PICK_HEAD": "a cherry-pick", b"REVERT_HEAD": "a revert", b"sequencer": "a sequence of commits",
}  # fmt: skip


class Config(NamedTuple):
    """What matters of a repository's configuration. Files that it includes, outside or inside, are not read."""

    file_mode: bool = True
    worktree: bytes = b""


class Head(NamedTuple):
    """What is checked out: a branch, with the commit that it is at if any, or a commit."""

    branch: str
    commit: bytes | None


def read_config(common: Folder, own: Folder | None = None) -> Config:
    """The configuration in a git directory, and that of a linked work tree. Raises `Unreadable`."""
    values = _parsed(common)
    version, extensions = _get(values, b"core", b"repositoryformatversion"), _section(values, b"extensions")
    if version not in (b"", b"0", b"1"):
        raise Unreadable(f"its format {visible(version)[:20]} is not known")
    for name, value in extensions.items():
        fine = name in _KNOWN_EXTENSIONS or (name, value.lower()) in (
            (b"objectformat", b"sha1"),
            (b"refstorage", b"files"),
        )
        if not fine:
            raise Unreadable(f"its format ({visible(name)[:40]} = {visible(value)[:20]}) can't be read")
    if _true(extensions.get(b"worktreeconfig", b"false")):
        values = [*values, *_parsed(own or common, b"config.worktree")]
    return Config(
        file_mode=_true(_get(values, b"core", b"filemode") or b"true"),
        worktree=_get(values, b"core", b"worktree"),
    )


_Values = list[tuple[bytes, bytes, bytes]]


def _parsed(folder: Folder, name: bytes = b"config") -> _Values:
    content = folder.read(name, _MAX_CONFIG)
    if content is None:
        return []
    try:
        parsed = ConfigFile.from_file(BytesIO(content), expand_includes=False)
    except Exception as error:
        raise Unreadable(f"its {name.decode()} is damaged") from error
    return [
        (section[0].lower(), key.lower(), value)
        for section in parsed.sections()
        if len(section) == 1
        for key, value in parsed.items(section)
    ]


def _get(values: _Values, section: bytes, key: bytes) -> bytes:
    return next((value for a, b, value in reversed(values) if (a, b) == (section, key)), b"")


def _section(values: _Values, section: bytes) -> dict[bytes, bytes]:
    return {key: value for found, key, value in values if found == section}


def _true(value: bytes) -> bool:
    return value.lower() in (b"true", b"yes", b"on", b"1")


class GitDirectory:
    """An open git directory. `own` is that of a linked work tree, `common` what it shares with the main one."""

    def __init__(self, access: Access, own: Folder, common: Folder, *, linked: bool) -> None:
        self._check = access.budget.check
        self._own = own
        self._common = common
        self._linked = linked
        #: what is in its own directory, and in the common one
        self.names = frozenset(own.names())
        self._common_names = frozenset(common.names()) if linked else self.names
        self.refs = dict(self._read_refs())

    def head(self) -> Head:
        """What is checked out. Raises `Unreadable`."""
        return self._head_in(self._own)

    def _head_in(self, folder: Folder) -> Head:
        content = folder.read(b"HEAD", _SMALL)
        if content is None:
            raise Unreadable("it has no HEAD")
        target = _symbolic(content)
        if target is None:
            return Head("detached HEAD", _id(content, "HEAD"))
        name = target.removeprefix(_HEADS)
        if not target.startswith(b"refs/") or not check_ref_format(Ref(target)):
            raise Unreadable("its HEAD is damaged")
        return Head(visible(name), self.refs.get(target))

    def branches(self) -> Iterator[bytes]:
        """The commits (or tags) that any ref but a remote's holds, and what is checked out, here and in work trees."""
        heads = [self.head()] if self._linked else [self.head(), *(head for _, head in self.work_trees())]
        yield from (head.commit for head in heads if head.commit is not None)
        if not self._linked:
            yield from (id_ for name, id_ in self.refs.items() if not name.startswith(_REMOTES) and name != _STASH)

    def remote(self) -> set[bytes]:
        """The commits that remote-tracking branches hold."""
        return {id_ for name, id_ in self.refs.items() if name.startswith(_REMOTES)}

    def work_trees(self) -> Iterator[tuple[bytes, Head]]:
        """The linked work trees that it knows, by their names below `worktrees`."""
        folder = self._common.folder(b"worktrees") if b"worktrees" in self._common_names else None
        if folder is None:
            return
        with folder:
            for name in folder.names():
                self._check()
                below = folder.folder(name)
                if below is not None:
                    with below:
                        yield name, self._head_in(below)

    def stashes(self) -> int:
        """How many stashes there are."""
        logs = self._common.folder(b"logs", b"refs") if b"logs" in self._common_names else None
        content = None
        if logs is not None:
            with logs:
                content = logs.read(b"stash")
        lines = len((content or b"").splitlines())
        return max(lines, 1) if _STASH in self.refs else lines

    def in_progress(self) -> str:
        """A merge or the like that has not been finished, empty if there is none."""
        return next((words for name, words in _IN_PROGRESS.items() if name in self.names), "")

    def shallow(self) -> frozenset[bytes]:
        """The commits whose parents were left out when it was cloned."""
        content = self._common.read(b"shallow") if b"shallow" in self._common_names else None
        return frozenset((content or b"").split())

    # --- refs ---------------------------------------------------------------------------------------------------------

    def _read_refs(self) -> Iterator[tuple[bytes, bytes]]:
        """All refs that hold an id; loose ones come last, for they count more."""
        yield from self._packed_refs()
        refs = self._common.folder(b"refs")
        if refs is None:
            raise Unreadable("it has no refs")
        with refs:
            yield from self._loose_refs(refs, b"refs", 0)

    def _packed_refs(self) -> Iterator[tuple[bytes, bytes]]:
        names = self._common_names
        content = self._common.read(b"packed-refs", _MAX_PACKED_REFS) if b"packed-refs" in names else None
        if content is None:
            return
        if max(map(len, content.split(b"\n"))) > _MAX_LINE:  # each takes the library long, and can't be stopped
            raise Unreadable("its packed-refs are damaged")
        first, _, rest = content.partition(b"\n")
        peeled = first.startswith(b"#") and b" peeled" in first
        try:
            if peeled:
                found = ((name, id_) for id_, name, _ in read_packed_refs_with_peeled(BytesIO(rest)))
            else:
                found = ((name, id_) for id_, name in read_packed_refs(BytesIO(content)))
            for name, id_ in found:
                self._check()
                yield bytes(name), bytes(id_).lower()
        except (Unreadable, GeneratorExit):
            raise
        except Exception as error:
            raise Unreadable("its packed-refs are damaged") from error

    def _loose_refs(self, folder: Folder, path: bytes, depth: int) -> Iterator[tuple[bytes, bytes]]:
        if depth > _MAX_DEPTH:
            raise Unreadable("its refs lie too deep")
        for name, is_directory in folder.entries():
            self._check()
            ref = path + b"/" + name
            if is_directory:
                below = folder.folder(name)
                if below is not None:
                    with below:
                        yield from self._loose_refs(below, ref, depth + 1)
            elif not name.endswith(b".lock"):
                content = folder.read(name, _SMALL)
                if content is not None and _symbolic(content) is None:
                    yield ref, _id(content, visible(ref))


def _symbolic(content: bytes) -> bytes | None:
    """The ref that this one stands for."""
    return content[4:].strip() if content.startswith(b"ref:") else None


def _id(content: bytes, shown: str) -> bytes:
    id_ = content.strip().lower()
    if len(id_) != 40 or id_.strip(b"0123456789abcdef"):
        raise Unreadable(f"{shown} is damaged")
    return id_
