"""How long the optimizer's steps are."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import cos, pi
from typing import Any

from axonloom.config.optimization import ScheduleSettings

#: Where one cycle begins and ends, relative to its highest learning rate (Smith and Topin 2017, with the numbers of torch's OneCycleLR).
CYCLE_BEGINS, CYCLE_ENDS = 1 / 25, 1 / 25e4
#: By how much of itself a loss must fall to count as lower, as in torch's ReduceLROnPlateau.
LOWER = 1e-4

COSINE = ScheduleSettings()


def learning_rate(
    iteration: int,
    *,
    highest: float,
    warmup: int,
    iterations: int,
    schedule: ScheduleSettings = COSINE,
    falls: int = 0,
) -> float:
    """The learning rate of an iteration (0-based).

    By default a straight rise to ``highest``, then half a cosine to 0: Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983),
    without restarts. The other shapes are those of PyTorch Connectomics and torch: see ``ScheduleSettings``. A function of its
    arguments alone: what a plateau counts is all that a training has to restore.

    Parameters
    ----------
    falls : int
        How often a :class:`Plateau` was met so far.
    """
    shape = schedule.shape
    if shape == "one_cycle":
        if iteration < warmup:
            return highest * _between(CYCLE_BEGINS, 1.0, iteration / warmup)
        return highest * _between(1.0, CYCLE_ENDS, _done(iteration, warmup, iterations))
    rate = highest * _warmed(iteration, warmup, schedule)
    if shape == "cosine":
        return rate if iteration < warmup else rate * _between(1.0, 0.0, _done(iteration, warmup, iterations))
    if shape == "cosine_throughout":
        return rate * _between(1.0, 0.0, _done(iteration, 0, iterations))
    if shape == "steps":
        return rate * schedule.gamma ** bisect_right(sorted(schedule.steps), iteration)
    if shape == "plateau":
        return rate * schedule.gamma**falls
    return rate


def _warmed(iteration: int, warmup: int, schedule: ScheduleSettings) -> float:
    """Share of the learning rate that the warmup allows."""
    if iteration >= warmup:
        return 1.0
    low = schedule.warmup_from
    if low is None:
        return (iteration + 1) / (warmup + 1)
    if schedule.warmup_constant:
        return low
    done = iteration / warmup
    return low * (1 - done) + done


def _done(iteration: int, first: int, iterations: int) -> float:
    return min((iteration - first) / max(iterations - first, 1), 1.0)


def _between(begin: float, end: float, done: float) -> float:
    """From one to the other along half a cosine."""
    return end + (begin - end) * 0.5 * (1 + cos(pi * done))


@dataclass
class Plateau:
    """How often a loss has stopped falling: ``falls``. After each, it has ``patience`` iterations again."""

    patience: int
    lowest: float | None = None
    waited: int = 0
    falls: int = 0

    def see(self, loss: float) -> None:
        """Take the loss of one more iteration."""
        if self.lowest is None or loss < self.lowest * (1 - LOWER):
            self.lowest, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.falls, self.waited = self.falls + 1, 0

    def state(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "waited": self.waited, "falls": self.falls}

    def restore(self, state: dict[str, Any]) -> None:
        self.lowest, self.waited, self.falls = state["lowest"], state["waited"], state["falls"]
