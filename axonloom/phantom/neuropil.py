"""A phantom volume: what to ask for, and in which units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.phantom.affinities import degraded, perfect
from axonloom.phantom.appearance import mitochondria_of
from axonloom.phantom.distortion import distorted_bounds
from axonloom.phantom.noise import scramble
from axonloom.phantom.skeleton import gather
from axonloom.phantom.tessellation import IMAGE_TOO, LABELS_ONLY, ORGANELLES, Content, World, render
from axonloom.volumes.volume import Volume

# pitch, jitter, thinnest, thickest radius (nm), skew of radii, share of rods absent, cut, joined to a dendrite, bridged.
_LEVELS = np.array(
    [
        [1450.0, 0.14, 90.0, 500.0, 1.2, 0.17, 0.06, 0.0, 0.0],
        [265.0, 0.17, 0.0, 85.0, 2.2, 0.36, 0.03, 0.30, 0.5],
    ]
)
# Wavelength and amplitude (nm): the bends of whole bundles, of single neurites, and the ripple of membranes.
OCTAVES = np.array([[2600.0, 540.0], [900.0, 155.0], [330.0, 46.0], [150.0, 13.0]])
_REACH = np.array([900.0, 650.0])
_BRICK_NM = 60.0
_TILE_BRICKS = 16


def _rotation(a: float, b: float, c: float) -> np.ndarray:
    def turn(angle: float, i: int, j: int) -> np.ndarray:
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = np.cos(angle)
        matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
        return matrix

    return turn(a, 0, 1) @ turn(b, 1, 2) @ turn(c, 0, 2)


@dataclass(frozen=True)
class Phantom:
    """Synthetic neuropil with exact labels, a pure function of seed and position.

    Any box, in any order, on any machine of one kind, holds the same bytes as the same region cut from a larger box; the cost
    of a voxel does not depend on the volume's size.

    Parameters
    ----------
    seed : int
    shape : (z, y, x)
        Voxels.
    voxel_size : (z, y, x)
        Nanometres.
    scale : float
        Of everything that is made of tubes: 2 makes neurites twice as thick.
    noise : float
        Standard deviation of the detector's noise, grey levels.
    section_shift : float or None
        How far a section may be misplaced, nm; None: 0, or 6 where z is at least twice as coarse as y.
    section_contrast : float or None
        Variation of contrast between sections, a fraction; None: 0.01, or 0.06 for such thick sections.
    """

    seed: int
    shape: Zyx
    voxel_size: tuple[float, float, float] = (10.0, 10.0, 10.0)
    scale: float = 1.0
    noise: float = 6.6
    section_shift: float | None = None
    section_contrast: float | None = None
    _key: np.uint64 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a phantom needs at least one voxel on each of three axes, not {self.shape}")
        if len(self.voxel_size) != 3 or not all(1.0 <= v <= 100.0 for v in self.voxel_size):
            raise ValueError(f"a phantom has voxels of 1 to 100 nm on each axis (z, y, x), not {self.voxel_size}")
        if not 0.25 <= self.scale <= 8.0:
            raise ValueError(f"the scale of a phantom is 0.25 to 8, not {self.scale}")
        # Ids hold 20 bits for each lattice coordinate (skeleton.name_of).
        across, limit = float(np.linalg.norm(np.multiply(self.shape, self.voxel_size))), 2**19 * 260.0 * self.scale
        if across > limit:
            raise ValueError(
                f"a phantom's ids are unique in volumes of up to {limit / 1e6:.0f} mm from corner to corner; {self.shape} "
                f"voxels of {self.voxel_size} nm are {across / 1e6:.0f} mm"
            )
        object.__setattr__(self, "_key", np.uint64(scramble(np.uint64(self.seed & 0xFFFFFFFFFFFFFFFF) + np.uint64(1))))

    @property
    def box(self) -> Box:
        """All voxels."""
        return Box.of_shape(self.shape)

    def labels(self, box: Box) -> np.ndarray:
        """Neurite of every voxel of ``box``: (z, y, x) uint64, ids below 2^63, never 0."""
        return self._render(box, LABELS_ONLY)[0]

    def image(self, box: Box) -> np.ndarray:
        """Grey levels of ``box``: (z, y, x) uint8."""
        return self._render(box, IMAGE_TOO)[1]

    def both(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Image and labels of ``box`` in one go, for less than the sum."""
        labels, image = self._render(box, IMAGE_TOO)
        return image, labels

    def mitochondria(self, box: Box) -> np.ndarray:
        """1 inside mitochondria, 0 elsewhere: (z, y, x) uint8."""
        return self._render(box, ORGANELLES)[1]

    def affinities(self, box: Box) -> np.ndarray:
        """The affinities of a perfect network: (3, z, y, x) uint8, 0 or 255.

        Channel c at a voxel is the edge to the neighbour before it on axis c (z, y, x); the first plane of the volume on axis
        c is 0.
        """
        wide = box.grown((1, 1, 1), (0, 0, 0)).clipped(self.box)
        out = np.empty((3, *box.shape), np.uint8)
        perfect(self.labels(wide), np.subtract(box.origin, wide.origin), out)
        return out

    def degraded_affinities(
        self, box: Box, grain: float = 1.0, holes: float = 1.0, false_membranes: float = 1.0
    ) -> np.ndarray:
        """Affinities with the mistakes of a mediocre network, a function of seed and position: (3, z, y, x) uint8.

        ``grain``, ``holes`` and ``false_membranes`` (each 0..1) are the strengths of the noise, of patches where a membrane is
        missed, and of membranes seen where there are none. Same convention as :meth:`affinities`.
        """
        if not all(0.0 <= v <= 1.0 for v in (grain, holes, false_membranes)):
            raise ValueError(f"grain, holes and false_membranes are 0 to 1, not {grain}, {holes}, {false_membranes}")
        wide = box.grown((2, 2, 2)).clipped(self.box)
        out = np.empty((3, *box.shape), np.uint8)
        first, voxel = np.subtract(box.origin, wide.origin), np.array(self.voxel_size, np.float64)
        degraded(self._key, self.labels(wide), first, np.array(box.origin), voxel, grain, holes, false_membranes, out)
        return out

    def _render(self, box: Box, what: int) -> tuple[np.ndarray, np.ndarray]:
        if not self.box.contains(box):
            raise ValueError(f"the phantom holds {self.box} (zyx voxels); {box} reaches outside it")
        labels = np.zeros(box.shape, np.uint64)
        image = np.zeros(box.shape if what != LABELS_ONLY else (0, 0, 0), np.uint8)
        if box.voxels == 0:
            return labels, np.zeros(box.shape, np.uint8)
        voxel = np.array(self.voxel_size, np.float64)
        brick = np.maximum(1, np.rint(_BRICK_NM / voxel)).astype(np.int64)
        coarse_sections = self.voxel_size[0] >= 2 * self.voxel_size[1]
        shift = self.section_shift if self.section_shift is not None else (6.0 if coarse_sections else 0.0)
        contrast = self.section_contrast if self.section_contrast is not None else (0.06 if coarse_sections else 0.01)
        look = np.array([0.5 * (self.voxel_size[1] + self.voxel_size[2]), self.noise, shift, contrast, 60 * contrast])
        levels = _LEVELS.copy()
        levels[:, [0, 2, 3]] *= self.scale
        octaves = OCTAVES * self.scale
        frames = np.stack([_rotation(0.5, 1.1, 0.3), _rotation(0.9, 0.4, 0.7)])
        reach = _REACH * self.scale
        world = World(octaves, frames, levels, voxel, brick, look)
        for tile in _tiles(box, [int(n) * _TILE_BRICKS for n in brick]):
            low, high = distorted_bounds(self._key, octaves, np.array(tile.origin) * voxel, np.array(tile.stop) * voxel)
            capsules, names = gather(self._key, levels, frames, low, high, reach)
            content = Content(capsules, names, *mitochondria_of(capsules, names))
            part = tile.clipped(box)
            inner = part.slices_in(box)
            out = np.empty(part.shape, np.uint64)
            grey = np.zeros(part.shape if what != LABELS_ONLY else (0, 0, 0), np.uint8)
            render(self._key, world, content, np.array(part.origin), np.array(part.stop), what, out, grey)
            labels[inner] = out
            if what != LABELS_ONLY:
                image[inner] = grey
        return labels, image


