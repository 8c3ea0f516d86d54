"""Directories that must never be taken for a volume of workspaces."""

import os
import pwd
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

#: These themselves are refused; a directory below them may hold workspaces.
_REFUSED = frozenset(
    PurePosixPath(path)
    for path in (
        "/home /root /Users /tmp /var /var/lib /var/tmp /var/local /opt /media /run /run/media /run/user /dev/shm"
    ).split()
)

#: These are refused with everything below them.
_REFUSED_TREES = frozenset(
    PurePosixPath(path)
    for path in (
        "/bin /boot /dev /etc /gnu /lib /lib32 /lib64 /libx32 /lost+found /nix /proc /sbin /snap /sys /usr"
        " /run/lock /run/systemd /run/udev"
        " /var/backups /var/cache /var/crash /var/lock /var/log /var/mail /var/run /var/spool"
        " /var/lib/apt /var/lib/dpkg /var/lib/rpm /var/lib/systemd"
    ).split()
)

#: Exceptions below a refused tree: memory that anyone may use.
_ALLOWED_BELOW = (PurePosixPath("/dev/shm"),)


def dangerous_root(path: Path | PurePosixPath, homes: Collection[Path] = ()) -> str | None:
    """Why `path` must not be the root, as the end of a sentence ('is a home directory'), or None.

    Pure: compares absolute paths only, so it is asked again about the path that a link leads to. `homes` are home
    directories; directories directly below /home are taken for some too, and whatever contains a home is refused.
    """
    place = PurePosixPath(os.path.normpath("/" + str(path).lstrip("/")))
    if place == PurePosixPath("/"):
        return "is the root of the whole system"
    home = next((home for home in homes if PurePosixPath(home).is_relative_to(place)), None)
    if home is not None:
        return "is a home directory" if PurePosixPath(home) == place else f"contains the home directory {home}"
    if place.parent == PurePosixPath("/home") or place == PurePosixPath("/root"):
        return "is a home directory"
    if place in _REFUSED:
        return "is a system directory"
    if any(place.is_relative_to(allowed) for allowed in _ALLOWED_BELOW):
        return None
    tree = next((tree for tree in _REFUSED_TREES if place.is_relative_to(tree)), None)
    if tree is not None:
        return "is a system directory" if tree == place else f"lies in the system directory {tree}"
    return None


def known_homes(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """This user's home directories: the one in $HOME, the account's, and those of the user who called sudo."""
    homes = [environ.get("HOME", ""), _account_home(os.geteuid()), _account_home(os.getuid())]
    if environ.get("SUDO_UID", "").isdecimal():
        homes.append(_account_home(int(environ["SUDO_UID"])))
    # A service account's home may be '/' or a made-up path; '/' is refused anyway.
    return tuple(dict.fromkeys(Path(home) for home in homes if home.startswith("/") and home.strip("/")))


def _account_home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except (KeyError, OverflowError):
        return ""
