"""What may be deleted from a workspace: stages, results of other parameters, caches, and, when named, the layer. Never inputs."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.lease import holding
from axonloom.measured import DELETED, stage_folders
from axonloom.models.named import named
from axonloom.stage import StageError, StagePlan, lease_of
from axonloom.stage_status import running_blocks
from axonloom.stages.registry import STAGES
from axonloom.workspace import placed, workspace_id

#: Where Prefect keeps results of finished batches, below the workspace.
CACHE = "cache"
#: What we call things there, and folders that are being deleted: a workspace may hold files of others.
_CACHED = re.compile(r"[a-z]+-[0-9a-f]{64}(-\d+)+")
_LEFT = re.compile(rf"[0-9a-f]{{16}}\.[0-9a-f]{{12}}{re.escape(DELETED)}")


@dataclass(frozen=True)
class Deletion:
    """Something that would be deleted.

    Attributes
    ----------
    what : in words
    path : a folder or file
    size : bytes on disk
    files : how many
    lease : who writes it holds this; None for stages, whose leases are all held
    """

    what: str
    path: Path
    size: int
    files: int
    lease: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "path": str(self.path), "bytes": self.size, "files": self.files}


def of_stage(chain: Chain, name: str) -> list[Deletion]:
    """The folders of one stage under the present parameters (all scales, for the pyramid), with its cached results.

    Raises
    ------
    StageError
        The chain has no such stage.
    """
    plans = list(chain.all_stages())
    chosen = [plan for plan in plans if plan.stage == name]
    if not chosen:
        names = ", ".join(dict.fromkeys(plan.stage for plan in plans))
        raise StageError(f"this configuration has no stage {name!r}; it has {names}")
    found: list[Deletion] = []
    for plan in chosen:
        if plan.folder.is_dir():
            found.append(_folder(f"{plan.stage} {plan.folder.name}", plan.folder))
            found.extend(_cached(chain.workspace, f"{plan.stage}-{plan.fingerprint}-"))
    return found


def of_other_parameters(chain: Chain) -> list[Deletion]:
    """Stage folders of the workspace that the configuration does not lead to, and what interrupted deletions left.

    A folder with something in it that the configuration names (affinities of an earlier inference, a checkpoint) is an input.
    """
    kept = {plan.folder.resolve() for plan in chain.all_stages()}
    for path in _named(chain.configuration):
        kept |= {path, *path.parents}
    found: list[Deletion] = []
    for folder in stage_folders(chain.workspace):
        if folder.resolve() not in kept:
            found.append(_folder(f"{folder.parent.name} {folder.name}", folder))
            found.extend(_cached(chain.workspace, f"{folder.parent.name}-{folder.name}"))
    for left in sorted(chain.workspace.glob(f"*/*{DELETED}")):
        if _LEFT.fullmatch(left.name) and left.parent.name in STAGES:
            found.append(_folder(f"what is left of {left.parent.name} {left.name.split('.')[0]}", left))
    return found


def of_cache(chain: Chain) -> list[Deletion]:
    """Results of finished batches that Prefect keeps: without them a finished batch shows as Completed, not as Cached."""
    return list(_cached(chain.workspace, ""))


def of_layer(chain: Chain) -> list[Deletion]:
    """The segmentation that the user named.

    Raises
    ------
    StageError
        It was not made by axonloom, or not from this workspace.
    """
    layer = SegmentationLayer.at(chain.layer)
    if not layer.folder.exists():
        return []
    marker = layer.marker()
    if marker is None or marker["workspace"] != workspace_id(chain.workspace):
        raise StageError(f"{layer.folder} was not made from this workspace: delete it yourself if you want it gone")
    return [_folder("the segmentation", layer.folder, layer.lease)]


def require_idle(chain: Chain, deletions: list[Deletion], held: ExitStack) -> None:
    """Hold all stages of the workspace, and the layer when it is named, until ``held`` is closed.

    Raises
    ------
    LeaseHeldError
        A living run holds one of the stages or the layer.
    StageError
        A living process computes blocks of one of them.
    """
    hold_stages(chain, held)
    for lease in sorted({d.lease for d in deletions if d.lease is not None} - _stage_leases(chain)):
        held.enter_context(holding(lease, "clean"))
    for deletion in deletions:
        if (deletion.path / "stage.json").exists():
            plan = StagePlan.load(deletion.path)
            running = running_blocks(plan.ledger, plan.ledger.read())
            if running:
                raise StageError(
                    f"{deletion.what} is being computed now ({len(running)} blocks): stop that run first, with Ctrl+C or "
                    "`Cancel` in the browser"
                )


def hold_stages(chain: Chain, held: ExitStack) -> None:
    """Hold every stage of the workspace, also of other configurations: any of them may read what is about to change.

    Raises
    ------
    LeaseHeldError
        A living run holds one.
    """
    for lease in sorted(_stage_leases(chain)):
        held.enter_context(holding(lease, "clean"))


def _stage_leases(chain: Chain) -> set[Path]:
    folders = {folder.absolute() for folder in stage_folders(chain.workspace)}
    return {lease_of(folder) for folder in folders | {plan.folder.absolute() for plan in chain.all_stages()}}


def delete(deletion: Deletion) -> None:
    """Delete; what is interrupted half-way is never taken for a stage again, and the next cleaning ends it."""
    # A layer may be a link to another disk: its data go, and their space.
    path = deletion.path.resolve()
    if path.is_file():
        path.unlink(missing_ok=True)
        return
    doomed = path if path.name.endswith(DELETED) else path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}{DELETED}")
    if doomed != path:
        os.rename(path, doomed)
    shutil.rmtree(doomed)


def _folder(what: str, path: Path, lease: Path | None = None) -> Deletion:
    size = files = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
            files += 1
    return Deletion(what, path, size, files, lease)


def _cached(workspace: Path, prefix: str) -> Iterator[Deletion]:
    """The results of batches whose keys begin so: by their form, for the workspace may hold files of others."""
    folder = workspace / CACHE
    if folder.is_dir():
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            if entry.name.startswith(prefix) and _CACHED.fullmatch(entry.name):
                yield Deletion("a cached result", Path(entry.path), entry.stat().st_blocks * 512, 1)


def _named(configuration: Configuration) -> Iterator[Path]:
    """The places on this machine that a configuration reads."""
    volumes = configuration.volumes
    for settings in (volumes.image, volumes.labels, volumes.affinities, volumes.tissue, volumes.mask):
        if settings is not None:
            yield Path(settings.path.rpartition("://")[2]).resolve()
    tools = (
        configuration.split.source,
        configuration.predict.source,
        configuration.join.source,
        configuration.downsample.layer,
        configuration.to_precomputed.source,
        configuration.convert.source,
        configuration.resize.source,
        configuration.make_mask.source,
        configuration.apply_mask.source,
        configuration.apply_mask.mask,
    )
    for source in tools:
        if source is not None:
            location = placed(str(source), configuration.workspace).rpartition("://")[2].partition("?")[0]
            yield Path(location).resolve()
    for checkpoint in (configuration.infer.checkpoint, configuration.train.start_from):
        if checkpoint is not None and named(checkpoint) is None:
            yield Path(checkpoint).resolve()
