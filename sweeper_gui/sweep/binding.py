"""Which registry a volume belongs to.

The first sweep writes it down in the control directory: a staging database cloned from production shares ids with it,
and would make every live workspace of production look deleted.
"""

import os
import secrets

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.core.snapshot import RegistryIdentity
from sweeper_gui.storage import files
from sweeper_gui.storage.control import Control
from sweeper_gui.storage.volume import VolumeError

_NAME = b"binding.json"
_MAX_SIZE = 1 << 20
_MEANT = "if the change is meant, say so with 'sweeper bind'"


class Binding(msgspec.Struct, frozen=True):
    """The registries that a volume is bound to, by whom and when (epoch seconds)."""

    registries: tuple[RegistryIdentity, ...]
    by: str
    at: float


def read_binding(control: Control) -> Binding | None:
    """The volume's binding, None where it has none. Raises `VolumeError` where it can't be read."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(_NAME, flags, dir_fd=control.descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(control, error.strerror or str(error)) from error
    try:
        return msgspec.json.decode(os.read(descriptor, _MAX_SIZE), type=Binding)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise _unreadable(control, str(error)) from error
    finally:
        os.close(descriptor)


def _unreadable(control: Control, why: str) -> VolumeError:
    return VolumeError(
        f"the binding in {visible(control.path)} can't be read: {why}", "look who changed it, then 'sweeper bind'"
    )


def write_binding(control: Control, binding: Binding) -> None:
    """Binds the volume, in place of what it was bound to. Raises OSError."""
    new = b"binding-" + secrets.token_hex(8).encode()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, control.file_mode, dir_fd=control.descriptor)
    try:
        control.share(descriptor)
        os.write(descriptor, msgspec.json.encode(binding) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(new, _NAME, src_dir_fd=control.descriptor, dst_dir_fd=control.descriptor)
    files.settle(control.descriptor)


def binding_problem(binding: Binding | None, found: tuple[RegistryIdentity, ...]) -> str | None:
    """Why these registries are not this volume's; None where they are, or where it is not bound yet.

    What a registry says of itself is compared where it is known on both sides: one that could not be read says nothing.
    """
    if binding is None:
        return None
    bound = {_place(one): one for one in binding.registries}
    if bound.keys() != {_place(one) for one in found}:
        return f"this volume is bound to the registry {_words(binding.registries)}, not to {_words(found)}: {_MEANT}"
    for one in found:
        known = bound[_place(one)]
        if one.query != known.query:
            return (
                f"this volume is bound to another query or list of {visible(str(one))} than is configured now: {_MEANT}"
            )
        if one.answered and known.answered and one.answered != known.answered:
            return (
                f"behind {visible(str(one))} is {visible(one.answered)} now; this volume is bound to "
                f"{visible(known.answered)}. Does the name lead to a copy? {_MEANT[0].upper()}{_MEANT[1:]}"
            )
    return None


def _place(registry: RegistryIdentity) -> RegistryIdentity:
    return msgspec.structs.replace(registry, query="", answered="")


def _words(registries: tuple[RegistryIdentity, ...]) -> str:
    return " and ".join(visible(str(registry)) for registry in registries) or "none"
