"""Voxel size and offset from the metadata of TIFF files: axonloom's own, OME's, ImageJ's."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

import tifffile

from axonloom.volumes.ome import NANOMETRES
from axonloom.volumes.record import VolumeRecord, VoxelSize

#: Units as OME-XML, ImageJ and their users abbreviate them, in nm.
_NANOMETRES = {
    **NANOMETRES,
    "å": 0.1,
    "Å": 0.1,
    "nanometers": 1.0,
    "microns": 1e3,
    "micrometers": 1e3,
    "\\u00b5m": 1e3,  # ImageJ writes its escapes as text
    "\\u00B5m": 1e3,
}


def tiff_record(tif: tifffile.TiffFile, where: str) -> VolumeRecord:
    """What the file says of voxel size (nm, zyx) and offset; nothing where any of the three numbers is not stated.

    Raises
    ------
    VolumeError
        axonloom's own record is of a newer version or damaged.
    """
    for shaped in tif.shaped_metadata or ():
        own = shaped.get("axonloom")
        if isinstance(own, Mapping):
            return VolumeRecord.from_json(own, where)
    if tif.is_ome and tif.ome_metadata:
        return VolumeRecord(_ome(tif.ome_metadata))
    if tif.is_imagej and tif.imagej_metadata:
        return VolumeRecord(_imagej(tif.imagej_metadata, tif.pages.first))
    return VolumeRecord()


def _ome(xml: str) -> VoxelSize | None:
    try:
        pixels = next((e for e in ElementTree.fromstring(xml).iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    except ElementTree.ParseError:
        return None  # the images are read without it, by their pages
    if pixels is None:
        return None
    found = []
    for axis in "ZYX":
        size = _number(pixels.get(f"PhysicalSize{axis}"))
        unit = _NANOMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))  # micrometres by OME's schema
        if size is None or unit is None:
            return None
        found.append(size * unit)
    return found[0], found[1], found[2]


def _imagej(metadata: Mapping[str, Any], page: Any) -> VoxelSize | None:
    unit = _NANOMETRES.get(str(metadata.get("unit", "")).strip())
    spacing = _number(metadata.get("spacing"))
    sizes = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        pixels, units = tag.value if tag is not None else (0, 0)
        if not pixels or not units:
            return None
        sizes.append(units / pixels)
    if unit is None or spacing is None:
        return None
    return spacing * unit, sizes[0] * unit, sizes[1] * unit


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if 0 < value < float("inf") else None
