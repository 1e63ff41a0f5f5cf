"""How long the optimizer's steps are."""

from __future__ import annotations

from math import cos, pi


def learning_rate(iteration: int, *, highest: float, warmup: int, iterations: int) -> float:
    """The learning rate of an iteration (0-based): a straight rise to ``highest``, then half a cosine to 0.

    A function of the iteration alone, so that there is nothing to restore. Loshchilov and Hutter 2017
    (https://arxiv.org/abs/1608.03983), without restarts.
    """
    if iteration < warmup:
        return highest * (iteration + 1) / (warmup + 1)
    done = (iteration - warmup) / max(iterations - warmup, 1)
    return highest * 0.5 * (1 + cos(pi * min(done, 1.0)))
