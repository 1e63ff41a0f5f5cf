"""How grey levels become the numbers that a network sees, and that it must see again at inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Normalisation:
    """``(grey level - mean) / std``, with both numbers fixed at training time, never taken from the data at hand.

    A mean taken per block or per volume would make the prediction of a voxel depend on the block that it was read in.

    Attributes
    ----------
    mean, std : float
        Grey levels of the raw dtype; the default maps uint8 to -1..1.
    """

    mean: float = 127.5
    std: float = 127.5

    def __post_init__(self) -> None:
        if not (isfinite(self.mean) and isfinite(self.std) and self.std > 0):
            raise ValueError(f"a normalisation needs a finite mean and a std above 0, not {self.mean} and {self.std}")

    @classmethod
    def of_dtype(cls, dtype: npt.DTypeLike) -> Normalisation:
        """The one that maps a dtype's whole range to -1..1; floating-point images are taken to hold 0..1."""
        kind = np.dtype(dtype)
        if kind.kind in "ui":
            range_of = np.iinfo(kind.name)
            low, high = float(range_of.min), float(range_of.max)
        elif kind.kind == "f":
            low, high = 0.0, 1.0
        else:
            raise ValueError(f"an image of dtype {kind} has no grey levels; integers and floats have")
        return cls(mean=(low + high) / 2, std=(high - low) / 2)

    def apply(self, raw: np.ndarray) -> npt.NDArray[np.float32]:
        """A new float32 array of the shape of ``raw`` (grey levels of any dtype)."""
        result = np.asarray(raw).astype(np.float32)  # astype copies, so the steps below may work in place
        result -= np.float32(self.mean)
        result /= np.float32(self.std)
        return result

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "std": self.std}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Normalisation:
        return cls(mean=float(stored["mean"]), std=float(stored["std"]))
