"""HDF5 data sets: ``file.h5:path/of/dataset``, zyx or czyx, with CREMI's attributes ``resolution`` and ``offset`` (nm).

For reading and for a final export: one process writes at a time.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from axonloom.durable import replacing, sync_file
from axonloom.geometry import Box, Zyx
from axonloom.volumes.identity import file_identity
from axonloom.volumes.new_volume import NewVolume
from axonloom.volumes.record import VolumeRecord, checked_voxel_size, offset_from_nm
from axonloom.volumes.stored import StoredVolume, plain_dtype, require_file, spatial_shape
from axonloom.volumes.volume import VolumeError

EXTENSIONS = (".h5", ".hdf5", ".hdf")
#: Blocks and their halos end within chunks, which would be unpacked again for every block that meets them. With 33 million
#: voxels in chunks of 1 MiB, blocks of 64^3 took 12 CPU seconds to read with 16 MiB, and 0.8 with this.
_CHUNK_CACHE_BYTES = 128 << 20
#: Where a volume goes when a new file's URI names no data set.
DEFAULT_DATASET = "main"


class Hdf5Volume(StoredVolume):
    """A data set in an HDF5 file, read by region. The file is opened at the first read, once a process."""

    format = "hdf5"

    def __init__(self, uri: str, **overrides: Any) -> None:
        path, dataset = split_hdf5(uri)
        require_file(path)
        with _open(path, "r") as file:
            dataset = dataset or _only_array(file, path)
            found = _dataset(file, dataset, path)
            super().__init__(f"{path}:{dataset}", **overrides)
            _require_zyx(found, self.uri)
            self.shape, self.channels = spatial_shape(found.shape, self.uri)
            self.dtype = plain_dtype(found.dtype, self.uri)
            self.chunk = cast(Zyx, tuple(int(n) for n in found.chunks[-3:])) if found.chunks else None
            self._compression = found.compression
            self._adopt(_record(found, self.uri))
        self.path, self.dataset = path, dataset
        self._lock = threading.RLock()
        self._file: h5py.File | None = None
        self._array: h5py.Dataset | None = None
        self._pid = 0
        self._inherited: list[tuple[h5py.File, h5py.Dataset | None]] = []

    def _opened(self, mode: str) -> h5py.Dataset:
        """The data set, from a handle of this process in at least this mode; with the lock held."""
        if self._file is not None and self._pid != os.getpid():
            # Closing a handle that a fork copied could write its buffers a second time, so it is kept and left alone.
            self._inherited.append((self._file, self._array))
            self._file = self._array = None
        if self._file is not None and mode == "r+" and self._file.mode == "r":
            self._file.close()
            self._file = self._array = None
        if self._file is None:
            self._file, self._pid = _open(self.path, mode), os.getpid()
        if self._array is None:
            # One handle for all reads: HDF5 forgets the chunks that it has unpacked with the last handle of a data set.
            self._array = _dataset(self._file, self.dataset, self.path)
        return self._array

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        lead = () if self.channels is None else (len(channels) if channels is not None else self.channels,)
        out = np.empty((*lead, *box.shape), self.dtype)
        with self._lock:
            try:
                found = self._opened("r")
                if channels is None:
                    out[...] = found[(..., *box.slices)]
                else:
                    for i, channel in enumerate(channels):
                        out[i] = found[(channel, *box.slices)]
            except (OSError, RuntimeError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                raise VolumeError(f"{self.uri}: stored data of {box} are damaged or unreadable: {error}") from error
        return out

    def _write(self, box: Box, array: np.ndarray) -> None:
        with self._lock:
            self._opened("r+")[(..., *box.slices)] = array

    def sync(self, box: Box | None = None) -> None:
        """Write out everything and let go of the file, so that others may open it."""
        with self._lock:
            if self._file is None or self._pid != os.getpid() or self._file.mode == "r":
                return
            self.close()
            sync_file(self.path)

    def close(self) -> None:
        with self._lock:
            if self._file is not None and self._pid == os.getpid():
                self._file.close()
                self._file = self._array = None

    def __reduce__(self) -> tuple[Any, ...]:
        self.sync()  # who unpickles it reads the file
        return super().__reduce__()

    def require_written(self) -> None:
        """Raise VolumeError where chunks were never written: they read as zeros."""
        with self._lock:
            found = self._opened("r")
            if found.chunks is None:
                there, wanted = int(found.id.get_storage_size() > 0 or found.size == 0), 1
            else:
                there = found.id.get_num_chunks()
                wanted = prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
        if there < wanted:
            raise VolumeError(
                f"{self.uri} is half-written: {wanted - there} of its {wanted} chunks were never written; make it again"
            )

    def identity(self) -> dict[str, Any]:
        return self._versioned({**file_identity(self.path), "dataset": self.dataset})

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "compression": self._compression, "attributes": dict(self.attributes)}


def split_hdf5(uri: str) -> tuple[Path, str]:
    """Absolute path and data set ('' when none is named) of ``file.h5:dataset``."""
    found = re.match(r"(?P<path>.*?\.(?:h5|hdf5|hdf))(?::(?P<dataset>.*))?$", uri, re.IGNORECASE)
    if not found:
        raise VolumeError(f"{uri} is not the name of an HDF5 file ({', '.join(EXTENSIONS)})")
    path = Path(os.path.abspath(os.path.expanduser(found["path"])))
    return path, (found["dataset"] or "").strip("/")


def list_datasets(file: h5py.File) -> list[str]:
    """Paths of all arrays in the file that have axes."""
    found: list[str] = []

    def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and item.shape:
            found.append(name)

    file.visititems(look)
    return found


def _open(path: Path, mode: str) -> h5py.File:
    try:
        # Locks are asked for, and gone without where the file system has none.
        return h5py.File(path, mode, locking="best-effort", rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        text = str(error)
        if "truncated" in text:
            raise VolumeError(f"{path} is truncated: it ends before the data that it lists; copy it again") from error
        if "signature not found" in text:
            raise VolumeError(f"{path} is not an HDF5 file") from error
        if "unable to lock" in text or "already open" in text:
            raise VolumeError(
                f"{path} is open elsewhere, and HDF5 takes one writer and no readers beside it: close it there first"
            ) from error
        if isinstance(error, (PermissionError, IsADirectoryError)):
            raise VolumeError(f"{path} cannot be opened: {error.strerror or error}") from error
        if error.errno:
            raise
        raise VolumeError(f"{path} cannot be opened as HDF5: {text}") from error


def _only_array(file: h5py.File, path: Path) -> str:
    names = list_datasets(file)
    if len(names) == 1:
        return names[0]
    listed = ", ".join(f"{path}:{n}" for n in names)
    raise VolumeError(
        f"{path} holds {len(names)} data sets; name one: {listed}" if names else f"{path} holds no data set"
    )


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    try:
        found = file.get(name)
    except (KeyError, RuntimeError, OSError) as error:
        raise VolumeError(f"{path} is damaged: {name} cannot be opened ({error})") from error
    if not isinstance(found, h5py.Dataset):
        what = "is a group in" if isinstance(found, h5py.Group) else "is not in"
        listed = ", ".join(list_datasets(file)) or "nothing"
        raise VolumeError(f"{name} {what} {path}, which holds {listed}")
    return found


def _require_zyx(dataset: h5py.Dataset, uri: str) -> None:
    """Refuse a data set that says that its axes are in another order."""
    axes = dataset.attrs.get("axes")
    axes = axes.decode() if isinstance(axes, bytes) else axes
    if isinstance(axes, str) and axes.lower() in ("xyz", "xyzc", "cxyz", "zyxc", "yxz"):
        raise VolumeError(f"{uri} says that its axes are {axes}; HDF5 volumes are read as zyx or czyx: store it so")


def _record(dataset: h5py.Dataset, uri: str) -> VolumeRecord:
    """Voxel size and offset of the data set, or of the nearest group above that has them."""
    attributes: dict[str, Any] = {}
    own = dataset.attrs.get("axonloom")
    if isinstance(own, str):
        try:
            content = json.loads(own)
        except ValueError as error:
            raise VolumeError(f"{uri}: the attribute axonloom is not JSON ({error})") from error
        return VolumeRecord.from_json(content, uri)
    size = _attribute(dataset, "resolution")
    voxel_size = checked_voxel_size(size, f"{uri} (attribute resolution)") if size is not None else None
    offset = _attribute(dataset, "offset")
    shift = offset_from_nm(offset, voxel_size, f"{uri} (attribute offset)") if offset is not None else (0, 0, 0)
    return VolumeRecord(voxel_size, shift, attributes)


def _attribute(dataset: h5py.Dataset, name: str) -> Any:
    node: Any = dataset
    while True:
        if name in node.attrs:
            return np.ravel(np.asarray(node.attrs[name]))
        if node.name == "/":
            return None
        node = node.parent


def create_hdf5(uri: str, new: NewVolume) -> Hdf5Volume:
    """Create a data set (gzip chunks), in a new file (whole or not at all) or beside others in one that exists.

    Raises
    ------
    VolumeError
        The data set exists and ``overwrite`` is not set, or the file is no HDF5 file.
    """
    path, dataset = split_hdf5(uri)
    dataset = dataset or DEFAULT_DATASET
    # HDF5 takes no chunk that is larger than the array.
    clipped = tuple(min(c, n) for c, n in zip(new.chunk_within, new.shape, strict=True))
    if new.channels is not None:
        clipped = (1, *clipped)

    def add(file: h5py.File) -> None:
        if dataset in file:
            if not new.overwrite:
                raise VolumeError(
                    f"{path}:{dataset} exists already: choose another name, or overwrite it (overwrite=True)"
                )
            if not isinstance(file[dataset], h5py.Dataset):
                raise VolumeError(f"{path}:{dataset} is a group, which is not overwritten: choose another name")
            del file[dataset]
        try:
            made = file.create_dataset(
                dataset,
                new.array_shape,
                new.dtype,
                chunks=clipped,
                compression="gzip",
                compression_opts=3,
                fillvalue=0,
            )
        except (ValueError, KeyError) as error:
            raise VolumeError(f"{path}:{dataset} cannot be made: {error}") from error
        voxel_size = new.record.voxel_size or (1.0, 1.0, 1.0)
        if new.record.voxel_size:
            made.attrs["resolution"] = np.array(new.record.voxel_size)
        made.attrs["offset"] = np.array(new.record.offset) * np.array(voxel_size)
        made.attrs["axonloom"] = json.dumps(new.record.to_json())

    if path.exists():
        with _open(path, "r+") as file:
            add(file)
        sync_file(path)
    else:
        with replacing(path) as temporary, _open(temporary, "w") as file:
            add(file)
    return Hdf5Volume(f"{path}:{dataset}")
