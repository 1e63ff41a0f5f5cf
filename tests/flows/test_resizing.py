"""Volumes at another voxel size, against scikit-image over the whole volume."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.transform import resize

from axonloom.alone import run_alone
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.stage import StageError, StagePlan
from axonloom.stages.tool_stage import tool_stage
from axonloom.tools import TOOLS
from axonloom.volumes import create_volume, open_volume
from tests.flows.test_failures import axonloom, finished

SHAPE = (33, 141, 65)


def volume_of(folder: Path, array: np.ndarray, voxel_size: tuple[float, float, float] | None = (40, 8, 8)) -> str:
    shape, channels = array.shape[-3:], array.shape[0] if array.ndim == 4 else None
    made = create_volume(
        str(folder / "em.zarr"), shape=shape, dtype=array.dtype, channels=channels, voxel_size=voxel_size,
        offset=(4, 16, 0),
    )  # fmt: skip
    made.write(made.box, array)
    return made.uri


def run(folder: Path, source: str, target: str = "out.zarr", blocks: tuple[int, ...] = (64, 64, 64), **given: object):
    section = {"source": source, "target": str(folder / target), **given}
    typed = [f"workspace={folder / 'work'}", f"blocks.shape={json.dumps(blocks)}", f"resize={json.dumps(section)}"]
    plan: StagePlan
    (plan,) = TOOLS["resize"](load_configuration(None, typed))
    plan.save()
    stage = tool_stage(plan)
    stage.require_own_target()
    assert not run_alone(plan).failed
    stage.finish()
    return open_volume(str(folder / target))


def image_of(dtype: str) -> np.ndarray:
    random = np.random.default_rng(1)
    if dtype == "float32":
        return random.normal(0, 100, SHAPE).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, SHAPE, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [(33, 70, 32), (66, 200, 65), (1, 141, 10)])
def test_an_image_is_that_of_the_whole_volume(tmp_path, dtype, order, shape):
    image = image_of(dtype)
    found = run(tmp_path, volume_of(tmp_path, image), shape=list(shape), order=order).read()
    expected = resize(
        image.astype(np.float64), shape, order, mode="symmetric", anti_aliasing=True, preserve_range=True, clip=False
    )
    if dtype == "float32":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)
    else:
        limits = np.iinfo(dtype)
        rounded = np.clip(np.rint(expected), limits.min, limits.max)
        # Where the exact value is a half, the last digit decides.
        half = np.abs(expected - np.floor(expected) - 0.5) < 1e-6
        np.testing.assert_array_equal(found[~half], rounded[~half])
        assert np.abs(found[half].astype(float) - expected[half]).max(initial=0) <= 0.5 + 1e-6


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_bytes_are_those_of_any_blocks(tmp_path, order):
    source = volume_of(tmp_path, image_of("uint8"))
    checksums = {
        zlib.crc32(run(tmp_path, source, f"{n}.zarr", blocks, voxel_size=[40, 6, 13], order=order).read().tobytes())
        for n, blocks in enumerate([(64, 64, 64), (64, 128, 64), (128, 256, 128)])
    }
    assert len(checksums) == 1


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_labels_keep_their_ids(tmp_path, dtype):
    labels = np.random.default_rng(2).integers(0, 2**31, SHAPE).astype(dtype)
    made = run(tmp_path, volume_of(tmp_path, labels), voxel_size=[40, 20, 3])
    # The old voxel that holds each centre, one by one.
    at = [
        np.array([min(int((i + 0.5) * step), n - 1) for i in range(m)])
        for n, m, step in zip(SHAPE, made.shape, (1, 2.5, 0.375), strict=True)
    ]
    assert made.shape == (33, 56, 173)
    np.testing.assert_array_equal(made.read(), labels[np.ix_(*at)])
    assert (made.voxel_size, made.offset) == ((40, 20, 3), (4, 6, 0))


def test_channels_and_smoothness(tmp_path):
    ramp = np.broadcast_to(np.arange(141, dtype=np.float32)[None, :, None], SHAPE)
    both = np.stack([ramp, -ramp])
    found = run(tmp_path, volume_of(tmp_path, both), shape=[33, 282, 65]).read()
    assert found.shape == (2, 33, 282, 65)
    np.testing.assert_allclose(
        found[0, :, 1:-1], np.broadcast_to((np.arange(1, 281) / 2 - 0.25)[None, :, None], (33, 280, 65)), atol=1e-4
    )
    np.testing.assert_array_equal(found[1], -found[0])


def test_a_single_section_that_becomes_thicker(tmp_path):
    image = image_of("uint8")[:1]
    made = run(tmp_path, volume_of(tmp_path, image), voxel_size=[160, 8, 8])
    assert made.shape == (1, 141, 65)
    np.testing.assert_array_equal(made.read(), image)


def test_what_is_refused(tmp_path):
    source = volume_of(tmp_path, image_of("uint8"), None)
    with pytest.raises(StageError, match=r"does not say its voxel size: set resize\.source_voxel_size"):
        run(tmp_path, source, voxel_size=[40, 8, 8])
    with pytest.raises(ConfigurationError, match=r"neither resize\.voxel_size nor resize\.shape is set"):
        run(tmp_path, source)
    with pytest.raises(ConfigurationError, match="say the size twice"):
        run(tmp_path, source, voxel_size=[40, 8, 8], shape=[3, 3, 3])
    with pytest.raises(ConfigurationError, match=r"resize\.voxel_size"):
        run(tmp_path, source, voxel_size=[40, 0, 8])
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.flow
def test_from_the_command_line(prefect_api, tmp_path):
    image = image_of("uint8")
    tifffile.imwrite(tmp_path / "em.tif", image)
    given = ["--set", f"workspace={tmp_path / 'work'}", "--set", "resize.shape=[33,70,32]"]
    code, output = finished(axonloom(prefect_api, "tools", "resize", tmp_path / "em.tif", tmp_path / "out.tif", *given))
    assert code == 0, output
    assert tifffile.imread(tmp_path / "out.tif").shape == (33, 70, 32)
    code, output = finished(
        axonloom(prefect_api, "tools", "resize", tmp_path / "no.tif", tmp_path / "out2.tif", *given)
    )
    assert (code, "no.tif" in output) == (2, True)
