"""The mean over the weights of many iterations: often better than the last ones.

Exponential moving average (Polyak and Juditsky 1992), or stochastic weight averaging, where all count the same (Izmailov et al. 2018,
https://arxiv.org/abs/1803.05407). What batch normalisation has seen is averaged like the weights, which is near what averaged weights would
see; Izmailov et al. measure it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from axonloom.config.optimization import AverageSettings


class WeightAverage:
    """Averages the weights of ``trained`` as ``settings`` say.

    Attributes
    ----------
    count : int
        Updates so far.
    """

    def __init__(self, trained: nn.Module, settings: AverageSettings) -> None:
        self.trained = trained
        self.settings = settings
        self.count = 0
        self._averaged = deepcopy(trained)

    @property
    def network(self) -> nn.Module:
        """What to validate and to save: the average, as soon as there is one."""
        return self._averaged if self.count else self.trained

    def update(self, iteration: int) -> None:
        """Take the weights after so many iterations in, if it is their turn."""
        since = iteration - self.settings.start
        if since <= 0 or since % self.settings.every:
            return
        self.count += 1
        share = 1 / self.count
        if self.settings.kind == "moving":
            # Until there are many, all count the same: else the first, which had learned nothing, would count for long.
            share = max(share, 1 - self.settings.decay)
        now = self.trained.state_dict()
        with torch.no_grad():
            for name, averaged in self._averaged.state_dict().items():
                if self.count == 1 or not averaged.is_floating_point():
                    averaged.copy_(now[name])
                else:
                    averaged.lerp_(now[name], share)

    def restore(self, count: int, weights: Mapping[str, Tensor]) -> None:
        """Go on from the average of so many updates."""
        self.count = count
        if count:
            self._averaged.load_state_dict(dict(weights))
