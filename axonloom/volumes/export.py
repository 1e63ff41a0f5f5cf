"""A volume copied into one file that other programs open: whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from axonloom.durable import building
from axonloom.geometry import BlockGrid
from axonloom.volumes.open import create_volume
from axonloom.volumes.volume import Volume

#: Voxels along each axis that are copied at once.
STEP = 256


def export(volume: Volume, path: Path, note: Callable[[Path], None]) -> None:
    """Copy ``volume`` to ``path`` (.tif, .h5), piece by piece; ``note`` is handed the whole file before it gets its name."""
    with building(path) as unfinished:
        made = create_volume(
            str(unfinished),
            shape=volume.shape,
            dtype=volume.dtype,
            channels=volume.channels,
            voxel_size=volume.voxel_size,
            offset=volume.offset,
        )
        for block in BlockGrid(volume.box, (STEP, STEP, STEP)):
            made.write(block.core, volume.read(block.core))
        made.sync(made.box)
        note(unfinished)
