"""The optimizer of a network, whose parameters are told apart by what they do."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from axonloom.config.train import TrainSettings

NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def make_optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over three groups: kernels, normalisations (their scales and shifts) and biases.

    Each group has its weight decay, and ``rate``: its learning rate over that of the kernels.
    """
    chosen = settings.optimizer
    kernels, norms, biases = [], [], []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            group = norms if isinstance(module, NORMALISATIONS) else biases if name == "bias" else kernels
            group.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": settings.weight_decay, "rate": 1.0},
        {"params": norms, "weight_decay": chosen.decay_norms, "rate": 1.0},
        {"params": biases, "weight_decay": chosen.decay_biases, "rate": chosen.bias_rate},
    ]
    if chosen.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=chosen.momentum)
    kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, betas=chosen.betas)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """``rate`` for the kernels, and for each other group what it has of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
