"""A small project with given affinities: what the flow tests segment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from axonloom.config.configuration import Configuration
from axonloom.config.load import load_configuration
from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.volumes import create_volume, open_volume

#: Ragged on every axis for blocks of 32 and 64; the last block along z is one voxel thick.
SHAPE = (65, 70, 97)


def make_project(folder: Path) -> Path:
    """Write labels and degraded affinities of a phantom; returns the folder."""
    phantom = Phantom(seed=5, shape=SHAPE)
    box = Box.of_shape(SHAPE)
    affinities = create_volume(
        str(folder / "affinities.zarr"), shape=SHAPE, dtype=np.uint8, channels=3, chunk=(32, 32, 32),
        voxel_size=phantom.voxel_size,
    )  # fmt: skip
    affinities.write(box, phantom.degraded_affinities(box))
    labels = create_volume(
        str(folder / "labels.zarr"), shape=SHAPE, dtype=np.uint64, chunk=(32, 32, 32), voxel_size=phantom.voxel_size
    )
    labels.write(box, phantom.labels(box).astype(np.uint64))
    return folder


def configure(project: Path, workspace: Path, blocks: tuple[int, int, int], workers: int = 2, **more: object) -> Path:
    """A configuration of the project with a workspace of its own."""
    path = workspace.with_suffix(".yaml")
    content = {
        "workspace": str(workspace),
        "volumes": {
            "affinities": {"path": str(project / "affinities.zarr")},
            "labels": {"path": str(project / "labels.zarr")},
            "segmentation": {"mips": 2},
        },
        "blocks": {"shape": list(blocks)},
        "merge": {"threshold": "0.6"},
        "compute": {"workers": workers},
        **more,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def configuration(project: Path, workspace: Path, blocks: tuple[int, int, int], workers: int = 2) -> Configuration:
    return load_configuration(configure(project, workspace, blocks, workers))


def segmentation(workspace: Path, mip: int = 0) -> np.ndarray:
    """The voxels of a workspace's segmentation, (z, y, x)."""
    return open_volume(f"precomputed://{workspace}/segmentation?mip={mip}").read()
