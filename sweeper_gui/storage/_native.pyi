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

# A place is the levels below a tree's top, the top's identity and that of the directory above it. Each returns how many
# names are gone, the error of the one after them or 0, took and last.
_Place = tuple[int, tuple[int, int], tuple[int, int]]

def unlink(
    directory: int, names: list[bytes], at: int, until: int, place: _Place | None, /
) -> tuple[int, int, int, int]: ...
def rmdir(
    directory: int, names: list[bytes], at: int, until: int, place: _Place | None, /
) -> tuple[int, int, int, int]: ...
