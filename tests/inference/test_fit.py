"""Images that a network was not trained for; where there is nothing; through the stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.infer import InferSettings
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.inference.predictor import (
    OutOfMemoryError,
    PredictionError,
    Predictor,
    require_image_fits,
    voxel_size_warning,
)
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.runner import StoppedError
from axonloom.stage import StageError
from axonloom.stages.infer import tissue_factor
from axonloom.verify import verify_stage
from axonloom.volumes import create_volume, open_volume
from tests.flows.block_files import small_checkpoint

SHAPE = (20, 50, 70)


def written(path: Path, array: np.ndarray, voxel_size: tuple[float, float, float] | None = (8, 8, 8)) -> str:
    made = create_volume(str(path), shape=array.shape, dtype=array.dtype, chunk=(8, 16, 16), voxel_size=voxel_size)
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


def test_networks_of_other_types_and_channels_are_refused(tmp_path, image):
    em = open_volume(written(tmp_path / "em.zarr", image))
    deep = open_volume(written(tmp_path / "deep.zarr", image.astype(np.uint16)))
    real = open_volume(written(tmp_path / "real.zarr", image.astype(np.float32)))
    found = Checkpoint.open(small_checkpoint(tmp_path))

    def trained(dtype, mean, **more):
        about = replace(found.description, image_dtype=dtype, normalisation=Normalisation(mean, 1.0), **more)
        return replace(found, description=about)

    settings = InferSettings()
    for checkpoint, good, bad in (
        (trained("uint16", 20.0), deep, em),  # its mean could be one of uint8
        (trained("float32", 0.5), real, em),
        (trained("uint8", 90.0), em, deep),
        (trained(None, 300.0), deep, em),
    ):
        require_image_fits(checkpoint, good, settings)
        with pytest.raises(PredictionError, match=f"{bad.uri} holds {bad.dtype}, and the network was trained on"):
            require_image_fits(checkpoint, bad, settings)
    require_image_fits(trained("float64", 0.5), real, settings)
    two = trained(None, 90.0, parameters={**found.description.parameters, "in_channels": 2})
    with pytest.raises(PredictionError, match=r"has 1 channel, and the network of .* takes 2"):
        require_image_fits(two, em, settings)


def test_a_margin_that_would_do_nothing_is_refused(tmp_path, image):
    with pytest.raises(ConfigurationError, match=r"infer\.margin \(0, 4, 8\) has no effect with infer\.blending crop"):
        chain(tmp_path, image, infer__blending="crop", infer__margin=[0, 4, 8])


def test_without_memory_the_stage_stops_instead_of_failing_block_by_block(tmp_path, image, monkeypatch):
    def full(*_):
        raise OutOfMemoryError("no memory for 1 windows: use a smaller infer.window")

    monkeypatch.setattr(Predictor, "predict", full)
    planned = chain(tmp_path, image, infer__blocks=[8, 16, 16])
    with pytest.raises(StoppedError, match=r"not enough memory for block 0 of infer .*infer\.window"):
        run_alone(planned.infer)
    assert not planned.infer.ledger.read().failed
    monkeypatch.undo()
    assert not run_alone(planned.infer).failed


@pytest.mark.parametrize("factor", [1, 2, (1, 3, 4)])
def test_without_tissue_there_is_nothing_and_nothing_is_read(tmp_path, image, factor):
    factor = (factor,) * 3 if isinstance(factor, int) else factor
    plain = predicted(chain(tmp_path, image))
    coarse = np.zeros([-(-n // f) for n, f in zip(SHAPE, factor, strict=True)], np.uint8)
    coarse[:, : coarse.shape[1] // 2, 1:-2] = 3
    z, y, x = factor
    tissue = written(tmp_path / "tissue.zarr", coarse, (8 * z, 8 * y, 8 * x))
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


@pytest.mark.parametrize(
    ("shape", "voxel_size", "expected"),
    [
        ((10, 25, 35), None, (2, 2, 2)),  # no other factor gives these
        ((2, 4, 5), (80, 128, 128), (10, 16, 16)),  # where 13 to 16 and 14 to 17 would
        ((2, 4, 5), (96, 112, 120), (12, 14, 15)),
        ((2, 4, 5), None, "along z it may be coarser by 10 to 19 times"),
        ((10, 25, 35), (24, 16, 16), "do not go together"),
        ((10, 25, 35), (16.9, 16, 16), "do not go together"),
        ((21, 25, 35), None, "coarser by whole factors"),
    ],
)
def test_how_much_coarser_tissue_is_comes_from_voxel_sizes_where_shapes_leave_a_choice(
    tmp_path, shape, voxel_size, expected
):
    image = open_volume(written(tmp_path / "em.zarr", np.zeros(SHAPE, np.uint8)))
    tissue = open_volume(written(tmp_path / "tissue.zarr", np.zeros(shape, np.uint8), voxel_size))
    if isinstance(expected, tuple):
        assert tissue_factor(tissue, image) == expected
    else:
        with pytest.raises(StageError, match=expected):
            tissue_factor(tissue, image)


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
