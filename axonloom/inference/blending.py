"""How strongly each voxel of a window counts where windows overlap.

``gaussian`` and ``bump`` are the formulas of PyTorch Connectomics (`build_blending_matrix`), so that predictions compare.
Both stay positive at the rim: a voxel that only one window covers keeps that window's value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from axonloom.geometry import Zyx

Blending = Literal["gaussian", "bump", "constant"]

FLOOR = 1e-4
SIGMA = 0.2


def _gaussian(window: Zyx) -> np.ndarray:
    z, y, x = (np.linspace(-1, 1, n) for n in window)
    distance = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
    return FLOOR + np.exp(-(distance**2) / (2 * SIGMA**2))


def _bump(window: Zyx) -> np.ndarray:
    inner = (np.linspace(0, 1, n + 2)[1:-1] for n in window)
    z, y, x = ((u * (1 - u)) ** -1.5 for u in inner)
    depth = -(z[:, None, None] + y[None, :, None] + x[None, None, :])
    return FLOOR + np.exp(depth - depth.max())


def _constant(window: Zyx) -> np.ndarray:
    return np.ones(window)


_WEIGHTS: dict[str, Callable[[Zyx], np.ndarray]] = {"gaussian": _gaussian, "bump": _bump, "constant": _constant}


def blending_weights(blending: Blending, window: Zyx) -> np.ndarray:
    """Weights of one window: float32 (z, y, x), positive.

    Parameters
    ----------
    blending : {"gaussian", "bump", "constant"}
        ``gaussian``: 1e-4 + exp(-r^2 / (2 * 0.2^2)), r the distance from the centre with the window's half size as 1.
        ``bump``: 1e-4 + exp(d - max d), d = -sum over axes of (u (1 - u))^-1.5, u from 0 to 1 across the window.
        ``constant``: 1 everywhere, the plain mean.
    window : (z, y, x)
        Voxels.

    Raises
    ------
    ValueError
        The name is not one of these.
    """
    if blending not in _WEIGHTS:
        raise ValueError(f"blending is one of {', '.join(get_args(Blending))}, not {blending!r}")
    return _WEIGHTS[blending](window).astype(np.float32)
