"""Opening and creating volumes by path or URL: which format it is, by its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from numpy.typing import DTypeLike

from axonloom.geometry import Zyx
from axonloom.volumes.hdf5 import EXTENSIONS as HDF5_EXTENSIONS
from axonloom.volumes.hdf5 import Hdf5Volume, create_hdf5
from axonloom.volumes.n5 import N5Volume
from axonloom.volumes.new_volume import LayerLayout, NewVolume
from axonloom.volumes.precomputed import PrecomputedVolume, create_precomputed
from axonloom.volumes.precomputed_info import SCHEME, parse_precomputed, precomputed_uri
from axonloom.volumes.record import VolumeRecord, checked_offset, checked_voxel_size
from axonloom.volumes.stored import plain_dtype, require_file
from axonloom.volumes.tensorstore_io import is_remote
from axonloom.volumes.tiff import EXTENSIONS as TIFF_EXTENSIONS
from axonloom.volumes.tiff import TiffVolume, create_tiff
from axonloom.volumes.tiff_folder import TiffFolder, create_tiff_folder
from axonloom.volumes.tiles import EXTENSION as TILES_EXTENSION
from axonloom.volumes.tiles import TileVolume
from axonloom.volumes.volume import Volume, VolumeError
from axonloom.volumes.zarr import ZarrVolume
from axonloom.volumes.zarr_create import create_zarr

Format = Literal["precomputed", "hdf5", "zarr", "n5", "tiff", "tiff folder", "tiles"]

KNOWN = (
    "file.h5:dataset (.h5, .hdf5, .hdf), stack.tif (.tif, .tiff), a folder of TIFF sections (folder/), array.zarr, array.n5, "
    "precomputed://path, tiles.json"
)

_OPENERS = {
    "precomputed": PrecomputedVolume,
    "hdf5": Hdf5Volume,
    "zarr": ZarrVolume,
    "n5": N5Volume,
    "tiff": TiffVolume,
    "tiff folder": TiffFolder,
    "tiles": TileVolume,
}

_READ_ONLY: Mapping[str, str] = {"n5": "N5 is", "tiles": "tiles are"}

_CREATORS: Mapping[str, Callable[[str, NewVolume], Volume]] = {
    "precomputed": create_precomputed,
    "hdf5": create_hdf5,
    "zarr": create_zarr,
    "tiff": create_tiff,
    "tiff folder": create_tiff_folder,
}


def open_volume(
    uri: str | os.PathLike[str],
    *,
    voxel_size: Sequence[float] | None = None,
    offset: Sequence[int] | None = None,
    version: str | None = None,
) -> Volume:
    """Open a volume; nothing but metadata is read.

    Parameters
    ----------
    uri : str
        ``file.h5:dataset``, ``stack.tif``, a folder of TIFF sections, ``array.zarr`` or ``group.zarr/array``, ``data.n5/array``,
        ``tiles.json`` (:mod:`axonloom.volumes.tiles`), or ``precomputed://`` and a path or URL (``?mip=1`` for another scale). Zarr and precomputed may lie at gs, s3, https.
    voxel_size : (z, y, x) or None
        Nanometres, where the file does not say it or says it wrong.
    offset : (z, y, x) or None
        Voxels, likewise.
    version : str or None
        Any text that changes when the data change: for folders of more files than the identity lists.

    Raises
    ------
    VolumeError
        It is missing, damaged, of an unknown format, or no (c)zyx array of numbers; says what would work.
    """
    kind, full = recognise(os.fspath(uri))
    return _OPENERS[kind](full, voxel_size=voxel_size, offset=offset, version=version)


def create_volume(
    uri: str | os.PathLike[str],
    *,
    shape: Sequence[int],
    dtype: DTypeLike,
    channels: int | None = None,
    chunk: Sequence[int] | None = None,
    voxel_size: Sequence[float] | None = None,
    offset: Sequence[int] = (0, 0, 0),
    overwrite: bool = False,
    attributes: Mapping[str, Any] | None = None,
    quick: bool = False,
    layout: LayerLayout | None = None,
) -> Volume:
    """Create a volume of zeros and open it for writing. What an interrupted creation leaves is not taken for a volume.

    Parameters
    ----------
    uri : str
        As for :func:`open_volume`; a path that ends in ``/`` is a folder of TIFF sections. N5 is only read.
    shape : (z, y, x)
        Voxels.
    dtype
        Integers or floats. Precomputed: uint32 and uint64 make a segmentation, others an image.
    channels : int or None
        None: no channel axis.
    chunk : (z, y, x) or None
        Stored chunk of .zarr, .h5 and precomputed; default up to 64 an axis.
    voxel_size : (z, y, x) or None
        Nanometres; None: not known.
    offset : (z, y, x)
        Where the first voxel lies in the data set, in voxels.
    overwrite : bool
        Remove the volume that lies there. What is not a volume is never removed.
    attributes : mapping or None
        Plain JSON to keep with it; ``axonloom_fingerprint`` becomes its identity (zarr, folders, precomputed).
    quick : bool
        Pack in half the time, to twice the bytes (zarr): for ids that a later stage reads and nobody keeps.
    layout : LayerLayout or None
        Encoding and sharding of a precomputed layer.

    Raises
    ------
    VolumeError
        It exists already, or the format cannot hold such an array.
    """
    given = os.fspath(uri)
    kind, full = recognise(given, creating=True)
    size = _three(shape, "shape", given)
    if channels is not None and channels < 1:
        raise VolumeError(f"{given}: channels is None or at least 1, not {channels}")
    if kind not in _CREATORS:
        raise VolumeError(f"{given}: {_READ_ONLY[kind]} only read here; create a .zarr")
    if layout is not None and kind != "precomputed":
        raise VolumeError(f"{given}: encoding and sharding are for precomputed layers; name one as {SCHEME}FOLDER")
    stored_chunk = _three(chunk, "chunk", given) if chunk is not None else None
    record = VolumeRecord(
        checked_voxel_size(voxel_size, given) if voxel_size is not None else None,
        checked_offset(offset, given),
        dict(attributes or {}),
    )
    new = NewVolume(
        shape=size,
        dtype=plain_dtype(dtype, given),
        channels=channels,
        chunk=stored_chunk,
        record=record,
        overwrite=overwrite,
        quick=quick,
        layout=layout,
    )
    return _CREATORS[kind](full, new)


def recognise(uri: str, creating: bool = False) -> tuple[Format, str]:
    """The format of a URI, by its name (a folder without a telling name, by what is in it), and the URI made absolute.

    Raises
    ------
    VolumeError
        No format goes by such a name; lists those that there are.
    """
    if uri.startswith(SCHEME):
        return "precomputed", precomputed_uri(*parse_precomputed(uri))
    if is_remote(uri):
        if ".zarr" in uri.lower():
            return "zarr", uri.rstrip("/")
        raise VolumeError(f"{uri} is not known by its name; remote volumes are {SCHEME}{uri} or end in .zarr")
    uri = uri.removeprefix("file://")
    stem, separator, dataset = _split_dataset(uri)
    path = Path(os.path.abspath(os.path.expanduser(stem)))
    if path.suffix.lower() in HDF5_EXTENSIONS and not path.is_dir():
        return "hdf5", f"{path}{separator}{dataset}"
    for kind in ("zarr", "n5"):
        if any(part.lower().endswith(f".{kind}") for part in path.parts):
            return cast(Format, kind), str(path)
    if path.suffix.lower() in TIFF_EXTENSIONS and not path.is_dir():
        return "tiff", str(path)
    if path.suffix.lower() == TILES_EXTENSION and not path.is_dir():
        return "tiles", str(path)
    if creating:
        if uri.endswith("/"):
            return "tiff folder", str(path)
    elif path.is_dir():
        return _folder_format(path), str(path)
    else:
        require_file(path)
    what = f"the extension {path.suffix!r} is not known" if path.suffix else "it has no extension"
    raise VolumeError(f"{uri}: {what}; volumes are {KNOWN}")


def _split_dataset(uri: str) -> tuple[str, str, str]:
    """``file.h5:dataset`` at the colon that follows an HDF5 extension; other colons belong to the path."""
    lower = uri.lower()
    for extension in HDF5_EXTENSIONS:
        at = lower.find(f"{extension}:")
        if at >= 0:
            end = at + len(extension)
            return uri[:end], ":", uri[end + 1 :]
    return uri, "", ""


def _folder_format(path: Path) -> Format:
    if any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return "zarr"
    if (path / "info").is_file():
        raise VolumeError(f"{path} looks like a precomputed layer: open it as {SCHEME}{path}")
    return "tiff folder"


def _three(values: Sequence[int], name: str, uri: str) -> Zyx:
    found = tuple(int(n) for n in values)
    if len(found) != 3 or min(found) < 1:
        raise VolumeError(f"{uri}: {name} is three whole numbers of at least 1 (z, y, x), not {tuple(values)}")
    return cast(Zyx, found)
