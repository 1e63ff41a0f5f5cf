"""Images that a network was not trained for; where there is nothing; through the stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.inference.predictor import PredictionError, voxel_size_warning
from axonloom.networks.checkpoint import Checkpoint
from axonloom.stage import StageError
from axonloom.verify import verify_stage
from axonloom.volumes import create_volume, open_volume
from tests.flows.test_block_files import small_checkpoint

SHAPE = (20, 50, 70)


def written(path: Path, array: np.ndarray) -> str:
    made = create_volume(str(path), shape=array.shape, dtype=array.dtype, chunk=(8, 16, 16), voxel_size=(8, 8, 8))
    made.write(made.box, array)
    return str(path)


def chain(folder: Path, array: np.ndarray, **given: object) -> Chain:
    given = {
        "workspace": str(folder / "work"), "volumes.image.path": written(folder / "em.zarr", array) if not (folder / "em.zarr").exists()
        else str(folder / "em.zarr"), "infer.checkpoint": str(small_checkpoint(folder)), "infer.device": "cpu",
        **{key.replace("__", "."): value for key, value in given.items()},
    }  # fmt: skip
    return Chain(load_configuration(None, [f"{key}={json.dumps(value)}" for key, value in given.items()]))


def predicted(chain: Chain) -> np.ndarray:
    report = run_alone(chain.infer)
    assert not report.failed, report.failed
    return open_volume(str(chain.infer.folder / "affinities.zarr")).read()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(2).integers(1, 256, SHAPE, dtype=np.uint8)


def test_grey_levels_of_another_type_are_said_or_refused(tmp_path, image):
    plain = predicted(chain(tmp_path, image))
    deep = tmp_path / "deep"
    deep.mkdir()
    with pytest.raises(
        PredictionError, match=r"holds uint16, and the network was trained on uint8.*infer\.grey_levels"
    ):
        chain(deep, image.astype(np.uint16) * 16).infer  # noqa: B018
    found = predicted(chain(deep, image.astype(np.uint16) * 16, infer__grey_levels=[0, 4080]))
    assert np.abs(found.astype(int) - plain).max() <= 1
    with pytest.raises(Exception, match="black and white"):
        chain(deep, image, infer__grey_levels=[5, 5])


@pytest.mark.parametrize("factor", [1, 2, (1, 3, 4)])
def test_without_tissue_there_is_nothing_and_nothing_is_read(tmp_path, image, factor):
    factor = (factor,) * 3 if isinstance(factor, int) else factor
    plain = predicted(chain(tmp_path, image))
    coarse = np.zeros([-(-n // f) for n, f in zip(SHAPE, factor, strict=True)], np.uint8)
    coarse[:, : coarse.shape[1] // 2, 1:-2] = 3
    tissue = written(tmp_path / "tissue.zarr", coarse)
    keep = coarse != 0
    for axis, f in enumerate(factor):
        keep = np.repeat(keep, f, axis)
    keep = keep[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    for blocks in ([8, 16, 16], [24, 64, 80]):
        planned = chain(tmp_path, image, volumes__tissue__path=tissue, infer__blocks=blocks)
        np.testing.assert_array_equal(predicted(planned), plain * keep)
        lines = list(planned.infer.ledger.facts())
        empty = sum(not keep[block.core.slices].any() for block in planned.infer.grid)
        assert sum(bool(line.get("without_tissue")) for line in lines) == empty
        assert empty > 5 or blocks[0] == 24
        assert not [v for v in verify_stage(planned.infer) if v.damage is not None or not v.compared]


def test_a_tissue_volume_of_another_size_is_refused(tmp_path, image):
    tissue = written(tmp_path / "tissue.zarr", np.ones((7, 20, 20), np.uint8))
    with pytest.raises(StageError, match=r"volumes\.tissue has \(7, 20, 20\) voxels"):
        chain(tmp_path, image, volumes__tissue__path=tissue).infer  # noqa: B018


@pytest.mark.parametrize("blending", ["gaussian", "crop"])
def test_settings_of_windows_leave_no_trace_of_blocks(tmp_path, image, blending):
    image[:, :, 30:] = 0
    given = {
        "infer__blending": blending,
        "infer__margin": [0, 4, 8] if blending != "crop" else [0, 0, 0],
        "infer__views": 4,
    }
    whole = predicted(chain(tmp_path, image, infer__blocks=[64, 128, 128], **given))
    small = chain(tmp_path, image, infer__blocks=[8, 16, 32], **given)
    np.testing.assert_array_equal(predicted(small), whole)
    assert sum(line["blank_windows"] for line in small.infer.ledger.facts()) > 0
    assert not whole[..., -16:].any()
    assert whole[..., :16].any()


def test_voxels_far_from_those_trained_on_are_named(tmp_path):
    checkpoint = Checkpoint.open(small_checkpoint(tmp_path))
    assert voxel_size_warning(checkpoint, (8, 8, 8), "em") is None
    trained = replace(checkpoint, description=replace(checkpoint.description, voxel_size=(8.0, 8.0, 8.0)))
    assert voxel_size_warning(trained, (10, 8, 8), "em") is None
    assert voxel_size_warning(trained, None, "em") is None
    warning = voxel_size_warning(trained, (30, 8, 8), "em")
    assert warning is not None
    assert "30 x 8 x 8 nm" in warning
    assert "8 x 8 x 8 nm" in warning
