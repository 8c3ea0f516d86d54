# Names are single components. `until` is a time of the monotonic clock, in nanoseconds. `took` is what the operations
# took together, `last` what the last of them did, in nanoseconds. Raises OSError, TypeError, and ValueError for a name
# that is no single component.

def open_beneath(name: bytes, parent: int, flags: int, /) -> tuple[int, tuple[int, int]]: ...
def identities_above(directory: int, levels: int, /) -> tuple[tuple[int, int], tuple[int, int]]: ...
def list_names(directory: int, from_start: bool, most: int, /) -> tuple[list[bytes], bytearray, bool]: ...
def attributes(
    directory: int,
    names: list[bytes],
    at: int,
    until: int,
    fresh: bool,
    device: int,
    now_ns: int,
    newest: int,
    newest_ctime: int,
    claim: bytes,
    keep: bool,
    /,
) -> tuple[
    int,  # count
    int,  # took
    int,  # last
    int,  # blocks
    int,  # apparent
    int,  # newest
    bytes | None,  # whose that is, where newer than the one given
    int,  # newest ctime
    bool,  # whether the claim is among them
    list[tuple[bytes, int, int]],  # directories: name, inode, blocks
    list[tuple[int, int, int, int]],  # files with further names: inode, how many, blocks, size
    list[bytes],  # mounts
    list[tuple[bytes, int]],  # errors: name, number
    list[tuple[int, int, int, int] | None] | None,  # of each: mode, size, mtime and ctime in nanoseconds; where kept
]: ...

# A directory that was read.
_Found = tuple[
    int,  # its number: those of the children, then of all that were met
    int,  # entries
    int,  # blocks
    int,  # apparent
    int,  # newest
    bytes,  # whose that is, where newer than the one given
    int,  # newest ctime
    list[tuple[bytes, int, int]],  # directories: name, inode, blocks
    list[tuple[int, int, int, int]],  # files with further names: inode, how many, blocks, size
    int,  # the number of the first of these directories
    int,  # its own mtime when it had been read
    int,  # ... and ctime
]

def read_below(
    directory: int,
    children: list[tuple[bytes, int]],  # name, inode
    until: int,
    device: int,
    now_ns: int,
    newest: int,
    claim: bytes,
    left_alone: list[bytes],
    /,
) -> tuple[int, int, list[_Found]]: ...  # operations, last

# A place is the levels below a tree's top, the top's identity and that of the directory above it. Each returns how many
# names are gone, the error of the one after them or 0, took and last.
_Place = tuple[int, tuple[int, int], tuple[int, int]]

def unlink(
    directory: int, names: list[bytes], at: int, until: int, place: _Place | None, /
) -> tuple[int, int, int, int]: ...
def rmdir(
    directory: int, names: list[bytes], at: int, until: int, place: _Place | None, /
) -> tuple[int, int, int, int]: ...
