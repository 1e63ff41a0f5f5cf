"""What axonloom writes beside the voxels, in every format: voxel size, offset, and what made the volume.

Zarr keeps it in the array's attributes under ``axonloom``, HDF5 in the data set's attribute ``axonloom``, a TIFF file in
tifffile's JSON description, and folders of sections and precomputed layers in a file ``axonloom.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from axonloom.durable import write_json
from axonloom.geometry import Zyx
from axonloom.volumes.volume import VolumeError

FORMAT_VERSION = 1
RECORD_FILE = "axonloom.json"
#: A stage writes its fingerprint under this name: the volume's identity from then on.
FINGERPRINT = "axonloom_fingerprint"

VoxelSize = tuple[float, float, float]


@dataclass(frozen=True)
class VolumeRecord:
    """Voxel size (nm, zyx; None: unknown), offset (voxels, zyx) and free attributes (plain JSON).

    ``complete`` is False for a marker file that holds a fingerprint and says nothing of voxel size and offset.
    """

    voxel_size: VoxelSize | None = None
    offset: Zyx = (0, 0, 0)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True

    def to_json(self, with_attributes: bool = True) -> dict[str, Any]:
        content: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "voxel_size_nm": list(self.voxel_size) if self.voxel_size else None,
            "offset_voxels": list(self.offset),
        }
        if with_attributes:
            content["attributes"] = dict(self.attributes)
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> VolumeRecord:
        """Read back :meth:`to_json`; a marker file that holds only a fingerprint is accepted too.

        Raises
        ------
        VolumeError
            A newer format version, or values that are not numbers.
        """
        version = content.get("format_version", FORMAT_VERSION)
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise VolumeError(
                f"{where} was written in volume format {version}, and this axonloom reads up to {FORMAT_VERSION}: "
                "a newer axonloom is needed"
            )
        attributes = dict(content.get("attributes") or {})
        if FINGERPRINT in content:
            attributes.setdefault(FINGERPRINT, content[FINGERPRINT])
        size = content.get("voxel_size_nm")
        offset = content.get("offset_voxels") or (0, 0, 0)
        return cls(
            checked_voxel_size(size, where) if size else None,
            checked_offset(offset, where),
            attributes,
            complete="voxel_size_nm" in content,
        )


def read_record_file(folder: Path) -> VolumeRecord | None:
    """The record in ``folder``/axonloom.json; None where there is no such file."""
    path = folder / RECORD_FILE
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise VolumeError(f"{path} is not JSON ({error}); restore it, or remove it") from error
    if not isinstance(content, dict):
        raise VolumeError(f"{path} is not a JSON object; restore it, or remove it")
    return VolumeRecord.from_json(content, str(path))


def write_record_file(folder: Path, record: VolumeRecord) -> None:
    """Write ``folder``/axonloom.json, whole or not at all."""
    write_json(folder / RECORD_FILE, record.to_json())


def checked_voxel_size(values: Sequence[Any], where: str) -> VoxelSize:
    """Three positive numbers (nm, zyx), or a VolumeError that names ``where`` they stood."""
    try:
        size = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        size = ()
    if len(size) != 3 or not all(math.isfinite(v) and v > 0 for v in size):
        raise VolumeError(
            f"{where} gives the voxel size {_plain(values)}; three positive numbers (z, y, x in nm) are needed"
        )
    return cast(VoxelSize, size)


def checked_offset(values: Sequence[Any], where: str) -> Zyx:
    """Three whole numbers (voxels, zyx), or a VolumeError that names ``where`` they stood."""
    try:
        offset = tuple(int(v) for v in values)
        whole = len(offset) == 3 and all(float(a) == b for a, b in zip(values, offset, strict=True))
    except (TypeError, ValueError, OverflowError):
        offset, whole = (), False
    if not whole:
        raise VolumeError(
            f"{where} gives the offset {_plain(values)}; three whole numbers (z, y, x in voxels) are needed"
        )
    return cast(Zyx, offset)


def offset_from_nm(values: Sequence[float], voxel_size: VoxelSize | None, where: str) -> Zyx:
    """An offset in nm, as CREMI and funlib write it, in voxels (rounded); without a voxel size it is read as voxels."""
    size = voxel_size or (1.0, 1.0, 1.0)
    try:
        nanometres = [float(v) for v in values]
        voxels = [round(v / s) for v, s in zip(nanometres, size, strict=True)]
    except (TypeError, ValueError, OverflowError):
        raise VolumeError(
            f"{where} gives the offset {_plain(values)}; three numbers (z, y, x in nm) are needed"
        ) from None
    return cast(Zyx, tuple(voxels))


def _plain(values: Any) -> str:
    return str(values.tolist() if hasattr(values, "tolist") else values)
