"""A training's checkpoints side by side: which is newest, which is best, and which may go."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from axonloom.durable import sync_folder
from axonloom.networks.checkpoint import PARTIAL, PREFIX, Checkpoint, CheckpointError

BEST, LAST = "best", "last"


@dataclass(frozen=True)
class NewestGood:
    """The newest whole checkpoint of a folder (None where there is none), and a sentence for each damaged newer one."""

    checkpoint: Checkpoint | None
    skipped: tuple[str, ...]


def checkpoint_paths(folder: str | Path) -> list[Path]:
    """The folders called ``iteration_<number>`` in ``folder``, oldest first, damaged ones included."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if each.name.startswith(PREFIX) and each.name[len(PREFIX) :].isdigit()]
    return sorted(found, key=number_of)


def number_of(path: Path) -> int:
    """The iteration of one of :func:`checkpoint_paths`."""
    return int(path.name[len(PREFIX) :])


def newest_good(folder: str | Path) -> NewestGood:
    """The newest checkpoint whose files all match their checksums and that training can continue from."""
    skipped: list[str] = []
    for path in reversed(checkpoint_paths(folder)):
        try:
            checkpoint = Checkpoint.open(path)
            checkpoint.training_state()
        except CheckpointError as error:
            skipped.append(str(error))
            continue
        return NewestGood(checkpoint, tuple(skipped))
    return NewestGood(None, tuple(skipped))


def point(folder: Path, name: str, target: Path) -> None:
    """Let the relative link ``folder/name`` lead to ``target`` (in ``folder``), replacing an older link in one step."""
    temporary = folder / f"{PARTIAL}{uuid.uuid4().hex}"
    temporary.symlink_to(target.name)
    os.replace(temporary, folder / name)
    sync_folder(folder)


def linked(folder: str | Path, name: str) -> Path | None:
    """Where the link ``name`` (``best`` or ``last``) leads, if to a checkpoint that is there."""
    path = Path(folder) / name
    return path.resolve() if path.exists() else None


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove all checkpoints but the newest ``keep`` and those that ``best`` and ``last`` lead to; returns what went.

    Leftovers of writes that did not finish go too: call this only from the one process that trains in ``folder``.
    """
    spared = {linked(folder, BEST), linked(folder, LAST)}
    gone = [path for path in checkpoint_paths(folder)[: -keep or None] if path.resolve() not in spared]
    for path in gone:
        # Renamed first: a folder that is half removed must not look like a checkpoint.
        path.rename(folder / f"{PARTIAL}{uuid.uuid4().hex}")
    for leftover in folder.glob(f"{PARTIAL}*"):
        if leftover.is_symlink():
            leftover.unlink()
        else:
            shutil.rmtree(leftover)
    return gone
