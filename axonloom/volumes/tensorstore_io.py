"""TensorStore behind zarr, N5 and precomputed: opening, moving bytes, and its errors in one sentence.

What another process has written is seen by the next read: a chunk in the cache is used only while its file is the same one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from axonloom.durable import sync_folder
from axonloom.geometry import Box
from axonloom.volumes.volume import VolumeError

#: Memory of a process for chunks of all its volumes. A halo ends within chunks, which would otherwise be unpacked again for
#: every block that meets them: with blocks and chunks of 64^3, 9 of 10 CPU seconds of reading.
CACHE_BYTES = 256 << 20

# TensorStore starts threads at its first use and ends the process, without an exception, when it is used after a fork.
# Which process used it first is a fact of the process, hence the one module variable.
_used_by: list[int] = []


def require_unforked(uri: str) -> None:
    """VolumeError in a process that was forked after TensorStore was used: TensorStore would abort it."""
    if not _used_by:
        _used_by.append(os.getpid())
    elif _used_by[0] != os.getpid():
        raise VolumeError(
            f"{uri} cannot be read in a process that was forked after volumes were in use: start worker processes with "
            "'spawn' or 'forkserver' (multiprocessing.get_context, DataLoader(multiprocessing_context=...))"
        )


def is_remote(location: str) -> bool:
    """Whether the location is a URL (gs, s3, http, https) and not a path."""
    return "://" in location and not location.startswith("file://")


def kvstore(location: str) -> str | dict[str, Any]:
    """TensorStore's key-value store for a folder: a path or a URL."""
    if is_remote(location):
        return location.rstrip("/") + "/"
    return {"driver": "file", "path": location.rstrip("/") + "/", "file_io_sync": True}


def read_key(location: str, name: str) -> bytes | None:
    """One small file of a folder or URL; None where there is none.

    Raises
    ------
    VolumeError
        A remote store answers with an error.
    """
    if not is_remote(location):
        try:
            return (Path(location) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    require_unforked(location)
    try:
        found = ts.KvStore.open(kvstore(location)).result().read(name).result()
    except ValueError as error:
        raise VolumeError(f"{location.rstrip('/')}/{name} cannot be read: {short_message(error)}") from error
    return bytes(found.value) if found.state == "value" else None


def open_store(spec: dict[str, Any], uri: str) -> ts.TensorStore:
    """Open an array.

    Raises
    ------
    VolumeError
        TensorStore cannot open it; says why.
    """
    require_unforked(uri)
    try:
        return ts.open(spec, context=_context()).result()
    except (ValueError, NotImplementedError) as error:
        raise _translated(error, f"{uri} cannot be opened") from error


@cache
def _context() -> ts.Context:
    """One for the process: a volume that is opened again, batch after batch, finds its chunks."""
    return ts.Context({"cache_pool": {"total_bytes_limit": CACHE_BYTES}})


def write_chunk(store: ts.TensorStore) -> tuple[int, ...]:
    """What one write should cover, on every axis of the store: a chunk, or a shard of chunks."""
    sizes = store.chunk_layout.write_chunk.shape or (None,) * store.rank
    return tuple(int(n if n else extent) for n, extent in zip(sizes, store.shape, strict=True))


def read_store(store: ts.TensorStore, uri: str, box: Box, channels: Sequence[int] | None) -> np.ndarray:
    """Voxels of ``box`` of a store whose axes are (c)zyx and whose first voxel is (0, 0, 0); C-contiguous.

    Raises
    ------
    VolumeError
        Stored chunks are damaged.
    OSError
        The file system fails; carries errno.
    """
    require_unforked(uri)
    region = store[(..., *box.slices)]
    if channels is not None:
        region = region[list(channels)]
    try:
        return region.read(order="C").result()
    except ValueError as error:
        raise _translated(error, f"{uri}: stored data of {box} are damaged or unreadable") from error


def write_store(store: ts.TensorStore, uri: str, box: Box, array: np.ndarray) -> None:
    """Store ``array`` in ``box``; when it returns, the chunk files are written and synced under their names.

    TensorStore's file driver (``file_io_sync``) syncs each chunk file before it renames it, and the folder
    that holds it after. Folders further up that it had to make are left to :func:`sync_folders`.

    Raises
    ------
    VolumeError
        A chunk that is only partly overwritten is damaged.
    OSError
        The file system fails; carries errno.
    """
    require_unforked(uri)
    try:
        store[(..., *box.slices)].write(array).result()
    except ValueError as error:
        raise _translated(error, f"{uri}: {box} cannot be written") from error


def sync_folders(folders: Sequence[Path]) -> None:
    """Make the names in these folders durable; a folder that was never made (only zeros inside) is skipped."""
    for folder in folders:
        if folder.is_dir():
            sync_folder(folder)


def short_message(error: Exception) -> str:
    """TensorStore's message without its status name, spec and source locations."""
    message = re.split(r" \[(?:tensorstore_spec|source locations|os_error_code)=", str(error))[0]
    return re.sub(r"^[A-Z_]+: ", "", message).replace("\x00", "/")


def _translated(error: Exception, what: str) -> Exception:
    """An OSError with errno where the system failed, so that a retry can tell it from data that are wrong."""
    number = re.search(r"\[os_error_code='(\d+)'", str(error))
    if number:
        return OSError(int(number[1]), f"{what}: {short_message(error)}")
    return VolumeError(f"{what}: {short_message(error)}")
