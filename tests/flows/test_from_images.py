"""From images: a network trained for a moment, then the whole chain, the same voxels for every blocking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.config.load import load_configuration
from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.volumes import create_volume, open_volume
from axonloom.workspace import workspace_id
from tests.flows.affinity_project import segmentation
from tests.flows.test_run_stage import task_states

pytestmark = pytest.mark.flow

SHAPE = (70, 66, 80)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Images and labels of a phantom, in two files of different formats."""
    folder = tmp_path_factory.mktemp("images")
    phantom = Phantom(seed=9, shape=SHAPE)
    image, labels = phantom.both(Box.of_shape(SHAPE))
    raw = create_volume(f"{folder}/data.h5:volumes/raw", shape=SHAPE, dtype=np.uint8, voxel_size=phantom.voxel_size)
    raw.write(raw.box, image)
    raw.close()
    ids = create_volume(str(folder / "labels.zarr"), shape=SHAPE, dtype=np.uint64, voxel_size=phantom.voxel_size)
    ids.write(ids.box, labels)
    return folder


def artifacts(workspace: Path) -> dict[str, str]:
    """The newest artifacts of a workspace's training: what -> content."""
    from prefect.client.orchestration import get_client

    prefix = f"axonloom-{workspace_id(workspace)[:8]}-train-"
    with get_client(sync_client=True) as client:
        # The server holds those of other tests too, more than one answer does.
        only = {"artifacts": {"key": {"like_": f"{prefix}%"}}}
        found = client.request("POST", "/artifacts/latest/filter", json=only).json()
    return {a["key"].removeprefix(prefix): str(a["data"]) for a in found}


def configuration(project: Path, workspace: Path, **more: object) -> Configuration:
    content = {
        "workspace": str(workspace),
        "volumes": {"image": {"path": "data.h5:volumes/raw"}, "labels": {"path": "labels.zarr"}},
        "train": {"iterations": 2, "checkpoint_every": 1, "validation": {"fraction": 0}, "threads": 2, "loaders": 0},
        "merge": {"threshold": "0.5"},
        **more,
    }
    path = project / f"{workspace.name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_configuration(path)


@pytest.fixture(scope="module")
def trained(prefect_api, project, tmp_path_factory) -> Path:
    from flows.train import train

    workspace = tmp_path_factory.mktemp("trained") / "work"
    config = configuration(project, workspace)
    train(config)
    assert task_states("train", 2) == ["Completed", "Completed"]
    train(config)
    assert task_states("train", 2) == ["Cached", "Cached"]
    shown = artifacts(workspace)
    table = shown["checkpoints"]
    assert "iteration_00000002" in table
    assert "sha256" in table
    assert "data:image/png;base64," in shown["loss"]
    assert set(shown) >= {"checkpoints", "loss", "progress"}
    return workspace / "checkpoints" / "best"


def test_the_whole_chain_is_the_same_for_every_blocking(prefect_api, project, trained, tmp_path):
    from flows.reconstruct import reconstruct

    found = []
    for name, blocks, inference, workers in (
        ("whole", list(SHAPE), list(SHAPE), 1),
        ("small", [32, 32, 32], [69, 66, 80], 2),
        ("ragged", [32, 64, 128], [64, 33, 80], 4),
    ):
        config = configuration(
            project,
            tmp_path / name,
            blocks={"shape": blocks},
            infer={"checkpoint": str(trained), "window": [32, 32, 32], "stride": [24, 24, 24], "blocks": inference},
            compute={"workers": workers},
        )
        scores = reconstruct(config)
        affinities = open_volume(str(Chain(config).infer.folder / "affinities.zarr")).read()
        found.append((affinities, segmentation(tmp_path / name), scores["voi_split"]))
    for affinities, voxels, split in found[1:]:
        assert np.array_equal(affinities, found[0][0])
        assert np.array_equal(voxels, found[0][1])
        assert split == found[0][2]
    assert len(np.unique(found[0][0])) > 10
