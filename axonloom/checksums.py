"""Checksums of what a block leaves behind, noted in its ledger line and compared by ``axonloom verify``.

CRC-32 finds damage, not intent; it takes 5 ms for a block of 128^3 ids. That of voxels is over the array, not the stored bytes:
a chunk that is gone reads as zeros, and only the voxels tell.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np


def voxels_checksum(array: np.ndarray) -> str:
    """CRC-32 (8 hex digits) of an array's values in C order, little endian."""
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    # A view of the bytes, not a copy; of no voxels there is none.
    return f"{zlib.crc32(ordered.data.cast('B') if ordered.size else b''):08x}"


def files_checksum(paths: Iterable[Path]) -> str:
    """CRC-32 (8 hex digits) of the bytes of files, one after another.

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    """
    value = 0
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                value = zlib.crc32(piece, value)
    return f"{value:08x}"
