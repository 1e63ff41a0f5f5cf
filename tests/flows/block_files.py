"""Folders of block files for tests: a volume, its files, a small network, and the tools run over them without a server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from axonloom.alone import run_alone
from axonloom.config.load import load_configuration
from axonloom.networks.checkpoint import ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build
from axonloom.stage import StagePlan
from axonloom.stages.tool_stage import require_own_targets, tool_stage
from axonloom.tools import TOOLS
from axonloom.volumes import create_volume

SHAPE = (33, 70, 65)


def volume_of(folder: Path, array: np.ndarray, name: str = "em.zarr") -> str:
    made = create_volume(
        str(folder / name),
        shape=array.shape,
        dtype=array.dtype,
        chunk=(16, 16, 16),
        voxel_size=(40, 8, 8),
        offset=(5, 0, 7),
    )
    made.write(made.box, array)
    return str(folder / name)


def settings(folder: Path, **given: object) -> list[str]:
    given = {"workspace": str(folder / "work"), "blocks.shape": [16, 32, 32], **given}
    return [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in given.items()]


def plans(tool: str, folder: Path, **given: object) -> tuple[StagePlan, ...]:
    return TOOLS[tool](load_configuration(None, settings(folder, **given)))


def run(tool: str, folder: Path, **given: object) -> StagePlan:
    (plan,) = plans(tool, folder, **given)
    plan.save()
    require_own_targets([plan])
    report = run_alone(plan)
    assert not report.failed, report.failed
    tool_stage(plan).finish()
    return plan


def cut(folder: Path, array: np.ndarray) -> StagePlan:
    """Files of an array in the folder ``b``."""
    source = volume_of(folder, array)
    return run("split", folder, split__source=source, split__target=str(folder / "b"), split__block=[20] * 3)


def small_checkpoint(folder: Path) -> Path:
    parameters = {"filters": [8, 8], "isotropy": [True, True], "norm": "bn", "pooling": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("residual_unet_3d", **parameters)
    description = ModelDescription(
        architecture="residual_unet_3d", parameters=parameters, representation="affinity", representation_parameters={},
        channels=("z", "y", "x"), normalisation=Normalisation(), voxel_size=None, patch=(8, 16, 16), window=(8, 16, 16), iteration=1,
    )  # fmt: skip
    return write_checkpoint(folder / "network", description, network.state_dict()).folder


def noise() -> np.ndarray:
    """Voxels of an image, uint8, of the shape SHAPE."""
    return np.random.default_rng(4).integers(0, 256, SHAPE, dtype=np.uint8)
