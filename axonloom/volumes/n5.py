"""N5 data sets, read through TensorStore: ``data.n5/path``. N5 lists its axes fastest first (xyz(c)); they are turned here."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.volumes.identity import folder_identity
from axonloom.volumes.record import VolumeRecord, VoxelSize, checked_voxel_size, offset_from_nm
from axonloom.volumes.stored import StoredVolume, plain_dtype, require_file, spatial_shape
from axonloom.volumes.tensorstore_io import kvstore, open_store, read_key, read_store, write_chunk
from axonloom.volumes.volume import VolumeError


class N5Volume(StoredVolume):
    """An N5 data set, read only: xyz becomes zyx, xyzc becomes czyx."""

    format = "n5"

    def __init__(self, uri: str, **overrides: Any) -> None:
        super().__init__(uri, **overrides)
        self.path = Path(uri)
        attributes = self._attributes()
        store = open_store({"driver": "n5", "kvstore": kvstore(uri), "open": True}, uri)
        self._store = store.transpose(list(range(store.rank))[::-1])
        self.shape, self.channels = spatial_shape(self._store.shape, uri)
        self.dtype = plain_dtype(store.dtype.numpy_dtype, uri)
        self.chunk = cast(Zyx, write_chunk(self._store)[-3:])
        self._adopt(_record(attributes, uri))

    def _attributes(self) -> dict[str, Any]:
        content = read_key(str(self.path), "attributes.json")
        self._metadata = content or b""
        try:
            attributes = json.loads(self._metadata or b"{}")
        except ValueError as error:
            raise VolumeError(
                f"{self.path}/attributes.json is not JSON ({error}): the N5 metadata are damaged"
            ) from error
        if not isinstance(attributes, dict) or "dimensions" not in attributes:
            root = next(p for p in [*reversed(self.path.parents), self.path] if p.suffix.lower() == ".n5")
            require_file(root)
            listed = ", ".join(list_datasets(root)[:20]) or "none"
            raise VolumeError(f"{self.path} is not an N5 data set; those in {root}: {listed}")
        return attributes

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        return read_store(self._store, self.uri, box, channels)

    def identity(self) -> dict[str, Any]:
        return folder_identity(self.path, [self._metadata], self.version, None)


def list_datasets(folder: Path) -> list[str]:
    """Data sets below ``folder``, as relative paths; blocks are not walked."""
    found = []
    for where, folders, names in os.walk(folder):
        folders.sort()
        if "attributes.json" in names:
            try:
                attributes = json.loads((Path(where) / "attributes.json").read_bytes())
            except ValueError:
                continue  # a damaged one is named when it is opened
            if isinstance(attributes, dict) and "dimensions" in attributes:
                found.append(Path(where).relative_to(folder).as_posix())
                folders.clear()
    return found


def _record(attributes: dict[str, Any], uri: str) -> VolumeRecord:
    """``pixelResolution`` as Saalfeld's tools write it (xyz, in its unit), or funlib's ``resolution`` and ``offset`` (nm, zyx)."""
    pixel = attributes.get("pixelResolution")
    if isinstance(pixel, dict) and pixel.get("unit", "nm") in ("nm", "nanometer"):
        return VolumeRecord(checked_voxel_size(pixel.get("dimensions", [])[:3][::-1], f"{uri} (pixelResolution)"))
    size = attributes.get("resolution", attributes.get("voxel_size"))
    if not isinstance(size, list):
        return VolumeRecord()
    voxel_size: VoxelSize = checked_voxel_size(size[-3:], f"{uri} (attribute resolution)")
    offset = attributes.get("offset")
    return VolumeRecord(
        voxel_size, offset_from_nm(offset[-3:], voxel_size, uri) if isinstance(offset, list) else (0, 0, 0)
    )
