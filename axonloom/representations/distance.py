"""How deep inside an object a voxel lies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label as components
from skimage.morphology import skeletonize

from axonloom.geometry import Zyx
from axonloom.representations.euclidean import euclidean_distance
from axonloom.representations.per_voxel import PerVoxel
from axonloom.representations.representation import RepresentationError

BACKGROUND = -1.0
HOLES = 16  # voxels; smaller holes of an object count as inside
PADDING = 2  # voxels of background that may be set around
LEAST = 1e-6  # keeps a quotient from having 0 below the line
STEPS = 10  # of a distance that is stored as classes
SMOOTHING, LEAST_SMOOTH = 2.0, 32  # sigma (voxels), twice, before a skeleton is taken, and voxels that must be left
EXPONENT = 0.8  # of the skeleton-aware distance

Spacing = tuple[float, ...]


class _Depth(PerVoxel):
    """A number in 0..1 for each voxel of an object, -1 in the background; objects are connected pieces of labels.

    Parameters
    ----------
    across_sections : bool
        Distances run in three dimensions; else inside each section (z plane).
    anisotropy : float
        Voxels of y that are as long as one of z.
    padding : bool
        An object ends at the border of a sample; else only where other labels begin.
    classes : bool
        Class 0 for the background and 1 to 10 for tenths of the distance.
    erosion : int
        Voxels by which each object is drawn back first.
    """

    activation = "tanh"
    title: str

    def __init__(
        self,
        across_sections: bool = False,
        anisotropy: float = 1.0,
        padding: bool = False,
        classes: bool = False,
        erosion: int = 0,
    ) -> None:
        if anisotropy <= 0 or erosion < 0:
            raise RepresentationError(
                f"anisotropy is above 0 and erosion not below, but {anisotropy} and {erosion} were given"
            )
        self.across_sections = across_sections
        self.anisotropy = anisotropy
        self.padding = padding
        self.classes = classes
        self.erosion = erosion
        self.channels = tuple(f"{self.title}-{k}" for k in range(STEPS + 1)) if classes else (self.title,)
        if classes:
            self.activation = "softmax"

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        if self.across_sections:
            depth = self._padded(labels, (self.anisotropy, 1.0, 1.0))
        else:
            depth = np.stack([self._padded(section, (1.0, 1.0)) for section in labels])
        if self.classes:
            depth = np.where(depth < 0, 0, np.minimum(np.floor(STEPS * depth) + 1, STEPS))
        return depth[None].astype(np.float32)

    def _padded(self, labels: np.ndarray, spacing: Spacing) -> npt.NDArray[np.float64]:
        if not self.padding:
            return self._depths(labels, spacing)
        inner = (slice(PADDING, -PADDING),) * labels.ndim
        return self._depths(np.pad(labels, PADDING), spacing)[inner]

    def _depths(self, labels: np.ndarray, spacing: Spacing) -> npt.NDArray[np.float64]:
        result = np.full(labels.shape, BACKGROUND)
        for box, inside in _objects(labels, self.erosion):
            # A filled hole may belong to two.
            result[box][inside] = np.maximum(result[box], self._depth(inside, spacing))[inside]
        return result

    @abstractmethod
    def _depth(self, inside: np.ndarray, spacing: Spacing) -> npt.NDArray[np.float64]:
        """Of the voxels of one object, 0..1."""

    def parameters(self) -> dict[str, Any]:
        return {
            "across_sections": self.across_sections,
            "anisotropy": self.anisotropy,
            "padding": self.padding,
            "classes": self.classes,
            "erosion": self.erosion,
        }


class ObjectDistance(_Depth):
    """The distance to an object's border, over the largest there is in it. PyTorch Connectomics' target options ``5`` and ``8``.

    Parameters
    ----------
    window : int
        Each voxel first takes the largest label in a cube of so many voxels around it, so that thin objects grow (option ``8``); 1: its own.
    others : as of :class:`_Depth`
    """

    title = "distance"

    def __init__(
        self,
        across_sections: bool = False,
        anisotropy: float = 1.0,
        padding: bool = False,
        classes: bool = False,
        erosion: int = 0,
        window: int = 1,
    ) -> None:
        super().__init__(across_sections, anisotropy, padding, classes, erosion)
        if window < 1:
            raise RepresentationError(f"window is at least 1 voxel, not {window}")
        self.window = window

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        # scipy's window of an even number of voxels reaches farther down.
        low, high = self.window // 2, (self.window - 1) // 2
        return (low, low, low), (high, high, high)

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        return super().numbers(ndimage.maximum_filter(labels, self.window) if self.window > 1 else labels)

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "window": self.window}

    def _depth(self, inside: np.ndarray, spacing: Spacing) -> npt.NDArray[np.float64]:
        distance = euclidean_distance(inside, spacing)
        return distance / (distance.max() + LEAST)


class SkeletonDistance(_Depth):
    """(b / (b + s))^0.8 of the distances to an object's border, b, and to its skeleton, s.

    Lin et al. 2023, "Structure-preserving instance segmentation via skeleton-aware distance transform"; PyTorch Connectomics'
    target option ``a``. The skeleton is that of the smoothed object, where smoothing leaves something of it.
    """

    title = "skeleton-distance"

    def _depth(self, inside: np.ndarray, spacing: Spacing) -> npt.NDArray[np.float64]:
        border = euclidean_distance(inside, spacing)
        skeleton = euclidean_distance(~np.asarray(skeletonize(_smoothed(inside)), bool), spacing)
        return (border / (border + skeleton + LEAST)) ** EXPONENT


class SignedDistance(PerVoxel):
    """tanh(inside / a - outside / b) of the distances to the border of the foreground. PyTorch Connectomics' target option ``6``.

    Parameters
    ----------
    across_sections : bool
        Distances run in three dimensions; else inside each section (z plane).
    inside, outside : float
        Voxels of y: a and b.
    anisotropy : float
        Voxels of y that are as long as one of z.
    """

    channels = ("signed-distance",)
    activation = "tanh"

    def __init__(
        self, across_sections: bool = False, inside: float = 8.0, outside: float = 50.0, anisotropy: float = 6.0
    ) -> None:
        if min(inside, outside, anisotropy) <= 0:
            raise RepresentationError(
                f"inside, outside and anisotropy are above 0, but {inside}, {outside} and {anisotropy} were given"
            )
        self.across_sections = across_sections
        self.inside = inside
        self.outside = outside
        self.anisotropy = anisotropy

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        foreground = labels > 0
        if self.across_sections:
            found = self._signed(foreground, (self.anisotropy, 1.0, 1.0))
        else:
            found = np.stack([self._signed(section, (1.0, 1.0)) for section in foreground])
        return found[None].astype(np.float32)

    def _signed(self, foreground: np.ndarray, spacing: Spacing) -> npt.NDArray[np.float64]:
        # Without any background (or foreground) there is no distance to it: as far as the sample reaches.
        farthest = float(np.hypot.reduce([n * s for n, s in zip(foreground.shape, spacing, strict=True)]))
        within, without = (
            euclidean_distance(part, spacing) if not part.all() else np.full(part.shape, farthest)
            for part in (foreground, ~foreground)
        )
        return np.tanh(within / self.inside - without / self.outside)

    def parameters(self) -> dict[str, Any]:
        return {
            "across_sections": self.across_sections,
            "inside": self.inside,
            "outside": self.outside,
            "anisotropy": self.anisotropy,
        }


def _objects(labels: np.ndarray, erosion: int) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Connected pieces of labels: where, and which voxels there (bool); small holes filled, drawn back by a ball."""
    pieces = np.asarray(components(labels))
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        # One voxel more on each side where there is one: distances end at the array's border only.
        grown = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        inside = _without_small_holes(
            pieces[grown] == number,
            [(a.start < b.start, b.stop < n) for a, b, n in zip(grown, box, labels.shape, strict=True)],
        )
        if erosion:
            inside = ndimage.binary_erosion(inside, _ball(erosion, labels.ndim))
        if inside.any():
            yield grown, inside


