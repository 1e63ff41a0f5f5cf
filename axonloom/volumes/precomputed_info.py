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
from axonloom.volumes.stored import require_file
from axonloom.volumes.tensorstore_io import is_remote, read_key
from axonloom.volumes.volume import VolumeError

SCHEME = "precomputed://"
_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")


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
    shape: Zyx, dtype: np.dtype[Any], channels: int | None, chunk: Zyx, voxel_size: Sequence[float], offset: Zyx
) -> dict[str, Any]:
    """The info of a new layer (cloud-volume's): a segmentation for uint32 and uint64, else an image.

    Raises
    ------
    VolumeError
        A dtype that precomputed layers do not have.
    """
    if str(dtype) not in _DTYPES:
        raise VolumeError(f"a precomputed layer holds {', '.join(_DTYPES)}, not {dtype}; .zarr holds it")
    labels = str(dtype) in ("uint32", "uint64")
    from cloudvolume import CloudVolume  # a second to import, and only here needed

    return CloudVolume.create_new_info(
        num_channels=channels or 1,
        layer_type="segmentation" if labels else "image",
        data_type=str(dtype),
        encoding="compressed_segmentation" if labels else "raw",
        resolution=[_whole(v) for v in voxel_size[::-1]],
        voxel_offset=list(offset[::-1]),
        volume_size=list(shape[::-1]),
        chunk_size=list(chunk[::-1]),
    )


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
