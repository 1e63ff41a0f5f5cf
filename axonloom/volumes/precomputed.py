"""Neuroglancer precomputed layers: xyz(c) on disk, (c)zyx here.

A URI is ``precomputed://`` and a path or a URL (file, gs, s3, https), with ``?mip=1`` for another scale than the first.
TensorStore moves the bytes; cloud-volume creates the layer, and reads what TensorStore cannot: other encodings (compresso,
crackle, ...) and local chunks that were written compressed (``.gz``, ``.br``). A chunk that is missing reads as 0.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorstore as ts

from axonloom.durable import write_json
from axonloom.geometry import Box, Zyx
from axonloom.volumes.identity import content_hash, folder_identity
from axonloom.volumes.new_volume import CHUNK, LayerLayout, NewVolume
from axonloom.volumes.precomputed_info import (
    SCHEME,
    added_scale,
    cloud_volume,
    commit_info,
    new_info,
    parse_precomputed,
    precomputed_uri,
    read_info,
    zyx,
)
from axonloom.volumes.record import (
    FINGERPRINT,
    RECORD_FILE,
    VolumeRecord,
    checked_voxel_size,
    read_record_file,
    write_record_file,
)
from axonloom.volumes.stored import StoredVolume, plain_dtype
from axonloom.volumes.tensorstore_io import (
    is_remote,
    kvstore,
    open_store,
    read_key,
    read_store,
    sync_folders,
    write_chunk,
    write_store,
)
from axonloom.volumes.volume import Volume, VolumeError

_TENSORSTORE_ENCODINGS = {"raw", "png", "jpeg", "compressed_segmentation"}
#: cloud-volume writes local chunks under these endings; TensorStore would not find them and read zeros.
_COMPRESSED_ENDINGS = (".gz", ".br", ".zstd", ".xz", ".bz2")
#: As many names of a scale's folder are looked at for such endings.
_NAMES_LOOKED_AT = 1_000


class PrecomputedVolume(StoredVolume):
    """One scale (``mip``) of a precomputed layer."""

    format = "precomputed"

    def __init__(self, uri: str, **overrides: Any) -> None:
        super().__init__(uri, **overrides)
        self.location, self.mip = parse_precomputed(uri)
        self.info = read_info(self.location)
        scales = self.info["scales"]
        if not 0 <= self.mip < len(scales):
            raise VolumeError(
                f"{uri}: the layer has {len(scales)} scales; ?mip=0 to ?mip={len(scales) - 1} can be opened"
            )
        self.scale: dict[str, Any] = scales[self.mip]
        self._require_data()
        self._origin = zyx(self.scale.get("voxel_offset", (0, 0, 0)))
        self.shape = zyx(self.scale["size"])
        self.chunk = zyx(self.scale["chunk_sizes"][0])
        self.dtype = plain_dtype(self.info["data_type"], uri)
        self.channels = None if int(self.info["num_channels"]) == 1 else int(self.info["num_channels"])
        record = None if is_remote(self.location) else read_record_file(Path(self.location))
        # A layer must state a resolution; our record beside it says when that one was made up.
        made_up = record is not None and record.complete and record.voxel_size is None
        voxel_size = None if made_up else checked_voxel_size(self.scale["resolution"][::-1], f"{self.location}/info")
        self._adopt(VolumeRecord(voxel_size, self._origin, record.attributes if record else {}))
        self._store = None if self._needs_cloud_volume() else self._tensorstore()
        if self._store is not None and self.scale.get("sharding"):
            self.chunk = cast(Zyx, write_chunk(self._store)[-3:])
        self.writable_by_blocks = self._store is not None and not self.location.startswith("http")
        self._cloud: Any = None
        self._cloud_pid = 0
        self._lock = threading.Lock()

    def _require_data(self) -> None:
        """A local scale without a folder was listed but never made; reading it as zeros would be a lie."""
        if is_remote(self.location) or (Path(self.location) / self.scale["key"]).is_dir():
            return
        present = [m for m, s in enumerate(self.info["scales"]) if (Path(self.location) / s["key"]).is_dir()]
        hint = f"; mip {present[0]} has: {precomputed_uri(self.location, present[0])}" if present else ""
        raise VolumeError(f"mip {self.mip} ({self.scale['key']}) of {SCHEME}{self.location} has no data{hint}")

    def _needs_cloud_volume(self) -> bool:
        # TensorStore refuses the whole layer when it does not know the encoding of any of its scales.
        if any(s.get("encoding") not in _TENSORSTORE_ENCODINGS for s in self.info["scales"]):
            return True
        if is_remote(self.location):
            return False
        with os.scandir(Path(self.location) / self.scale["key"]) as entries:
            return any(e.name.endswith(_COMPRESSED_ENDINGS) for e in islice(entries, _NAMES_LOOKED_AT))

    def _tensorstore(self) -> ts.TensorStore:
        """The scale as (c)zyx with its first voxel at (0, 0, 0)."""
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": kvstore(self.location),
            "scale_index": self.mip,
            "open": True,
        }
        store = open_store(spec, self.uri).transpose([3, 2, 1, 0])
        store = store[ts.d[:].translate_to[0]]
        return store[0] if self.channels is None else store

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        if self._store is not None:
            return read_store(self._store, self.uri, box, channels)
        picked = range(self.channels or 1) if channels is None else channels
        if box.voxels == 0 or not picked:
            lead = () if self.channels is None else (len(picked),)
            return np.zeros((*lead, *box.shape), self.dtype)
        z, y, x = box.shifted(self._origin).slices
        with self._lock:
            try:
                xyzc = self._opened_cloud()[x, y, z]
            # The decoders raise whatever their authors chose; a failure of the file system (errno) is left as it is.
            except Exception as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                raise VolumeError(f"{self.uri}: stored data of {box} are damaged or unreadable: {error}") from error
        czyx = np.asarray(xyzc).T
        return np.ascontiguousarray(czyx[0] if self.channels is None else czyx[list(picked)])

    def _opened_cloud(self) -> Any:
        if self._cloud is None or self._cloud_pid != os.getpid():
            self._cloud, self._cloud_pid = cloud_volume(self.location, self.mip), os.getpid()
        return self._cloud

    def _write(self, box: Box, array: np.ndarray) -> None:
        if self._store is None:
            raise VolumeError(
                f"{self.uri} holds {self.scale.get('encoding')} chunks that axonloom can read but not write: "
                "write to a new layer (create_volume)"
            )
        if self.location.startswith("http"):
            raise VolumeError(f"{self.uri} is read through http, which cannot write: use a path, gs:// or s3://")
        write_store(self._store, self.uri, box, array)

    def sync(self, box: Box | None = None) -> None:
        """Chunks lie flat in the scale's folder, which TensorStore syncs with every chunk; the layer's own folder follows."""
        if not is_remote(self.location):
            sync_folders([Path(self.location) / self.scale["key"], Path(self.location)])

    def identity(self) -> dict[str, Any]:
        # Of this scale only: adding another does not change what this one is.
        metadata = [json.dumps({**self.info, "scales": [self.scale]}, sort_keys=True).encode()]
        if is_remote(self.location):
            found = self._versioned({"uri": self.location, "metadata_sha256": content_hash(metadata)})
        else:
            folder = Path(self.location) / self.scale["key"]
            found = folder_identity(folder, metadata, self.version, self.attributes.get(FINGERPRINT))
        return {**found, "mip": self.mip}

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "layer_type": self.info.get("type"),
            "encoding": self.scale.get("encoding"),
            "mip": self.mip,
            "scales": [s["key"] for s in self.info["scales"]],
            "read_by": "cloud-volume" if self._store is None else "tensorstore",
            "attributes": dict(self.attributes),
        }


def create_precomputed(uri: str, new: NewVolume) -> PrecomputedVolume:
    """Create a layer of one scale; its ``info`` comes last and whole, so that half is nothing.

    A voxel size that is not known is written as 1 nm, which the format needs, and ``axonloom.json`` says that it is not known.

    Raises
    ------
    VolumeError
        Something lies there already and ``overwrite`` is not set, or was not made by axonloom; or a dtype that the format
        does not have.
    """
    location, mip = parse_precomputed(uri)
    if mip:
        raise VolumeError(f"{uri}: a new layer starts with mip 0; others are added to it (add_mip)")
    record = new.record
    info = new_info(
        new.shape,
        new.dtype,
        new.channels,
        new.chunk or (CHUNK, CHUNK, CHUNK),
        record.voxel_size or (1.0, 1.0, 1.0),
        record.offset,
        new.layout or LayerLayout(),
    )
    _make_room(uri, location, new.overwrite)
    layer: Any = cloud_volume(location, 0, info)
    layer.provenance.processing = [{"by": "axonloom", "attributes": dict(record.attributes)}]
    if is_remote(location):
        layer.commit_provenance()
    else:
        write_record_file(Path(location), record)
        write_json(Path(location) / "provenance", dict(layer.provenance))
    commit_info(location, info)
    if not is_remote(location):
        sync_folders([Path(location), Path(location).parent])
    return PrecomputedVolume(uri)


def create_layer_like(uri: str, source: PrecomputedVolume, attributes: Mapping[str, Any]) -> None:
    """A new, empty layer on this machine with all scales of another: sizes, offsets, chunks, encodings and sharding.

    Raises
    ------
    VolumeError
        Something lies there already.
    """
    location, _ = parse_precomputed(uri)
    _make_room(uri, location, overwrite=False)
    # Meshes, skeletons and properties are files of the other layer.
    info = {k: v for k, v in source.info.items() if k not in ("mesh", "skeletons", "segment_properties")}
    for scale in info["scales"]:
        (Path(location) / scale["key"]).mkdir(parents=True, exist_ok=True)
    made_up = source.voxel_size is None
    voxel_size = None if made_up else checked_voxel_size(info["scales"][0]["resolution"][::-1], uri)
    offset = zyx(info["scales"][0].get("voxel_offset", (0, 0, 0)))
    write_record_file(Path(location), VolumeRecord(voxel_size, offset, dict(attributes)))
    commit_info(location, info)
    sync_folders([Path(location), Path(location).parent])


def add_mip(volume: Volume, factor: Sequence[int], *, chunk: Zyx | None = None) -> PrecomputedVolume:
    """Append a coarser scale to the layer of ``volume`` and open it for writing, block by block.

    Parameters
    ----------
    volume : PrecomputedVolume
        The scale that the new one is made from.
    factor : (z, y, x)
        How much coarser. Voxel (0, 0, 0) of the new scale covers the ``factor`` voxels from (0, 0, 0) on of ``volume``; its
        shape is ceil(shape / factor).
    chunk : (z, y, x) or None
        Default: as ``volume``.

    A scale of the same resolution that is there already is opened instead, when it has the same shape and chunk: a run that
    was stopped can go on. One process at a time may add scales.

    Raises
    ------
    VolumeError
        Not a precomputed layer that can be written, or a factor that makes nothing coarser.
    """
    present = scale_above(volume, factor, chunk=chunk)
    if present is not None:
        return present
    assert isinstance(volume, PrecomputedVolume)
    info = read_info(volume.location)
    scale = added_scale(volume.scale, cast(Zyx, tuple(map(int, factor))), chunk)
    listed = [mip for mip, each in enumerate(info["scales"]) if each["resolution"] == scale["resolution"]]
    if not listed:
        info["scales"].append(scale)
        listed = [len(info["scales"]) - 1]
        commit_info(volume.location, info)
    elif not is_remote(volume.location):
        # Listed, and its data are gone, or were never made.
        (Path(volume.location) / info["scales"][listed[0]]["key"]).mkdir(parents=True, exist_ok=True)
    return PrecomputedVolume(precomputed_uri(volume.location, listed[0]), version=volume.version)


def scale_above(volume: Volume, factor: Sequence[int], *, chunk: Zyx | None = None) -> PrecomputedVolume | None:
    """The scale that :func:`add_mip` would add, where the layer has it already, with data.

    Raises
    ------
    VolumeError
        As there.
    """
    if not isinstance(volume, PrecomputedVolume) or not volume.writable_by_blocks:
        raise VolumeError(
            f"{volume.uri} ({volume.format}) cannot take another scale: only precomputed layers that can be written"
        )
    by = cast(Zyx, tuple(int(f) for f in factor))
    if len(by) != 3 or min(by) < 1 or max(by) == 1:
        raise VolumeError(f"a scale coarser by {tuple(factor)} (zyx) is none: three factors of 1 or more, one above 1")
    info = read_info(volume.location)
    scale = added_scale(volume.scale, by, chunk)
    for mip, present in enumerate(info["scales"]):
        if present["resolution"] == scale["resolution"]:
            if any(present[k] != scale[k] for k in ("size", "chunk_sizes")):
                raise VolumeError(
                    f"{volume.uri} has a scale {present['key']} already, of size {present['size']} and chunks "
                    f"{present['chunk_sizes']} (xyz), where {scale['size']} and {scale['chunk_sizes']} were asked for"
                )
            if not is_remote(volume.location) and not (Path(volume.location) / present["key"]).is_dir():
                return None
            return PrecomputedVolume(precomputed_uri(volume.location, mip), version=volume.version)
    return None


def _make_room(uri: str, location: str, overwrite: bool) -> None:
    if read_key(location, "info") is None:
        folder = Path(location)
        if not is_remote(location) and folder.exists():
            # What an interrupted creation leaves behind is ours to replace; anything else is not.
            foreign = not folder.is_dir() or (any(folder.iterdir()) and not (folder / RECORD_FILE).exists())
            if foreign:
                raise VolumeError(f"{uri} exists and is not a precomputed layer: choose another name or remove it")
        return
    if not overwrite:
        raise VolumeError(f"{uri} exists already: choose another name, or overwrite it (overwrite=True)")
    if is_remote(location) or not (Path(location) / RECORD_FILE).exists():
        raise VolumeError(f"{uri} exists and was not made by axonloom: remove it yourself, or choose another name")
    # The info first: a removal that is interrupted leaves a folder that is no layer.
    (Path(location) / "info").unlink()
    shutil.rmtree(location)
