"""A checkpoint of axonloom's as PyTorch Connectomics v1 reads it."""

from __future__ import annotations

from pathlib import Path

import torch

from axonloom.durable import replacing
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.pytc import ARCHITECTURES
from axonloom.pytc.configuration import PytcError


def export_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write weights and iteration to ``path`` (``.pth.tar``), whole or not at all.

    It holds ``iteration`` and ``state_dict``; PyTorch Connectomics begins an optimizer anew where there is none in a checkpoint.

    Raises
    ------
    PytcError
        The network is none that PyTorch Connectomics has.
    """
    if checkpoint.description.architecture not in ARCHITECTURES.values():
        raise PytcError(
            f"{checkpoint.folder} holds a {checkpoint.description.architecture!r}, which PyTorch Connectomics does not have; it has "
            f"{', '.join(ARCHITECTURES.values())}"
        )
    with replacing(path) as temporary:
        torch.save({"iteration": checkpoint.iteration, "state_dict": checkpoint.weights()}, temporary)


def checkpoint_name(iteration: int) -> str:
    """How PyTorch Connectomics names it."""
    return f"checkpoint_{iteration:05d}.pth.tar"
