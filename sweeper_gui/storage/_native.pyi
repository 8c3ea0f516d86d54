# Names are single components. `until` is a time of the monotonic clock, in nanoseconds. `took` is what the operations
# took together, `last` what the last of them did, in nanoseconds. Raises OSError, TypeError, and ValueError for a name
# that is no single component.

def open_beneath(name: bytes, parent: int, flags: int, /) -> int: ...
def identities(directory: int, path: bytes, other: bytes, /) -> tuple[tuple[int, int], tuple[int, int]]: ...
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

# Each returns how many names are gone, the error of the one after them or 0, took and last.
def unlink(directory: int, names: list[bytes], at: int, until: int, /) -> tuple[int, int, int, int]: ...
def rmdir(directory: int, names: list[bytes], at: int, until: int, /) -> tuple[int, int, int, int]: ...