def _without_small_holes(inside: np.ndarray, beyond: Sequence[tuple[bool, bool]]) -> np.ndarray:
    """Background of few voxels that is enclosed becomes object; it goes on beyond the sides (low, high of each axis) named."""
    holes = np.empty(inside.shape, np.int32)
    ndimage.label(~inside, output=holes)
    small = np.bincount(holes.ravel()) < HOLES
    small[0] = False
    for axis, ends in enumerate(beyond):
        for side, goes_on in zip((0, -1), ends, strict=True):
            if goes_on:
                small[np.unique(np.take(holes, side, axis))] = False
    return inside | small[holes]


def _ball(radius: int, axes: int) -> np.ndarray:
    squares = sum(g**2 for g in np.ogrid[(slice(-radius, radius + 1),) * axes])
    return np.asarray(squares <= radius**2)


def _smoothed(inside: np.ndarray) -> np.ndarray:
    smooth = np.pad(inside, int(4 * SMOOTHING))
    for _ in range(2):
        smooth = ndimage.gaussian_filter(smooth.astype(np.float64), SMOOTHING, mode="nearest") > 0.5
    smooth = smooth[(slice(int(4 * SMOOTHING), -int(4 * SMOOTHING)),) * inside.ndim]
    return smooth if smooth.sum() > LEAST_SMOOTH else inside
