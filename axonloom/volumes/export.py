"""A volume copied into one file that other programs open: whole, or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

from axonloom.durable import sync_folder
from axonloom.geometry import BlockGrid
from axonloom.volumes.open import create_volume
from axonloom.volumes.volume import Volume

#: Voxels along each axis that are copied at once.
STEP = 256


def export(volume: Volume, path: Path, note: Callable[[Path], None]) -> None:
    """Copy ``volume`` to ``path`` (.tif, .h5), piece by piece; ``note`` is handed the whole file before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        made = create_volume(
            str(building),
            shape=volume.shape,
            dtype=volume.dtype,
            channels=volume.channels,
            voxel_size=volume.voxel_size,
            offset=volume.offset,
        )
        for block in BlockGrid(volume.box, (STEP, STEP, STEP)):
            made.write(block.core, volume.read(block.core))
        made.sync(made.box)
        note(building)
        os.replace(building, path)
        sync_folder(path.parent)
    finally:
        building.unlink(missing_ok=True)
