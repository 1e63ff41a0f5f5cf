"""The ``info`` file of precomputed layers: reading, checking, and the scales that are added to it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from axonloom.durable import write_json
from axonloom.geometry import Zyx
from axonloom.volumes.new_volume import LayerLayout
from axonloom.volumes.stored import require_file
from axonloom.volumes.tensorstore_io import is_remote, read_key
from axonloom.volumes.volume import VolumeError

SCHEME = "precomputed://"
#: 2 to this many chunks share a file of a sharded layer: 4 x 4 x 4.
CHUNK_BITS_A_SHARD = 6
_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")
#: What encodings can hold, where they cannot hold all.
_ENCODED = {"compressed_segmentation": ("uint32", "uint64"), "jpeg": ("uint8",), "png": ("uint8", "uint16")}
_CHANNELS = {"jpeg": (1, 3), "png": (1, 2, 3, 4)}


def parse_precomputed(uri: str) -> tuple[str, int]:
    """Location (absolute path or URL) and mip of ``precomputed://location[?mip=1]``.

    Raises
    ------
    VolumeError
        The mip is not a whole number, or there are other options.
    """
    rest, _, query = uri.removeprefix(SCHEME).partition("?")
    mip = 0
    if query:
        found = re.fullmatch(r"mip=(\d+)", query)
        if not found:
            raise VolumeError(
                f"{uri} has the options {query!r}; the only one is ?mip= and a scale's number, such as ?mip=1"
            )
        mip = int(found[1])
    rest = rest.removeprefix("file://")
    if not rest:
        raise VolumeError(f"{uri} names no layer: a path or URL follows precomputed://")
    return (rest.rstrip("/") if is_remote(rest) else os.path.abspath(os.path.expanduser(rest))), mip


def precomputed_uri(location: str, mip: int) -> str:
    """The URI of one scale."""
    return f"{SCHEME}{location}" + (f"?mip={mip}" if mip else "")


def read_info(location: str) -> dict[str, Any]:
    """The layer's info, with the members that axonloom relies on checked.

    Raises
    ------
    VolumeError
        Nothing lies there, it is not a layer, or the info is damaged.
    """
    content = read_key(location, "info")
    if content is None:
        if not is_remote(location):
            require_file(Path(location))
        raise VolumeError(f"{location} is not a precomputed layer: it holds no file named info")
    try:
        info = json.loads(content)
        sizes = [[len(s[k]) for k in ("size", "resolution")] + [len(s["chunk_sizes"][0])] for s in info["scales"]]
        sound = all(size == [3, 3, 3] for size in sizes) and {"data_type", "num_channels"} <= set(info)
        sound = sound and all(isinstance(s["key"], str) for s in info["scales"]) and int(info["num_channels"]) > 0
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise VolumeError(f"{location}/info is damaged, or not that of a precomputed layer: {error!r}") from error
    if not sound:
        raise VolumeError(f"{location}/info is damaged: sizes, resolutions and chunks have three numbers a scale")
    return info


def new_info(
    shape: Zyx,
    dtype: np.dtype[Any],
    channels: int | None,
    chunk: Zyx,
    voxel_size: Sequence[float],
    offset: Zyx,
    layout: LayerLayout,
) -> dict[str, Any]:
    """The info of a new layer (cloud-volume's).

    Raises
    ------
    VolumeError
        A dtype that precomputed layers do not have, or that does not go with the layout.
    """
    if str(dtype) not in _DTYPES:
        raise VolumeError(f"a precomputed layer holds {', '.join(_DTYPES)}, not {dtype}; .zarr holds it")
    kind = layout.kind or ("segmentation" if str(dtype) in _ENCODED["compressed_segmentation"] else "image")
    packed = kind == "segmentation" and str(dtype) in _ENCODED["compressed_segmentation"]
    encoding = layout.encoding or ("compressed_segmentation" if packed else "raw")
    if encoding in _ENCODED and str(dtype) not in _ENCODED[encoding]:
        raise VolumeError(f"{encoding} encodes {' and '.join(_ENCODED[encoding])}, not {dtype}")
    if encoding == "jpeg" and kind == "segmentation":
        raise VolumeError("jpeg changes values, and a segmentation's are ids: compressed_segmentation, png or raw")
    if encoding in _CHANNELS and (channels or 1) not in _CHANNELS[encoding]:
        raise VolumeError(f"{encoding} encodes {_CHANNELS[encoding]} channels, not {channels}; raw encodes any number")
    from cloudvolume import CloudVolume  # a second to import, and only here needed

    info = CloudVolume.create_new_info(
        num_channels=channels or 1,
        layer_type=kind,
        data_type=str(dtype),
        encoding=encoding,
        resolution=[_whole(v) for v in voxel_size[::-1]],
        voxel_offset=list(offset[::-1]),
        volume_size=list(shape[::-1]),
        chunk_size=list(chunk[::-1]),
    )
    (scale,) = info["scales"]
    if encoding == "jpeg":
        scale["jpeg_quality"] = layout.quality
    if layout.sharded:
        scale["sharding"] = sharding(shape, chunk, "raw" if encoding in ("jpeg", "png") else "gzip")
    return info


def sharding(shape: Zyx, chunk: Zyx, data_encoding: str) -> dict[str, Any]:
    """How chunks share files: up to :data:`CHUNK_BITS_A_SHARD` bits of their Morton code in one, so that blocks can own whole ones."""
    bits = sum(_chunk_bits(shape, chunk))
    inside = min(CHUNK_BITS_A_SHARD, bits)
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        "hash": "identity",
        "preshift_bits": inside // 2,
        "minishard_bits": inside - inside // 2,
        "shard_bits": bits - inside,
        "minishard_index_encoding": "gzip",
        "data_encoding": data_encoding,
    }


def shard_shape(shape: Zyx, chunk: Zyx) -> Zyx:
    """Voxels (z, y, x) that one file of :func:`sharding` covers: bits of the compressed Morton code go to x, y, z in turn.

    The code is that of the precomputed format's sharding (Neuroglancer, sharded.md).
    """
    left, given = list(_chunk_bits(shape, chunk)), [0, 0, 0]
    remaining = min(CHUNK_BITS_A_SHARD, sum(left))
    while remaining:
        for axis in (2, 1, 0):
            if remaining and left[axis]:
                left[axis] -= 1
                given[axis] += 1
                remaining -= 1
    return cast(Zyx, tuple(c << bits for c, bits in zip(chunk, given, strict=True)))


def _chunk_bits(shape: Zyx, chunk: Zyx) -> Zyx:
    """Bits that number the chunks along z, y and x."""
    return cast(Zyx, tuple((-(-n // c) - 1).bit_length() for n, c in zip(shape, chunk, strict=True)))


def added_scale(base: dict[str, Any], factor: Zyx, chunk: Zyx | None) -> dict[str, Any]:
    """A scale coarser than ``base`` by ``factor`` (zyx).

    Voxels are anchored at the first voxel of ``base``: the new shape is ceil(shape / factor), the offset is rounded down, as
    cloud-volume does it.
    """
    by = factor[::-1]
    resolution = [_whole(r * f) for r, f in zip(base["resolution"], by, strict=True)]
    # Sharding, meshes and the like belong to the scale that they were made for.
    kept = {k: base[k] for k in ("encoding", "compressed_segmentation_block_size", "jpeg_quality") if k in base}
    return {
        **kept,
        "key": "_".join(str(r) for r in resolution),
        "resolution": resolution,
        "size": [-(-n // f) for n, f in zip(base["size"], by, strict=True)],
        "voxel_offset": [o // f for o, f in zip(base.get("voxel_offset", (0, 0, 0)), by, strict=True)],
        "chunk_sizes": [list(chunk[::-1])] if chunk is not None else base["chunk_sizes"][:1],
    }


def commit_info(location: str, info: dict[str, Any]) -> None:
    """Write the info, whole or not at all; the folder of its last scale first, so that a scale that is listed is there."""
    if is_remote(location):
        from cloudfiles import CloudFiles

        CloudFiles(location).put("info", json.dumps(info).encode(), content_type="application/json")
        return
    (Path(location) / info["scales"][-1]["key"]).mkdir(parents=True, exist_ok=True)
    write_json(Path(location) / "info", info)


def cloud_volume(location: str, mip: int, info: dict[str, Any] | None = None) -> Any:
    """The layer in cloud-volume, quiet, one thread, chunks that are missing read as 0."""
    from cloudvolume import CloudVolume  # a second to import, and seldom needed

    path = location if is_remote(location) else f"file://{location}"
    given: dict[str, Any] = {} if info is None else {"info": info}
    return CloudVolume(
        path, mip=mip, progress=False, parallel=1, cache=False, fill_missing=True, compress=False, **given
    )


def zyx(values: Sequence[float]) -> Zyx:
    """Three numbers of the info, turned from xyz."""
    return cast(Zyx, tuple(int(v) for v in reversed(values)))


def _whole(value: float) -> float | int:
    """8 rather than 8.0: keys of scales are written so."""
    return int(value) if float(value).is_integer() else float(value)
