"""A training that is judged by its segmentation, as the Prefect UI shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from axonloom.config.load import load_configuration
from axonloom.networks.checkpoint import Checkpoint
from axonloom.volumes import create_volume
from tests.flows.test_from_images import artifacts
from tests.training.cells import cells

pytestmark = pytest.mark.flow


def test_scores_are_shown_and_the_best_is_inferred_with(prefect_api, tmp_path: Path) -> None:
    from flows.train import train

    for name, shape, seed in (("shown", (40, 70, 72), 1), ("judged", (36, 66, 68), 2)):
        image, labels = cells(shape, seed, size=12)
        for what, array in (("em", image), ("ids", labels)):
            made = create_volume(
                str(tmp_path / f"{name}-{what}.zarr"), shape=shape, dtype=array.dtype, voxel_size=(8, 8, 8)
            )
            made.write(made.box, array)
    content = {
        "workspace": "work",
        "volumes": {"image": {"path": "shown-em.zarr"}, "labels": {"path": "shown-ids.zarr"}},
        "train": {
            "iterations": 4, "checkpoint_every": 2, "threads": 2, "loaders": 0, "patch": [16, 32, 32], "window": [16, 32, 32],
            "best_by": "adapted_rand", "scoring": {"region": [24, 40, 40]},
            "validation": {
                "every": 2, "crops": 1,
                "volumes": [{"image": {"path": "judged-em.zarr"}, "labels": {"path": "judged-ids.zarr"}}],
            },
        },
    }  # fmt: skip
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    configuration = load_configuration(tmp_path / "p.yaml")
    result = train(configuration)
    best = Checkpoint.open(configuration.workspace / "checkpoints" / "best")
    assert Path(result["checkpoint"]) == best.folder
    assert best.description.scores is not None
    assert result["best_adapted_rand_error"] == best.description.scores["adapted_rand_error"]
    assert result["best_iteration"] == best.iteration
    assert np.isfinite(result["best_voi"])
    shown = artifacts(configuration.workspace)
    assert "data:image/png;base64," in shown["loss"]
    assert "Last segmentation: VOI" in shown["loss"]
    assert f"after iteration {best.iteration}" in shown["loss"]
    assert "adapted Rand error" in shown["checkpoints"]
    assert "VOI (bits)" in shown["checkpoints"]
    # Nothing is trained anew, and the same is said.
    assert train(configuration) == result
