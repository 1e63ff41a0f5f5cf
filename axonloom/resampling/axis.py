"""One axis of a volume at another voxel size: which positions the new voxels have among the old ones."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

#: Where the gaussian of :attr:`ResampledAxis.sigma` is cut off, in sigmas (scipy's and scikit-image's default).
TRUNCATE = 4.0
#: Beyond this many voxels a cubic spline's coefficient does not depend on a voxel any more: 0.268^40 is 1e-23.
SPLINE_REACH = 40


@dataclass(frozen=True)
class ResampledAxis:
    """The lattice of one axis. Both volumes begin at one place; a voxel lies at its centre.

    Attributes
    ----------
    size, new_size : voxels before and after
    step : how many old voxels a new one is long
    """

    size: int
    new_size: int
    step: Fraction

    @classmethod
    def to_size(cls, size: int, new_size: int) -> ResampledAxis:
        return cls(size, new_size, Fraction(size, new_size))

    @classmethod
    def to_voxel_size(cls, size: int, voxel_size: float, new_voxel_size: float) -> ResampledAxis:
        """As many voxels as cover the axis, to the nearest whole number (halves to even), and at least 1."""
        step = Fraction(str(new_voxel_size)) / Fraction(str(voxel_size))
        return cls(size, max(1, round(size / step)), step)

    @property
    def sigma(self) -> float:
        """Of the gaussian against aliasing, in old voxels: (step - 1) / 2, as scikit-image's resize; 0 where nothing becomes coarser."""
        return max(0.0, float(self.step - 1) / 2)

    def positions(self, start: int, stop: int) -> np.ndarray:
        """Centres of the new voxels from ``start`` to ``stop``, in old voxels whose own centres are whole numbers; float64."""
        found = (np.arange(start, stop) + 0.5) * float(self.step) - 0.5
        # A single voxel that is longer than the whole volume has its centre beyond the end.
        return np.clip(found, -0.5, self.size - 0.5)

    def nearest(self, start: int, stop: int) -> np.ndarray:
        """The old voxel that holds each new one's centre (on a border the later one), int64; in whole numbers, so without rounding."""
        numerator, denominator = self.step.as_integer_ratio()
        return np.minimum((2 * np.arange(start, stop) + 1) * numerator // (2 * denominator), self.size - 1)

    def needed(self, start: int, stop: int, reach: int) -> tuple[int, int]:
        """Old voxels from which the new ones are made, with ``reach`` more on either side, within the volume."""
        positions = self.positions(start, stop)
        low, high = int(np.floor(positions[0])), int(np.floor(positions[-1])) + 2
        # What lies beyond the end is the mirror image of what lies before it.
        return max(0, min(low, self.size - 1) - reach), min(self.size, max(high, 1) + reach)
