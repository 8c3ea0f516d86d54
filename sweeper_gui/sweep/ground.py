"""What listings and sweeps stand on: the open volume, the settings, the local memory, the pool of workers.

Facts about the world are gathered here, and always handed to the pure rules of `core` in the same way, so that a row
that is shown and a candidate that is about to be removed are judged alike.
"""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import msgspec

from sweeper_gui.core.policy import Now, Policy
from sweeper_gui.core.snapshot import RegistryIdentity, Snapshot, examine
from sweeper_gui.core.workspace import Workspace
from sweeper_gui.registries import identity_of, read_all
from sweeper_gui.settings import Settings, state_dir
from sweeper_gui.storage.control import Control, place_of
from sweeper_gui.storage.inuse import user_of, uses_below
from sweeper_gui.storage.listing import list_workspaces
from sweeper_gui.storage.mounts import below, points_below, read_mounts
from sweeper_gui.storage.queue import WorkPool
from sweeper_gui.storage.volume import Volume, VolumeError
from sweeper_gui.sweep.binding import binding_problem, read_binding
from sweeper_gui.sweep.state import LocalState


class Facts(msgspec.Struct, frozen=True):
    """What is true around the workspaces at one moment: mounts, users, and paths that the tool itself needs."""

    mounts: tuple[bytes, ...]
    uses: dict[bytes, str]
    needed: dict[bytes, str]

    def about(self, workspace: Workspace, root: bytes) -> Workspace:
        """The workspace with these facts."""
        path = root.rstrip(b"/") + b"/" + workspace.name
        mounts = tuple(point for point in self.mounts if below(point, workspace.name) is not None)
        needed = next((why for needed, why in self.needed.items() if below(needed, path) is not None), None)
        return msgspec.structs.replace(
            workspace,
            mounts=mounts or workspace.mounts,
            needed_because=needed,
            used_by=user_of(path, self.uses) if self.uses else None,
        )


class Ground:
    """One volume, opened, with all that is needed to judge and to sweep it. Close it, or use it as a context."""

    def __init__(self, settings: Settings, pool: WorkPool, cancel: Event) -> None:
        self.settings = settings
        self.pool = pool
        self.cancel = cancel
        self.volume = Volume(settings.volume)
        self.state = LocalState(state_dir(), self.volume.root)

    def __enter__(self) -> "Ground":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the volume's descriptor back."""
        self.volume.close()

    def operation(self) -> AbstractContextManager[None]:
        """Around one operation on the volume, in any thread; after a cancel it waits for no turn."""
        return self.pool.operation(cancel=self.cancel)

    @property
    def policy(self) -> Policy:
        """The rules, with the user's pins."""
        return self.settings.rules(self.state.pinned)

    @property
    def registries(self) -> tuple[RegistryIdentity, ...]:
        """Which registries are configured."""
        return tuple(identity_of(registry) for registry in self.settings.registry)

    @property
    def local_logs(self) -> Path:
        """Where the logs are that went on here when the volume was full, each in a directory named by its sweep."""
        return self.state.directory / "sweeps"

    def log_fallback(self, sweep_id: str) -> Path:
        """Where the log of a sweep goes on when the volume is full."""
        return self.local_logs / sweep_id / "log.jsonl"

    def now(self, volume_clock: float | None = None) -> Now:
        """The clocks: the host's, and the volume's where it is known."""
        return msgspec.structs.replace(host_now(), volume=volume_clock)

    def directory_ids(self) -> frozenset[str]:
        """The ids of the directories on the volume now, and of those in its trash, names only."""
        ids: set[str] = set()
        with self.operation():
            for batch in list_workspaces(self.volume, self.cancel):
                self.pool.beat()
                ids |= {workspace.id for workspace in batch.workspaces if workspace.id is not None}
        return frozenset(ids)

    def read_registry(
        self, directory_ids: frozenset[str], control: Control | None = None, *, accept: bool = False
    ) -> Snapshot:
        """Reads all registries and examines the answer against this volume, its past and its binding.

        With `accept` a person says that past and binding no longer count.
        """
        answer = self.read_unexamined()
        return examine(answer, directory_ids) if accept else self.examined(answer, directory_ids, control)

    def read_unexamined(self) -> Snapshot:
        """What the registries say, not to be trusted before it is examined."""
        return read_all(self.settings.registry, cancel=self.cancel)

    def examined(self, answer: Snapshot, directory_ids: frozenset[str], control: Control | None = None) -> Snapshot:
        """The answer examined against this volume, its past and its binding."""
        return examine(answer, directory_ids, self.state.live_ids, self._binding_problem(answer.identities, control))

    def _binding_problem(self, found: tuple[RegistryIdentity, ...], control: Control | None) -> str | None:
        try:
            if control is not None:
                return binding_problem(read_binding(control), found)
            opened = Control.open_existing(self.volume, self.settings.volume)
            if opened is None:
                return None
            with opened:
                return binding_problem(read_binding(opened), found)
        except VolumeError as error:
            return str(error)
        except OSError as error:
            return f"the volume's binding can't be read: {error.strerror}"

    def facts(self) -> Facts:
        """Looks around: the mount table, the processes, the tool's own paths. Takes a look at every process."""
        mounts = read_mounts()
        return Facts(
            points_below(mounts, self.volume.root),
            uses_below([self.volume.root], self.volume.mount),
            self._needed(),
        )

    def _needed(self) -> dict[bytes, str]:
        paths: dict[str | Path, str] = {sys.executable: "holds the running program", state_dir(): "holds our state"}
        if self.settings.config_file is not None:
            paths[self.settings.config_file] = "holds the configuration file"
        for registry in self.registries:
            if registry.path.startswith("/"):
                paths[registry.path] = "holds the registry"
        for registry_settings in self.settings.registry:
            if registry_settings.token_file is not None:
                paths[registry_settings.token_file] = "holds the registry's token"
        try:
            paths[os.fsdecode(place_of(self.volume, self.settings.volume).path)] = "holds the control directory"
        except (VolumeError, OSError):
            pass  # said where it matters; a control directory that can't be placed can't be swept either
        return _resolved(paths)


def host_now() -> Now:
    """The host's clock alone, for judging while nothing is written to the volume."""
    return Now(time.time())


def _resolved(paths: Mapping[str | Path, str]) -> dict[bytes, str]:
    return {os.fsencode(os.path.realpath(path)): why for path, why in paths.items()}
