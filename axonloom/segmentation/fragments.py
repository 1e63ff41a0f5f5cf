"""Best-edge fragments: a watershed that is a function of each voxel's own six edges.

Every voxel joins its best edge, and every edge of at least the high threshold joins its voxels; edges are ordered strictly,
by affinity downwards and then by global edge index upwards. This is the first round of Boruvka's algorithm (1926) on the
affinity graph, and the steepest-ascent watershed of Zlateski and Seung (2015, arXiv:1505.00249) with plateaus resolved by
that order. It needs one voxel of halo and no seeds, so blocks joined over their faces give what the whole volume gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import DTypeLike

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.faces import BlockFaces, Face
from axonloom.assembly.growth_table import GrowthTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.thresholds import FULL_SCALE, threshold_to_uint8
from axonloom.geometry import Box, Zyx
from axonloom.kernel import kernel
from axonloom.segmentation.absorption import absorb_basins, renumber
from axonloom.segmentation.contacts import Contacts
from axonloom.segmentation.numbering import name, number, unite
from axonloom.segmentation.region_graph import interior_edges
from axonloom.segmentation.smoothing import FRACTION_BITS, Sigma, is_smoothing, radii, smooth

__all__ = ["BlockFragments", "block_fragments", "halo", "threshold_to_uint8"]

# A voxel's choices are bits: 1, 2, 4 for the edges to the voxel before it along z, y, x; 8, 16, 32 for those after it.
BEFORE = (1, 2, 4)
AFTER = (8, 16, 32)
LARGEST_BLOCK = 2**32 // 3
"""Voxels of a block: its edges have numbers of 32 bits."""


@dataclass(frozen=True)
class BlockFragments:
    """What one block contributes.

    Attributes
    ----------
    core : Box
        The voxels that it owns.
    numbers : uint32 (z, y, x)
        The core's fragments, numbered 1..n in raster order; 0 is background.
    ids : uint64 (n + 1,)
        The provisional id of each number: 1 + the smallest linear index, in the stored volume, of the fragment's part within
        this core. ``ids[0]`` is 0.
    basins : int
        Fragments before the small ones were absorbed.
    objects : ObjectTable
        The ids and how many of the core's voxels each has.
    growth : GrowthTable
        What absorption has brought to those that touch a face, where the neighbours may have to know when.
    edges : EdgeTable
        Contacts between them inside the core.
    faces : BlockFaces
        What :func:`axonloom.assembly.faces.face_contacts` needs to join the neighbours.
    """

    core: Box
    numbers: np.ndarray
    ids: np.ndarray
    basins: int
    objects: ObjectTable
    growth: GrowthTable
    edges: EdgeTable
    faces: BlockFaces

    def labels(self, dtype: DTypeLike = np.uint64) -> np.ndarray:
        """The provisional id of each voxel of the core (z, y, x), in an integer type that holds the volume's voxel count."""
        labels = np.empty(self.numbers.shape, dtype)
        name(self.numbers.ravel(), self.ids.astype(dtype), labels.ravel())
        return labels


def halo(smoothing: Sigma | None = None) -> Zyx:
    """Voxels (z, y, x) that :func:`block_fragments` needs around a core: 1, and the reach of the smoothing."""
    return cast(Zyx, tuple(1 + r for r in radii(smoothing)))


