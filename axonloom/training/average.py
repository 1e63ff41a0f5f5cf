"""The mean over the weights of many iterations: often better than the last ones.

Exponential moving average (Polyak and Juditsky 1992), or stochastic weight averaging, where all count the same (Izmailov et al. 2018,
https://arxiv.org/abs/1803.05407). What batch normalisation has seen is averaged too, so that nothing has to be measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from axonloom.config.optimization import AverageSettings


class WeightAverage:
    """Averages ``network`` as ``settings`` say. Before the first update there is nothing but the network itself."""

    def __init__(self, network: nn.Module, settings: AverageSettings) -> None:
        self.network = network
        self.settings = settings
        self.count = 0
        self._averaged = deepcopy(network)

    @property
    def best(self) -> nn.Module:
        """What to validate and to save: the average, as soon as there is one."""
        return self._averaged if self.count else self.network

    def update(self, iteration: int) -> None:
        """Take the weights after so many iterations in, if it is their turn."""
        since = iteration - self.settings.start
        if since <= 0 or since % self.settings.every:
            return
        self.count += 1
        share = 1 - self.settings.decay if self.settings.kind == "moving" else 1 / self.count
        now = self.network.state_dict()
        with torch.no_grad():
            for name, averaged in self._averaged.state_dict().items():
                if self.count == 1 or not averaged.is_floating_point():
                    averaged.copy_(now[name])
                else:
                    averaged.lerp_(now[name], share)

    def state(self) -> dict[str, Any]:
        return {"count": self.count, "weights": self._averaged.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]
        self._averaged.load_state_dict(state["weights"])
