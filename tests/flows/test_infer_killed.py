"""Inference on real images, killed and gone on with: the bytes of the whole volume."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.volumes import open_volume
from tests.flows.block_files import small_checkpoint
from tests.flows.test_failures import axonloom, finished

pytestmark = pytest.mark.flow

SHAPE = (33, 70, 81)


@pytest.fixture(scope="module")
def project(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    with h5py.File(shared / "data" / "fib25" / "unlabelled.h5") as file, h5py.File(folder / "em.h5", "w") as cut:
        cut["raw"] = file["volumes/raw"][100 : 100 + SHAPE[0], 60 : 60 + SHAPE[1], 80 : 80 + SHAPE[2]]
    small_checkpoint(folder)
    return folder


def configured(project: Path, name: str, blocks: tuple[int, int, int], workers: int = 1, on: str = "local") -> Path:
    content = {
        "workspace": name,
        "volumes": {"image": {"path": "em.h5:raw"}},
        "infer": {"checkpoint": str(small_checkpoint(project)), "device": "cpu", "blocks": list(blocks)},
        "compute": {"workers": workers, "on": on},
    }
    path = project / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def predicted(config: Path) -> np.ndarray:
    return open_volume(str(Chain(load_configuration(config)).infer.folder / "affinities.zarr")).read()


@pytest.fixture(scope="module")
def whole(project: Path) -> np.ndarray:
    config = configured(project, "whole", SHAPE)
    assert not run_alone(Chain(load_configuration(config)).infer).failed
    return predicted(config)


@pytest.mark.parametrize(
    ("blocks", "workers", "on"), [((16, 32, 32), 1, "local"), ((32, 69, 80), 2, "local"), ((33, 20, 50), 2, "dask")]
)
def test_blocks_of_any_shape_on_any_workers(prefect_api, project, whole, blocks, workers, on):
    config = configured(project, f"{on}-{blocks[0]}", blocks, workers, on)
    code, output = finished(axonloom(prefect_api, "infer", config))
    assert code == 0, output
    np.testing.assert_array_equal(predicted(config), whole)


def test_killed_twice_and_gone_on_with(prefect_api, project, whole):
    config = configured(project, "killed", (8, 16, 16), workers=2)
    plan = Chain(load_configuration(config)).infer
    kills = 0
    for goal in (15, 60):
        process = axonloom(prefect_api, "infer", config)
        while process.poll() is None and len(plan.ledger.read().done) < goal:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 2
    assert 60 <= len(plan.ledger.read().done) < len(plan.grid)
    code, output = finished(axonloom(prefect_api, "infer", config))
    assert code == 0, output
    np.testing.assert_array_equal(predicted(config), whole)
    assert len(list(plan.ledger.facts())) == len(plan.grid)  # no block is done twice