def block_fragments(
    affinities: np.ndarray,
    read: Box,
    core: Box,
    volume_shape: Zyx,
    low: int,
    high: int,
    mask: np.ndarray | None = None,
    smoothing: Sigma | None = None,
    region: Box | None = None,
    *,
    absorb: int = 0,
    histograms: bool = False,
) -> BlockFragments:
    """Fragments of one block, their region graph, and its faces.

    Of the small ones as many have been absorbed as the rest of the volume cannot change; what is left is done with
    :func:`axonloom.segmentation.absorption.join_small` where blocks are put together.

    Parameters
    ----------
    affinities : uint8 (3, z, y, x)
        Affinities of the voxels of ``read``; channel c belongs to the edge between a voxel and the one before it on axis c.
    read : Box
        ``core`` grown by :func:`halo` and clipped to ``region``.
    core : Box
        What the block owns; at most LARGEST_BLOCK voxels.
    volume_shape : (z, y, x)
        Voxels of the stored volume, which number voxels and edges.
    low, high : int
        Thresholds on the stored scale of 0..255 (see :func:`threshold_to_uint8`); ``high`` may be 256: no edge reaches it.
    mask : bool (z, y, x), optional
        Over ``read``; edges of voxels that are False do not exist, and these voxels are background.
    smoothing : sigma in voxels, optional
        Gaussian applied to the affinities (masked or not) that decide the watershed; the statistics take the raw ones.
    region : Box, optional
        What is segmented, default the whole volume: edges that leave it do not exist.
    absorb : int
        Fragments of fewer voxels join their strongest neighbours; 0 and 1: none do.
    histograms : bool
        Whether the edges have histograms of their affinities.

    Raises
    ------
    ValueError
        Arrays, boxes and thresholds that do not fit together.
    """
    region = Box.of_shape(volume_shape) if region is None else region
    _check(affinities, read, core, volume_shape, low, high, mask, smoothing, region)
    affinities = np.ascontiguousarray(affinities)
    if is_smoothing(smoothing):
        window = core.grown((0, 0, 0), (1, 1, 1)).clipped(region)
        deciding = smooth(affinities, read, window, region, cast(Sigma, smoothing))
        scale, rows = 1 << FRACTION_BITS, np.empty((6, core.shape[2]), np.int32)
    else:
        window, deciding = read, affinities
        scale, rows = 1, np.empty((6, core.shape[2]), np.int16)
    at_low_edge = np.array([a == b for a, b in zip(core.origin, region.origin, strict=True)])
    at_high_edge = np.array([a == b for a, b in zip(core.stop, region.stop, strict=True)])
    choices = np.empty(core.shape, np.uint8)
    _choose(
        deciding,
        _lead(core, window),
        np.ones((1, 1, 1), np.uint8) if mask is None else np.ascontiguousarray(mask).view(np.uint8),
        mask is not None,
        _lead(core, read),
        at_low_edge,
        at_high_edge,
        low * scale,
        high * scale,
        rows,
        choices,
    )
    numbers, n = unite(choices)
    ids, voxels = number(choices, numbers, n, np.array(core.origin, np.int64), np.array(volume_shape, np.int64))
    basins = n
    contacts = Contacts.of(numbers, affinities, _lead(core, read))
    number_of = np.arange(n + 1, dtype=np.uint32)
    growth = GrowthTable.empty()
    if absorb > 1:
        is_open = np.zeros(n + 1, np.bool_)
        for axis in range(3):
            for plane, ends in ((0, at_low_edge), (-1, at_high_edge)):
                if not ends[axis]:
                    is_open[np.take(numbers, plane, axis)] = True
        absorbed = absorb_basins(contacts, voxels, is_open, absorb, low, core, volume_shape)
        ids, voxels, number_of = renumber(numbers.ravel(), absorbed.first, ids, voxels)
        growth = absorbed.growth.named(ids[number_of])
    raw = affinities[(slice(None), *core.slices_in(read))]
    return BlockFragments(
        core=core,
        numbers=numbers,
        ids=ids,
        basins=basins,
        objects=ObjectTable(ids[1:], voxels[1:]),
        growth=growth,
        edges=interior_edges(contacts, number_of, ids, core, volume_shape, histograms=histograms),
        faces=_faces(numbers, ids, choices, raw, core, at_low_edge, at_high_edge),
    )


def _check(
    affinities: np.ndarray,
    read: Box,
    core: Box,
    volume_shape: Zyx,
    low: int,
    high: int,
    mask: np.ndarray | None,
    smoothing: Sigma | None,
    region: Box,
) -> None:
    if affinities.dtype != np.uint8 or affinities.shape != (3, *read.shape):
        raise ValueError(
            f"the affinities of {read} are uint8 of shape {(3, *read.shape)}, not {affinities.dtype} {affinities.shape}"
        )
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != read.shape):
        raise ValueError(f"the mask of {read} is bool of shape {read.shape}, not {mask.dtype} {mask.shape}")
    if not 0 <= low <= high <= FULL_SCALE + 1:
        raise ValueError(
            f"thresholds are 0 <= low <= high <= {FULL_SCALE + 1} on the stored scale, not {low} and {high}"
        )
    if not Box.of_shape(volume_shape).contains(region) or not region.contains(core) or core.voxels == 0:
        raise ValueError(f"{core} does not lie in the region {region} of a volume of {volume_shape} voxels")
    if core.voxels > LARGEST_BLOCK:
        raise ValueError(f"a block has at most {LARGEST_BLOCK} voxels, not {core.voxels}: use smaller blocks")
    needed = core.grown(halo(smoothing)).clipped(region)
    if not (read.contains(needed) and region.contains(read)):
        raise ValueError(f"to segment {core} one must read {needed}, not {read}")


def _lead(core: Box, outer: Box) -> np.ndarray:
    """Where the core starts in an array of ``outer``."""
    return np.array([a - b for a, b in zip(core.origin, outer.origin, strict=True)], np.int64)


