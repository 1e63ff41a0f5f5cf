"""Zarr arrays, format 3 and 2, through TensorStore: the format of everything that axonloom computes block by block.

A URI is a path or URL with a folder that ends in ``.zarr``, followed by the array's place inside, if any. A chunk that was never
written reads as 0; new arrays carry a checksum (crc32c) a chunk, so that a damaged one is noticed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorstore as ts

from axonloom.geometry import Box, Zyx
from axonloom.volumes.identity import content_hash, folder_identity
from axonloom.volumes.record import FINGERPRINT, VolumeRecord, checked_voxel_size, offset_from_nm
from axonloom.volumes.stored import StoredVolume, plain_dtype, spatial_shape
from axonloom.volumes.tensorstore_io import (
    is_remote,
    kvstore,
    open_store,
    read_store,
    sync_folders,
    write_chunk,
    write_store,
)
from axonloom.volumes.volume import VolumeError
from axonloom.volumes.zarr_hierarchy import ZarrNode, locate_array

#: Attribute names under which others keep the order of the axes (zarr 2: xarray, funlib.persistence).
_AXIS_ATTRIBUTES = ("_ARRAY_DIMENSIONS", "axis_names")


class ZarrVolume(StoredVolume):
    """A zarr array; a group that is an OME-Zarr image opens as its first level."""

    format = "zarr"
    writable_by_blocks = True

    def __init__(self, uri: str, **overrides: Any) -> None:
        super().__init__(uri, **overrides)
        node, ome = locate_array(uri)
        self._location = node.location
        self._metadata = node.files
        store = open_store({"driver": node.driver, "kvstore": kvstore(self._location), "open": True}, uri)
        self._native = store
        names = _axis_names(node, store)
        order, dropped = _axis_order(store, names, ome is not None, uri)
        self._order = order
        self._view = store[tuple(0 if a in dropped else slice(None) for a in range(store.rank))]
        kept = [a for a in range(store.rank) if a not in dropped]
        self._view = self._view.transpose([kept.index(a) for a in order])
        self.shape, self.channels = spatial_shape(self._view.shape, uri)
        self.dtype = plain_dtype(store.dtype.numpy_dtype, uri)
        self._stored_chunk = write_chunk(store)
        self.chunk = cast(Zyx, tuple(self._stored_chunk[a] for a in order[-3:]))
        self._key_style = _key_style(node)
        self._adopt(ome or _record(node, uri))

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        return read_store(self._view, self.uri, box, channels)

    def _write(self, box: Box, array: np.ndarray) -> None:
        if is_remote(self._location) and self._location.startswith("http"):
            raise VolumeError(f"{self.uri} is read through http: it cannot be written; use a path, gs:// or s3://")
        write_store(self._view, self.uri, box, array)

    def sync(self, box: Box | None = None) -> None:
        """Make the chunks of ``box`` durable.

        Chunk files and the folders that hold them are synced by TensorStore when it writes (see ``write_store``); here
        follow the folders above them, which name those folders, from the innermost to the array's own.
        """
        if is_remote(self._location):
            return
        root = Path(self._location)
        if box is None:
            sync_folders([Path(where) for where, _, _ in os.walk(root, topdown=False)])
        else:
            sync_folders([root / name for name in self._chunk_folders(box)])

    def _chunk_folders(self, box: Box) -> list[str]:
        """Folders that hold or lead to the chunks of ``box``, relative to the array, innermost first."""
        prefix, separator = self._key_style
        folders = {"", prefix}
        if separator == "/":
            folders |= {os.path.dirname(key) for key in self.chunk_keys(box)}
            for key in list(folders):
                while key:
                    key = os.path.dirname(key)
                    folders.add(key)
        return sorted(folders, key=lambda name: (-len(Path(name).parts), name))

    def chunk_keys(self, box: Box) -> list[str]:
        """Names, relative to the array's folder, of the chunk files that hold voxels of ``box`` (they may not exist yet)."""
        prefix, separator = self._key_style
        spatial = dict(zip(self._order[-3:], zip(box.origin, box.stop, strict=True), strict=True))
        ranges = []
        for axis, size in enumerate(self._stored_chunk):
            low, high = spatial.get(axis, (0, self._native.shape[axis]))
            ranges.append(range(low // size, -(-high // size)))
        lead = [prefix] if prefix else []
        return [separator.join([*lead, *map(str, index)]) for index in itertools.product(*ranges)]

    def identity(self) -> dict[str, Any]:
        fingerprint = self.attributes.get(FINGERPRINT)
        if is_remote(self._location):
            return self._versioned({"uri": self.uri, "metadata_sha256": content_hash(self._metadata)})
        return folder_identity(Path(self._location), self._metadata, self.version, fingerprint)

    def describe(self) -> dict[str, Any]:
        codec = self._native.codec
        return {
            **super().describe(),
            "zarr_format": 2 if self._key_style[0] == "" else 3,
            "codec": codec.to_json() if codec is not None else None,
            "attributes": dict(self.attributes),
        }


def _axis_names(node: ZarrNode, store: ts.TensorStore) -> list[str] | None:
    names: Any = node.document.get("dimension_names") if node.driver == "zarr3" else None
    for key in _AXIS_ATTRIBUTES:
        names = names or node.attributes.get(key)
    if not isinstance(names, list) or len(names) != store.rank or not all(isinstance(n, str) for n in names):
        return None
    return [n.lower().rstrip("^") for n in names]  # funlib marks channel axes with ^


def _axis_order(store: ts.TensorStore, names: list[str] | None, is_ome: bool, uri: str) -> tuple[list[int], set[int]]:
    """Which stored axes are (c), z, y, x, and which are dropped: time of one point, and one channel of an OME image."""
    if names is None or not {"z", "y", "x"} <= set(names) or len(set(names)) != len(names):
        if is_ome and store.rank == 5:
            names = ["t", "c", "z", "y", "x"]
        else:
            spatial_shape(store.shape, uri)
            return list(range(store.rank)), set()
    spatial = [names.index(a) for a in "zyx"]
    others = [a for a in range(store.rank) if a not in spatial]
    dropped = {a for a in others if store.shape[a] == 1 and (is_ome or names[a] in ("t", "time"))}
    channel = [a for a in others if a not in dropped]
    if len(channel) > 1 or any(names[a] in ("t", "time") for a in channel):
        raise VolumeError(
            f"{uri} has the axes {', '.join(names)} of shape {tuple(store.shape)}; a volume has z, y, x and at most one "
            "channel axis"
        )
    return [*channel, *spatial], dropped


def _key_style(node: ZarrNode) -> tuple[str, str]:
    """Prefix and separator of the chunk keys."""
    if node.driver == "zarr":
        return "", str(node.document.get("dimension_separator", "."))
    encoding = node.document.get("chunk_key_encoding", {})
    default = encoding.get("name", "default") == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    return ("c" if default else ""), separator


def _record(node: ZarrNode, uri: str) -> VolumeRecord:
    """Ours, or the attributes ``voxel_size``/``resolution`` and ``offset`` (nm) that funlib.persistence writes."""
    attributes = dict(node.attributes)
    own = attributes.pop("axonloom", None)
    if isinstance(own, dict):
        record = VolumeRecord.from_json(own, uri)
        return VolumeRecord(record.voxel_size, record.offset, attributes)
    size = attributes.get("voxel_size", attributes.get("resolution"))
    units = attributes.get("units")
    in_nm = units is None or all(u in ("nm", "nanometer", "") for u in ([units] if isinstance(units, str) else units))
    if not isinstance(size, list) or not in_nm:
        return VolumeRecord(attributes=attributes)
    voxel_size = checked_voxel_size(size[-3:], f"{uri} (attribute voxel_size or resolution)")
    offset = attributes.get("offset")
    shift = offset_from_nm(offset[-3:], voxel_size, uri) if isinstance(offset, list) else (0, 0, 0)
    return VolumeRecord(voxel_size, shift, attributes)
