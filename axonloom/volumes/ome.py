"""Voxel size and offset of OME-Zarr images (NGFF 0.4 and 0.5 ``multiscales``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from axonloom.geometry import Zyx
from axonloom.volumes.record import VolumeRecord, VoxelSize

#: Nanometres a unit.
NANOMETRES = {
    "angstrom": 0.1,
    "nanometer": 1.0,
    "nm": 1.0,
    "micrometer": 1e3,
    "micron": 1e3,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "millimeter": 1e6,
    "mm": 1e6,
    "centimeter": 1e7,
    "cm": 1e7,
}


@dataclass(frozen=True)
class OmeLevel:
    """One scale of an image: where it lies, and its voxel size and offset where the units say so."""

    path: str
    record: VolumeRecord


def ome_level(attributes: Mapping[str, Any], path: str | None) -> OmeLevel | None:
    """The level at ``path`` (None: the first) of the first multiscales image of a group; None where there is none.

    The scale counts only where the axes z, y and x have units of length. Translation becomes an offset in voxels (rounded).
    """
    holder = attributes.get("ome", attributes)
    images = holder.get("multiscales") if isinstance(holder, Mapping) else None
    if not isinstance(images, list) or not images or not isinstance(images[0], Mapping):
        return None
    image = images[0]
    levels = [d for d in image.get("datasets") or [] if isinstance(d, Mapping) and isinstance(d.get("path"), str)]
    chosen = next((d for d in levels if path is None or d["path"].strip("/") == path), None)
    if chosen is None:
        return None
    axes = [a if isinstance(a, Mapping) else {"name": a} for a in image.get("axes") or []]
    names = [a.get("name") for a in axes]
    if not {"z", "y", "x"} <= set(names):
        return OmeLevel(chosen["path"], VolumeRecord())
    spatial = [names.index(a) for a in "zyx"]
    scale, translation = [1.0] * 3, [0.0] * 3
    stated = False
    for transform in [
        *(chosen.get("coordinateTransformations") or []),
        *(image.get("coordinateTransformations") or []),
    ]:
        by = transform.get(transform.get("type"))
        if not isinstance(by, list) or len(by) != len(names):
            continue
        if transform["type"] == "scale":
            stated = True
            scale = [s * float(by[a]) for s, a in zip(scale, spatial, strict=True)]
            translation = [t * float(by[a]) for t, a in zip(translation, spatial, strict=True)]
        elif transform["type"] == "translation":
            translation = [t + float(by[a]) for t, a in zip(translation, spatial, strict=True)]
    units = [NANOMETRES.get(str(axes[a].get("unit"))) for a in spatial]
    if not stated or min(scale) <= 0:
        return OmeLevel(chosen["path"], VolumeRecord())
    offset = cast(Zyx, tuple(round(t / s) for t, s in zip(translation, scale, strict=True)))
    size = None
    if None not in units:
        size = cast(VoxelSize, tuple(s * cast(float, u) for s, u in zip(scale, units, strict=True)))
    return OmeLevel(chosen["path"], VolumeRecord(size, offset))
