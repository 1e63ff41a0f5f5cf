"""A volume to files, a network over them, and back, in SLURM jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axonloom.config.load import load_configuration
from axonloom.volumes import open_volume
from tests.flows.block_files import settings, small_checkpoint, volume_of
from tests.slurm.test_batches import compute

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.timeout(600)]


def test_split_predicted_and_joined_as_here(prefect_api, empty_slurm, tmp_path):
    from flows.join import join
    from flows.predict import predict
    from flows.split import split

    image = np.random.default_rng(4).integers(0, 256, (33, 70, 65), dtype=np.uint8)
    source, checkpoint = volume_of(tmp_path, image), str(small_checkpoint(tmp_path))

    def run(folder: Path, **on: object) -> np.ndarray:
        files, predicted, target = (str(folder / name) for name in ("files", "predicted", "joined.zarr"))
        configuration = load_configuration(
            None,
            settings(
                folder, **on, split__source=source, split__target=files, split__block=[16, 32, 32], split__overlap=[4, 8, 8],
                predict__source=files, predict__target=predicted, infer__checkpoint=checkpoint, infer__device="cpu",
                join__source=predicted, join__target=target,
            ),
        )  # fmt: skip
        for flow in (split, predict, join):
            flow(configuration)
        return open_volume(target).read()

    before = {job.id for job in empty_slurm.jobs(ended=True)}
    there = run(
        tmp_path / "there", compute=compute(cores=2, workers=2, memory="3GB", max_jobs=1).model_dump(mode="json")
    )
    empty_slurm.wait_empty(limit=20)
    assert {job.id for job in empty_slurm.jobs(ended=True)} - before
    np.testing.assert_array_equal(there, run(tmp_path / "here"))
    assert len(np.unique(there)) > 100
