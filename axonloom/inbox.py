"""New volumes in a folder: which are whole, which are done, and who works on which.

What is known of a volume lies in the results folder, not in a scheduler's memory. A volume is known by its name and by the
sizes and times of its files: one that was replaced is a new one, with a workspace of its own. It is *seen* at first; when it
has not changed for some time and can be opened it is *ready*; a run that takes it holds a lease (:mod:`axonloom.lease`), and
writes ``done.json`` at the end. A run that was killed leaves no ``done.json`` and a lease of a dead process: the next one goes
on with that workspace, and its ledger says what is left.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from axonloom.bad_input import BadInputError
from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.config.inbox import InboxSettings
from axonloom.config.load import load_configuration
from axonloom.durable import write_json
from axonloom.geometry import Box
from axonloom.lease import holding
from axonloom.stages.inputs import open_configured
from axonloom.volumes import VolumeError, open_volume

FORMAT_VERSION = 1
DONE, FAILED, LEASE = "done.json", "failed.json", "taken.lease"
#: Folder below the results with a file for each name: as what, and since when, it is known.
SEEN = "seen"

#: waiting: not whole yet, or not long enough the same; given up: it failed as often as it was allowed to.
State = Literal["waiting", "ready", "done", "given up"]


class InboxError(BadInputError):
    """An inbox that cannot be used as configured."""


@dataclass(frozen=True)
class Arrival:
    """A volume in the inbox.

    Attributes
    ----------
    name : file or folder name
    uri : how it is opened
    identity : hex digest of the names, sizes and times of its files
    place : folder of its own below the results
    state, note : what is to be done with it, and why
    """

    name: str
    uri: str
    identity: str
    place: Path
    state: State
    note: str = ""

    @property
    def workspace(self) -> Path:
        return self.place / "work"


def look(settings: InboxSettings) -> list[Arrival]:
    """All volumes of the inbox, sorted by name. Writes down when one was first seen as it is.

    Raises
    ------
    InboxError
        The folder does not exist.
    """
    if not settings.folder.is_dir():
        raise InboxError(f"folder: {settings.folder} does not exist; make it, and copy volumes into it")
    found = []
    for path in sorted(settings.folder.iterdir()):
        if path.name.startswith(".") or not any(fnmatch.fnmatch(path.name, p) for p in settings.patterns):
            continue
        try:
            identity = _identity(path)
        except FileNotFoundError:
            # Moved away, or renamed at the end of a copy, while it was listed.
            continue
        found.append(_arrival(path, identity, settings))
    return found


@contextmanager
def taking(arrival: Arrival) -> Iterator[bool]:
    """Hold a volume for the time of a ``with`` block; False when another run has finished it meanwhile.

    Raises
    ------
    LeaseHeldError
        A living run works on it.
    """
    with holding(arrival.place / LEASE, arrival.identity):
        yield not (arrival.place / DONE).exists()


def configuration_for(arrival: Arrival, settings: InboxSettings) -> Configuration:
    """The template with this volume and its workspace.

    Raises
    ------
    ConfigurationError
        The template cannot be used.
    """
    return load_configuration(
        settings.template,
        [
            f"workspace={json.dumps(str(arrival.workspace))}",
            f"volumes.{settings.volume}.path={json.dumps(arrival.uri)}",
        ],
    )


def require_usable(configuration: Configuration) -> None:
    """Raise what every volume would fail of: what the template names beside the volume is not there, or damaged.

    Raises
    ------
    CheckpointError
        No network, whole, to infer with; where affinities are given none is looked for.
    VolumeError
        The mask or the labels cannot be opened.
    """
    for given in (configuration.volumes.mask, configuration.volumes.labels):
        if given is not None:
            open_configured(given)
    chain = Chain(configuration)
    if chain.infers:
        # Only here: looking at an inbox should not wait for torch.
        from axonloom.networks.checkpoint import Checkpoint

        Checkpoint.open(chain.checkpoint)


def has_changed(arrival: Arrival, settings: InboxSettings) -> bool:
    """Whether a volume is no longer as it was when it was looked at: replaced, written to again, or gone."""
    try:
        return _identity(settings.folder / arrival.name) != arrival.identity
    except FileNotFoundError:
        return True


def record_done(arrival: Arrival, results: dict[str, Any]) -> None:
    """From now on this volume is finished, for every run."""
    write_json(
        arrival.place / DONE,
        {
            "format_version": FORMAT_VERSION,
            "volume": arrival.uri,
            "identity": arrival.identity,
            "results": results,
            "at": time.time(),
        },
    )


def record_failure(arrival: Arrival, message: str) -> int:
    """Count a try that failed; returns how many there were."""
    tries = _read(arrival.place / FAILED).get("tries", 0) + 1
    write_json(
        arrival.place / FAILED,
        {"format_version": FORMAT_VERSION, "tries": tries, "message": message, "at": time.time()},
    )
    return tries


def _arrival(path: Path, identity: str, settings: InboxSettings) -> Arrival:
    uri = _uri(path, settings)
    place = settings.results / f"{path.name}-{identity[:12]}"
    state, note = _state(uri, place, _seen_for(path.name, identity, settings), settings)
    return Arrival(path.name, uri, identity, place, state, note)


def _seen_for(name: str, identity: str, settings: InboxSettings) -> float:
    """Seconds since this name was first seen as it is now."""
    record = settings.results / SEEN / f"{name}.json"
    known = _read(record)
    if known.get("identity") != identity:
        known = {"format_version": FORMAT_VERSION, "identity": identity, "at": time.time()}
        write_json(record, known)
    return max(time.time() - known["at"], 0.0)


def _state(uri: str, place: Path, age: float, settings: InboxSettings) -> tuple[State, str]:
    if (place / DONE).exists():
        return "done", ""
    failed = _read(place / FAILED)
    if failed.get("tries", 0) >= settings.tries:
        return "given up", f"after {failed['tries']} tries: {failed['message']}"
    if age < settings.settle:
        return "waiting", f"the same for {age:.0f} s of {settings.settle:g} s"
    try:
        _require_whole(uri)
    except (VolumeError, OSError) as error:
        return "waiting", f"cannot be read yet: {error}"
    return "ready", ""


def _require_whole(uri: str) -> None:
    """Open it and read its last voxel: a file that was cut off has none."""
    volume = open_volume(uri)
    volume.read(Box(start=tuple(n - 1 for n in volume.shape), size=(1, 1, 1)))


def _identity(path: Path) -> str:
    """Digest of the relative names, sizes and times of all files; cheap enough for a look every minute."""
    digest = hashlib.sha256()
    for file in sorted(_files(path)):
        found = file.stat()
        digest.update(json.dumps([str(file.relative_to(path)), found.st_size, found.st_mtime_ns]).encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for folder, _, names in os.walk(path):
        for name in names:
            yield Path(folder) / name


def _uri(path: Path, settings: InboxSettings) -> str:
    if (path / "info").is_file():
        return f"precomputed://{path}"
    if settings.dataset is not None and path.suffix.lower() in (".h5", ".hdf5", ".hdf"):
        return f"{path}:{settings.dataset}"
    return str(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