def _tiles(box: Box, size: Sequence[int]) -> Iterator[Box]:
    """The tiles of a lattice anchored at the volume's first voxel that touch ``box``."""
    counts = [range(a // s, -(-b // s)) for a, b, s in zip(box.origin, box.stop, size, strict=True)]
    for i in counts[0]:
        for j in counts[1]:
            for k in counts[2]:
                yield Box(start=[n * s for n, s in zip((i, j, k), size, strict=True)], size=size)


def fill(phantom: Phantom, image: Volume | None, labels: Volume | None, block_shape: Zyx) -> None:
    """Write the phantom into open volumes block by block (either may be None); the caller creates and syncs them.

    ``image`` takes uint8 and ``labels`` uint64. ``block_shape`` (zyx voxels) must be a multiple of the volumes' chunks.

    Raises
    ------
    ValueError
        A volume has another shape or dtype, or two blocks would share a stored chunk (BlockAlignmentError).
    """
    grid = BlockGrid(phantom.box, block_shape)
    for volume in (image, labels):
        if volume is None:
            continue
        if volume.shape != phantom.shape:
            raise ValueError(f"{volume.uri} holds {volume.shape} voxels (zyx), the phantom {phantom.shape}")
        if volume.chunk is not None:
            grid.require_chunks(volume.chunk)
    if labels is not None and labels.dtype != np.uint64:
        raise ValueError(f"{labels.uri} holds {labels.dtype}; ids of a phantom need uint64")
    for block in grid:
        if image is None:
            grey, ids = None, phantom.labels(block.core)
        else:
            grey, ids = phantom.both(block.core)
        if image is not None and grey is not None:
            image.write(block.core, grey)
        if labels is not None:
            labels.write(block.core, ids)
