"""Masks of affinities, against scipy and scikit-image over the whole volume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import remove_small_holes, remove_small_objects

from axonloom.alone import run_alone
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.stage import StageError
from axonloom.stages.tool_stage import require_own_targets, tool_stage
from axonloom.tools import TOOLS
from axonloom.volumes import VolumeError, create_volume, open_volume
from tests.flows.test_failures import axonloom, finished

SHAPE = (33, 70, 65)


def made(uri: object, array: np.ndarray) -> str:
    channels = array.shape[0] if array.ndim == 4 else None
    volume = create_volume(
        str(uri), shape=array.shape[-3:], dtype=array.dtype, channels=channels, voxel_size=(40, 8, 8), offset=(5, 0, 8)
    )
    volume.write(volume.box, array)
    return volume.uri


def run(
    folder: Path, target: str | None = "mask.zarr", blocks: tuple[int, ...] = (16, 32, 32), **section: object
) -> np.ndarray:
    section = {"target": str(folder / target) if target is not None else None, **section}
    typed = [f"workspace={folder / 'work'}", f"blocks.shape={json.dumps(blocks)}", f"make_mask={json.dumps(section)}"]
    plans = TOOLS["make_mask"](load_configuration(None, typed))
    for plan in plans:
        plan.save()
    require_own_targets(plans)
    for plan in plans:
        assert not run_alone(plan).failed
        tool_stage(plan).finish()
    assert target is not None
    found = open_volume(str(folder / target))
    assert (found.dtype, found.voxel_size, found.offset) == (np.uint8, (40, 8, 8), (5, 0, 8))
    return found.read()


@pytest.fixture
def affinities() -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 1, (3, *SHAPE))
    smooth = ndimage.gaussian_filter(noise, (0, 1.5, 2, 2))
    return np.clip(128 + smooth * 600, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("reduce", ["mean", "min", "max"])
@pytest.mark.parametrize("smoothing", [(0, 0, 0), (1, 2.5, 0)])
def test_threshold_and_smoothing(tmp_path, affinities, reduce, smoothing):
    found = run(
        tmp_path, source=made(tmp_path / "a.zarr", affinities), reduce=reduce, smoothing=smoothing, threshold=0.55
    )
    grey = getattr(np, reduce)(affinities.astype(np.float64), axis=0)
    np.testing.assert_array_equal(found, ndimage.gaussian_filter(grey, smoothing, mode="reflect") >= 0.55 * 255)


@pytest.mark.parametrize("blocks", [(16, 32, 32), (33, 70, 65), (8, 16, 64), (32, 69, 64)])
def test_pieces_and_holes_are_those_of_the_whole_volume(tmp_path, affinities, blocks):
    source = made(tmp_path / "a.zarr", affinities)
    found = run(tmp_path, blocks=blocks, source=source, threshold=0.5, min_size=60, holes=100)
    raw = affinities.astype(np.float64).mean(0) >= 0.5 * 255
    expected = remove_small_holes(remove_small_objects(raw, max_size=59), max_size=99)
    removed, filled = raw & ~expected, expected & ~raw
    assert removed.any()
    assert filled.any()
    np.testing.assert_array_equal(found, expected)


def test_below_and_floats(tmp_path, affinities):
    image = (affinities[0] / 255).astype(np.float32)
    found = run(tmp_path, source=made(tmp_path / "a.zarr", image), threshold=0.25, below=True)
    np.testing.assert_array_equal(found, image.astype(np.float64) < 0.25)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"source": "nowhere.zarr"}, r"nowhere\.zarr"),
        ({"threshold": 1.2}, r"make_mask\.threshold"),
        ({"target": None}, "are not set"),
        ({"smoothing": [1, 1, -1]}, r"make_mask\.smoothing"),
    ],
)
def test_what_is_refused(tmp_path, affinities, given, sentence):
    section = {"source": made(tmp_path / "a.zarr", affinities), **given}
    with pytest.raises((VolumeError, StageError, ConfigurationError), match=sentence):
        run(tmp_path, **section)
    assert not (tmp_path / "mask.zarr").exists()


@pytest.mark.flow
def test_from_the_command_line(prefect_api, tmp_path, affinities):
    source = made(tmp_path / "a.zarr", affinities)
    code, output = finished(
        axonloom(prefect_api, "tools", "make-mask", source, tmp_path / "mask.tif", "--set", f"workspace={tmp_path / 'work'}",
                 "--set", "make_mask.min_size=300", "--set", "blocks.shape=[16,32,32]")
    )  # fmt: skip
    assert code == 0, output
    raw = affinities.astype(np.float64).mean(0) >= 0.5 * 255
    np.testing.assert_array_equal(
        open_volume(str(tmp_path / "mask.tif")).read(), remove_small_objects(raw, max_size=299)
    )
