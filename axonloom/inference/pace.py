"""How long a network takes for a window."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from axonloom.inference.predictor import Predictor


def seconds_a_window(
    predictor: Predictor,
    windows: np.ndarray,
    batches: int,
    *,
    clock: Callable[[], float] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> float:
    """Seconds for each of ``windows``, by so many batches of them after one that is not timed.

    Parameters
    ----------
    windows : float32 (batch, c, z, y, x)
        A full batch.
    clock : function
        Seconds that only grow. Default: those of the wall.
    meanwhile : function
        Called once before the clock starts; what it returns is held until it stops, such as memory that others will need.
    """
    clock = clock or time.perf_counter
    # A GPU works ahead of who asks.
    settle = torch.cuda.synchronize if predictor.device.type == "cuda" else lambda: None
    predictor.predict(windows)
    settle()
    held = meanwhile()
    begin = clock()
    for _ in range(batches):
        predictor.predict(windows)
    settle()
    seconds = clock() - begin
    del held
    return seconds / (batches * predictor.batch)