@kernel
def _choose(values, lead, keep, masked, keep_lead, at_low_edge, at_high_edge, low, high, rows, choices) -> None:
    """Which of its six edges each voxel joins (bits); 0 where it is background.

    A row at a time: the values of the six edges, -1 for those that do not exist, in ascending order of their global index
    (before along z, y, x; after along x, y, z), so that a strict comparison keeps the first of equals.
    """
    depth, height, width = choices.shape
    oz, oy, ox = lead
    kz, ky, kx = keep_lead
    for z in range(depth):
        for y in range(height):
            before_z = z > 0 or not at_low_edge[0]
            after_z = z < depth - 1 or not at_high_edge[0]
            before_y = y > 0 or not at_low_edge[1]
            after_y = y < height - 1 or not at_high_edge[1]
            if before_z:
                rows[0] = values[0, oz + z, oy + y, ox : ox + width]
            else:
                rows[0] = -1
            if before_y:
                rows[1] = values[1, oz + z, oy + y, ox : ox + width]
            else:
                rows[1] = -1
            rows[2] = values[2, oz + z, oy + y, ox : ox + width]
            if at_low_edge[2]:
                rows[2, 0] = -1
            if at_high_edge[2]:
                rows[3, : width - 1] = values[2, oz + z, oy + y, ox + 1 : ox + width]
                rows[3, width - 1] = -1
            else:
                rows[3] = values[2, oz + z, oy + y, ox + 1 : ox + 1 + width]
            if after_y:
                rows[4] = values[1, oz + z, oy + y + 1, ox : ox + width]
            else:
                rows[4] = -1
            if after_z:
                rows[5] = values[0, oz + z + 1, oy + y, ox : ox + width]
            else:
                rows[5] = -1
            if masked:
                here = keep[kz + z, ky + y]
                for x in range(width):
                    if here[kx + x] == 0:
                        rows[:, x] = -1
                        continue
                    if before_z and keep[kz + z - 1, ky + y, kx + x] == 0:
                        rows[0, x] = -1
                    if before_y and keep[kz + z, ky + y - 1, kx + x] == 0:
                        rows[1, x] = -1
                    if rows[2, x] >= 0 and here[kx + x - 1] == 0:
                        rows[2, x] = -1
                    if rows[3, x] >= 0 and here[kx + x + 1] == 0:
                        rows[3, x] = -1
                    if after_y and keep[kz + z, ky + y + 1, kx + x] == 0:
                        rows[4, x] = -1
                    if after_z and keep[kz + z + 1, ky + y, kx + x] == 0:
                        rows[5, x] = -1
            _choose_row(rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], low, high, choices[z, y])


@kernel
def _choose_row(before_z, before_y, before_x, after_x, after_y, after_z, low, high, out) -> None:
    for x in range(len(out)):
        best = np.int32(before_z[x])
        choice = np.int32(1)
        value = np.int32(before_y[x])
        choice = np.int32(2) if value > best else choice
        best = max(best, value)
        value = np.int32(before_x[x])
        choice = np.int32(4) if value > best else choice
        best = max(best, value)
        value = np.int32(after_x[x])
        choice = np.int32(32) if value > best else choice
        best = max(best, value)
        value = np.int32(after_y[x])
        choice = np.int32(16) if value > best else choice
        best = max(best, value)
        value = np.int32(after_z[x])
        choice = np.int32(8) if value > best else choice
        best = max(best, value)
        choice |= np.int32(1) if before_z[x] >= high else np.int32(0)
        choice |= np.int32(2) if before_y[x] >= high else np.int32(0)
        choice |= np.int32(4) if before_x[x] >= high else np.int32(0)
        choice |= np.int32(32) if after_x[x] >= high else np.int32(0)
        choice |= np.int32(16) if after_y[x] >= high else np.int32(0)
        choice |= np.int32(8) if after_z[x] >= high else np.int32(0)
        out[x] = np.uint8(choice if best >= low else np.int32(0))


def _faces(
    numbers: np.ndarray,
    ids: np.ndarray,
    choices: np.ndarray,
    raw: np.ndarray,
    core: Box,
    at_low_edge: np.ndarray,
    at_high_edge: np.ndarray,
) -> BlockFaces:
    low: list[Face | None] = []
    high: list[Face | None] = []
    for axis in range(3):
        first, last = (ids[np.take(numbers, plane, axis)] for plane in (0, -1))
        low.append(
            None
            if at_low_edge[axis]
            else Face(
                axis,
                core.origin,
                first,
                np.take(choices, 0, axis) & BEFORE[axis] != 0,
                np.take(raw[axis], 0, axis),
            )
        )
        top = list(core.origin)
        top[axis] = core.stop[axis] - 1
        high.append(
            None
            if at_high_edge[axis]
            else Face(axis, cast(Zyx, tuple(top)), last, np.take(choices, -1, axis) & AFTER[axis] != 0, None)
        )
    return BlockFaces((low[0], low[1], low[2]), (high[0], high[1], high[2]))
