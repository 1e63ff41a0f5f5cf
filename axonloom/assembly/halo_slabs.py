"""What two neighbouring blocks both have labels for: the slab around the face between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.tables import read_table, write_table
from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.kernel import kernel

KIND = "axonloom halo slabs"
FORMAT_VERSION = 1

#: Set in the id of a label that has no voxel in its block's core: it competes for matches and is never stored.
OUTSIDE = np.uint64(1 << 63)


@dataclass(frozen=True)
class Slab:
    """Labels of one block around one of its faces.

    Attributes
    ----------
    axis : int
        The axis (0 = z) that the face stands across.
    box : Box
        The voxels, in voxels of the volume.
    labels : uint64 (z, y, x)
        Provisional ids of this block, with :data:`OUTSIDE` set where none of the label's voxels is in its core; 0 is
        background.
    """

    axis: int
    box: Box
    labels: np.ndarray


@dataclass(frozen=True)
class HaloSlabs:
    """The slabs of a block: ``low[axis]`` shared with the block below, ``high[axis]`` with the one above, None at the edge."""

    low: tuple[Slab | None, Slab | None, Slab | None]
    high: tuple[Slab | None, Slab | None, Slab | None]

    @classmethod
    def cut(cls, labels: np.ndarray, grid: BlockGrid, index: int) -> HaloSlabs:
        """The slabs of block ``index`` from its ids (uint64, z, y, x) over its whole read box."""
        read = grid.block(index).read

        def slab(axis: int, box: Box | None) -> Slab | None:
            return None if box is None else Slab(axis, box, labels[box.slices_in(read)])

        low = [slab(a, shared_box(grid, index, a)) for a in range(3)]
        high = [
            slab(a, None if above is None else shared_box(grid, above, a))
            for a, above in enumerate(_neighbour_above(grid, index, a) for a in range(3))
        ]
        return cls((low[0], low[1], low[2]), (high[0], high[1], high[2]))

    def write(self, path: Path) -> None:
        """Write all slabs to one file, atomically."""
        slabs = [(side, slab) for side in ("low", "high") for slab in getattr(self, side) if slab is not None]
        ends = np.cumsum([0, *(slab.labels.size for _, slab in slabs)])
        flat = np.concatenate([np.zeros(0, np.uint64), *(slab.labels.ravel() for _, slab in slabs)])
        table = pa.table(
            {
                "side": pa.array([side for side, _ in slabs], pa.string()),
                "axis": pa.array([slab.axis for _, slab in slabs], pa.int8()),
                "origin": pa.array([list(slab.box.origin) for _, slab in slabs], pa.list_(pa.int64())),
                "shape": pa.array([list(slab.box.shape) for _, slab in slabs], pa.list_(pa.int64())),
                "labels": pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(flat, pa.uint64())),
            }
        )
        write_table(path, table, KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> HaloSlabs:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION)
        found: dict[str, list[Slab | None]] = {"low": [None] * 3, "high": [None] * 3}
        for i in range(table.num_rows):
            axis, shape = table["axis"][i].as_py(), table["shape"][i].as_py()
            labels = table["labels"][i].values.to_numpy(zero_copy_only=False).reshape(shape)
            found[table["side"][i].as_py()][axis] = Slab(
                axis, Box(start=table["origin"][i].as_py(), size=shape), labels
            )
        low, high = found["low"], found["high"]
        return cls((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def shared_box(grid: BlockGrid, index: int, axis: int) -> Box | None:
    """Voxels that a block and the one below it on ``axis`` both read, before and behind their face; None at the edge."""
    below = grid.neighbour_below(index, axis)
    if below is None:
        return None
    upper, lower = grid.block(index), grid.block(below)
    both = upper.read.clipped(lower.read)
    start, end = list(upper.core.origin), list(upper.core.stop)
    start[axis], end[axis] = both.origin[axis], both.stop[axis]
    return Box(start=start, end=end)


def _neighbour_above(grid: BlockGrid, index: int, axis: int) -> int | None:
    position = list(grid.position(index))
    position[axis] += 1
    return grid.index(position) if position[axis] < grid.counts[axis] else None


def provisional_ids(labels: np.ndarray, read: Box, core: Box, volume_shape: Zyx) -> tuple[np.ndarray, ObjectTable]:
    """A block's own labels under ids that no other block gives.

    Parameters
    ----------
    labels : uint64 (z, y, x)
        Over ``read``: 1..n, 0 is background.
    read, core : Box
        What the block labelled, and what it owns.
    volume_shape : (z, y, x)
        Voxels of the stored volume, which number the voxels.

    Returns
    -------
    ids : uint64 (z, y, x)
        1 + the smallest linear voxel index of the label's voxels in the core; where it has none there, of all its voxels,
        with :data:`OUTSIDE` set.
    objects : ObjectTable
        The ids in the core, and how many of its voxels each has.
    """
    inner = core.slices_in(read)
    box = np.array([[s.start, s.stop] for s in inner], np.int64)
    ids, voxels = _number(labels, box, np.array(read.origin, np.int64), np.array(volume_shape, np.int64), OUTSIDE)
    inside = np.flatnonzero(voxels)
    return ids[labels.astype(np.int64)], ObjectTable.summed(ids[inside], voxels[inside])


@kernel
def _number(labels, inner, origin, volume_shape, outside):
    """Ids of the labels 0..n, and their voxels in the inner box."""
    n = labels.max()
    ids = np.zeros(n + np.uint64(1), np.uint64)
    voxels = np.zeros(n + np.uint64(1), np.uint64)
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                label = labels[z, y, x]
                if label == np.uint64(0):
                    continue
                inside = (
                    inner[0, 0] <= z < inner[0, 1] and inner[1, 0] <= y < inner[1, 1] and inner[2, 0] <= x < inner[2, 1]
                )
                if (inside and voxels[label] == np.uint64(0)) or ids[label] == np.uint64(0):
                    index = ((origin[0] + z) * volume_shape[1] + origin[1] + y) * volume_shape[2] + origin[2] + x
                    ids[label] = np.uint64(index + 1) | (np.uint64(0) if inside else outside)
                voxels[label] += np.uint64(1 if inside else 0)
    return ids, voxels
