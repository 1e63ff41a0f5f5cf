"""Predictions where PyTorch Connectomics' scripts look for them: one HDF5 file, or one for each chunk of the volume."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import h5py
import numpy as np

from axonloom.durable import sync_file, sync_folder
from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.pytc.configuration import PytcError
from axonloom.volumes import Volume
from axonloom.volumes.block_files import block_name

MADE_BY = "axonloom_made_from"
#: What is held at a time.
PIECE = (256, 256, 256)


@dataclass(frozen=True)
class PytcResult:
    """Where predictions go.

    Attributes
    ----------
    path : the HDF5 file that gets ``vol0``, ``vol1``, …; with chunks, each has a file with its place after the name's stem
    chunks : into how many chunks the axes are cut (``DATA_CHUNK_NUM``, z, y, x); None: one file
    """

    path: Path
    chunks: Zyx | None = None

    def __str__(self) -> str:
        if self.chunks is None:
            return str(self.path)
        return f"{self.path.with_suffix('')}_….h5, {math.prod(self.chunks)} files"

    def files(self, shape: Zyx) -> list[tuple[Path, Box]]:
        """The files of a volume of this shape, and what of it each holds."""
        if self.chunks is None:
            return [(self.path, Box.of_shape(shape))]
        cuts = [[int(k / n * length) for k in range(n + 1)] for n, length in zip(self.chunks, shape, strict=True)]
        boxes = [
            Box(start=[a for a, _ in ends], end=[b for _, b in ends])
            for ends in product(*map(list, map(pairwise, cuts)))
        ]
        return [(self.path.with_name(block_name(self.path.stem, box, "h5")), box) for box in boxes]

    def require_possible(self, shape: Zyx) -> None:
        """Refuse to cut an axis into more chunks than it has voxels, and to replace files of someone else's.

        Raises
        ------
        PytcError
        """
        if self.chunks is not None and any(n < 1 or n > length for n, length in zip(self.chunks, shape, strict=True)):
            raise PytcError(f"DATASET.DATA_CHUNK_NUM {list(self.chunks)} cannot cut {shape} voxels (zyx)")
        for path, _ in self.files(shape):
            if path.exists() and _made_from(path) is None:
                raise PytcError(
                    f"{path} is there already and was not made by axonloom: move it away, or set another INFERENCE.OUTPUT_NAME"
                )

    def write(self, volumes: Sequence[Volume], made_from: Sequence[str]) -> bool:
        """Copy predictions (uint8 (c, z, y, x)); each file is there whole or not at all.

        ``made_from`` are the fingerprints of what made them; False where all files hold just these already.
        """
        key = json.dumps(list(made_from))
        missing = [
            (path, box) for path, box in self.files(volumes[0].shape) if not path.exists() or _made_from(path) != key
        ]
        for path, box in missing:
            # Several images are in one file, each with its own shape; chunks are those of one image.
            boxes = [volume.box for volume in volumes] if self.chunks is None else [box]
            _write(path, volumes, boxes, key)
        return bool(missing)


def _made_from(path: Path) -> str | None:
    try:
        with h5py.File(path) as file:
            found = file.attrs.get(MADE_BY)
    except OSError:
        return None
    return found if isinstance(found, str) else None


def _write(path: Path, volumes: Sequence[Volume], boxes: Sequence[Box], key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.building")
    try:
        with h5py.File(building, "w") as file:
            for number, (volume, box) in enumerate(zip(volumes, boxes, strict=True)):
                stored = file.create_dataset(
                    f"vol{number}",
                    shape=(volume.channels or 1, *box.shape),
                    dtype=np.uint8,
                    chunks=(1, *(min(64, n) for n in box.shape)),
                    compression="gzip",
                )
                for block in BlockGrid(box, PIECE):
                    stored[(slice(None), *block.core.slices_in(box))] = volume.read(block.core)
            file.attrs[MADE_BY] = key
        sync_file(building)
        os.replace(building, path)
        sync_folder(path.parent)
    finally:
        building.unlink(missing_ok=True)
