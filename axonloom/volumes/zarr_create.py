"""Creating zarr arrays: whole or not at all, and never over something else."""

from __future__ import annotations

import shutil
from pathlib import Path

from axonloom.durable import sync_folder, write_json
from axonloom.volumes.new_volume import NewVolume
from axonloom.volumes.tensorstore_io import is_remote, kvstore, open_store, sync_folders
from axonloom.volumes.volume import VolumeError
from axonloom.volumes.zarr import ZarrVolume
from axonloom.volumes.zarr_hierarchy import ZarrNode, zarr_root


def create_zarr(uri: str, new: NewVolume) -> ZarrVolume:
    """Create a zarr 3 array ((c)zyx, blosc-zstd or for quick ones blosc-lz4, crc32c): ``zarr.json`` comes last and whole, so that half is nothing.

    Raises
    ------
    VolumeError
        Something lies there already and ``overwrite`` is not set, or it is not an array.
    """
    location = uri.rstrip("/")
    reserved = {"axonloom"} & set(new.record.attributes)
    if reserved:
        raise VolumeError(f"the attribute name {reserved.pop()!r} is axonloom's own; choose another")
    _make_room(uri, location, new.overwrite)
    lead = () if new.channels is None else (new.channels,)
    # Ids repeat as whole words, which shuffling takes apart (3 times the size, half the speed); floats gain by it. Level 3
    # makes images no smaller than level 1, at 2.5 times the time.
    shuffle = "bitshuffle" if new.dtype.kind == "f" else "noshuffle"
    name, level = ("lz4", 5) if new.quick else ("zstd", 1)
    metadata = {
        "shape": list(new.array_shape),
        "data_type": str(new.dtype),
        "dimension_names": list("zyx" if new.channels is None else "czyx"),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*lead, *new.chunk_within]}},
        "fill_value": False if new.dtype.kind == "b" else 0,
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": {"cname": name, "clevel": level, "shuffle": shuffle}},
            {"name": "crc32c"},
        ],
        "attributes": {**new.record.attributes, "axonloom": new.record.to_json(with_attributes=False)},
    }
    if not is_remote(location):
        _make_groups(Path(location))
    open_store({"driver": "zarr3", "kvstore": kvstore(location), "metadata": metadata, "create": True}, uri)
    if not is_remote(location):
        sync_folders([Path(location), Path(location).parent])
    return ZarrVolume(uri)


def _make_room(uri: str, location: str, overwrite: bool) -> None:
    node = ZarrNode(location)
    if node.kind == "nothing":
        if (
            not is_remote(location)
            and Path(location).exists()
            and (not Path(location).is_dir() or any(Path(location).iterdir()))
        ):
            raise VolumeError(f"{uri} exists and is not a zarr array: choose another name or remove it")
        return
    if node.kind != "array":
        raise VolumeError(f"{uri} is a zarr group: name an array inside it, such as {location}/raw")
    if not overwrite:
        raise VolumeError(f"{uri} exists already: choose another name, or overwrite it (overwrite=True)")
    if is_remote(location):
        raise VolumeError(f"{uri} exists already, and remote arrays are not removed here: choose another name")
    # Metadata first: a removal that is interrupted leaves a folder that is no array.
    for name in ("zarr.json", ".zarray"):
        (Path(location) / name).unlink(missing_ok=True)
    shutil.rmtree(location)


def _make_groups(array: Path) -> None:
    """Group metadata from the .zarr folder down to the array, for readers that walk the hierarchy."""
    root = zarr_root(array)
    if root == array:
        return
    for folder in [root, *[p for p in reversed(array.parents) if root in p.parents]]:
        node = ZarrNode(str(folder))
        if node.kind == "array":
            raise VolumeError(f"{folder} is a zarr array: no array can lie inside it")
        if node.kind == "nothing":
            write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})
            sync_folder(folder.parent)
