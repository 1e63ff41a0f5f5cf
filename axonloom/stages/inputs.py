"""What a stage reads: volumes by URI, and the outputs of the stages before it by their place in the workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axonloom.config.volumes import AffinitySettings, VolumeSettings
from axonloom.geometry import Box
from axonloom.stage import PLAN, StageError, StagePlan
from axonloom.volumes import CroppedVolume, Volume, VolumeError, open_affinities, open_volume
from axonloom.volumes.block_files import BlockFiles
from axonloom.volumes.identity import MOST_FILES, content_hash, files_hash
from axonloom.volumes.long_range_affinities import open_long_range_affinities


def open_configured(settings: VolumeSettings) -> Volume:
    """The volume that a configuration names: its region, with affinities turned to axonloom's own convention.

    Raises
    ------
    VolumeError
        It cannot be opened, or the region reaches outside it.
    """
    volume = _open_region(settings)
    if isinstance(settings, AffinitySettings):
        volume = open_affinities(
            volume,
            channel_order=settings.channel_order,
            value_at=settings.value_at,
            offsets=[list(o) for o in settings.offsets] if settings.offsets is not None else None,
        )
    return volume


def open_image(settings: VolumeSettings) -> Volume:
    """The image that a configuration names.

    Raises
    ------
    VolumeError
        It cannot be opened, the region reaches outside it, or it has channels.
    """
    volume = open_configured(settings)
    if volume.channels is not None:
        raise VolumeError(
            f"volumes.image ({volume.uri}) has {volume.channels} channels: an image is one grey value a voxel (z, y, x)"
        )
    return volume


def open_long_range(settings: AffinitySettings) -> Volume:
    """All channels of the affinities that a configuration names, (c, z, y, x) uint8, by their offsets.

    Raises
    ------
    VolumeError
        It cannot be opened, the region reaches outside it, or the offsets do not fit its channels.
    """
    return open_long_range_affinities(_open_region(settings), settings.offsets or ())


def _open_region(settings: VolumeSettings) -> Volume:
    volume = open_volume(settings.path, voxel_size=settings.voxel_size, version=settings.version)
    if settings.region is None:
        return volume
    box = Box(start=settings.region.start, end=settings.region.stop)
    if not volume.box.contains(box):
        raise VolumeError(f"{settings.path} holds {volume.box} (zyx voxels); the region {box} reaches outside it")
    return CroppedVolume(volume, box)


def volume_input(settings: VolumeSettings) -> dict[str, Any]:
    """A user's volume as a stage's input."""
    _require_whole(settings.path)
    kind = "affinities" if isinstance(settings, AffinitySettings) else "volume"
    return {
        "kind": kind,
        "settings": settings.model_dump(mode="json"),
        # A stated voxel size changes no voxel, but it is written into what is made.
        "identity": {"volume": open_configured(settings).identity(), "voxel_size": settings.voxel_size},
    }


def long_range_input(settings: AffinitySettings) -> dict[str, Any]:
    """A user's affinities, all channels of them, as a stage's input."""
    _require_whole(settings.path)
    return {
        "kind": LONG_RANGE,
        "settings": settings.model_dump(mode="json"),
        "identity": {"volume": open_long_range(settings).identity(), "voxel_size": settings.voxel_size},
    }


def files_input(files: BlockFiles) -> dict[str, Any]:
    """A folder of block files as a stage's input."""
    layout = [
        files.shape,
        files.offset,
        [[f.name, f.box.origin, f.box.stop, (f.core.origin, f.core.stop) if f.core else None] for f in files.files],
    ]
    return {
        "kind": "files",
        "path": str(files.folder.absolute()),
        "identity": {"layout_sha256": content_hash([json.dumps(layout).encode()]),
                     "files_sha256": files_hash(files.folder, FILE_ENDINGS, MOST_FILES)},
    }  # fmt: skip


def _require_whole(path: str) -> None:
    """Refuse a volume of a stage (of any workspace) that is not finished: what is missing there would read as zeros."""
    folder = Path(path).parent
    if (folder / PLAN).exists():
        plan = StagePlan.load(folder)
        missing = plan.ledger.read().missing(range(len(plan.grid)))
        if missing:
            raise StageError(
                f"{path} is not finished: {len(missing)} of its {len(plan.grid)} blocks are missing; let the run that makes "
                "it end first"
            )


def stage_input(plan: StagePlan) -> dict[str, Any]:
    """Another stage's output as a stage's input: its folder within the workspace, so that a workspace may be moved."""
    return {"kind": "stage", "stage": f"{plan.stage}/{plan.folder.name}", "identity": plan.fingerprint}


def open_volume_input(given: Mapping[str, Any], workspace: Path) -> Volume:
    """Reopen a volume input; for a stage's output, its volume."""
    if given["kind"] == "stage":
        folder = stage_folder(given, workspace)
        return open_volume(str(folder / f"{VOLUME_OF_STAGE[folder.parent.name]}.zarr"))
    if given["kind"] == LONG_RANGE:
        return open_long_range(AffinitySettings.model_validate(given["settings"]))
    model = AffinitySettings if given["kind"] == "affinities" else VolumeSettings
    return open_configured(model.model_validate(given["settings"]))


def stage_folder(given: Mapping[str, Any], workspace: Path) -> Path:
    """The folder of a stage input."""
    if given["kind"] != "stage":
        raise StageError(f"expected the output of a stage, not {given['kind']}")
    return workspace / given["stage"]


#: Names of block files end so.
FILE_ENDINGS = (".tif", ".tiff", ".h5", ".hdf5", ".hdf")
#: The volumes that stages keep in the workspace.
VOLUME_OF_STAGE = {
    "infer": "affinities",
    "fragment": "fragments",
    "waterz": "fragments",
    "mutex": "fragments",
    "foreground": "mask",
    "sieve": "mask",
}
#: The kind of input that holds the affinities of all offsets.
LONG_RANGE = "long-range affinities"
