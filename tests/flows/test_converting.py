"""Volumes from one format to another: every encoding, whole shards, killed, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from cloudvolume import CloudVolume

from axonloom.alone import run_alone
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.geometry import Box
from axonloom.stage import StageError, StagePlan
from axonloom.stages.convert import exactly
from axonloom.stages.tool_stage import forget_what_is_gone, tool_stage
from axonloom.tools import TOOLS
from axonloom.verify import verify_stage
from axonloom.volumes import VolumeError, create_volume, open_volume
from axonloom.volumes.precomputed_info import shard_shape
from tests.flows.test_failures import axonloom, finished

SHAPE = (33, 70, 65)


def run(tool: str, folder: Path, **given: object) -> StagePlan:
    given = {"workspace": str(folder / "work"), "blocks.shape": [16, 32, 32], **given}
    typed = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in given.items()]
    (plan,) = TOOLS[tool](load_configuration(None, typed))
    plan.save()
    stage = tool_stage(plan)
    stage.require_own_target()
    forget_what_is_gone([plan])
    assert not run_alone(plan).failed
    stage.finish()
    return plan


@pytest.fixture
def image(tmp_path) -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "em.tif", values)
    return values


@pytest.fixture
def labels(tmp_path) -> np.ndarray:
    values = np.random.default_rng(4).integers(0, 9, SHAPE).astype(np.uint16)
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["main"] = values
    return values


def by_cloud_volume(folder: Path) -> np.ndarray:
    return np.asarray(CloudVolume(f"file://{folder}", progress=False)[:, :, :])[..., 0].T


@pytest.mark.parametrize("encoding", ["auto", "raw", "png"])
@pytest.mark.parametrize("sharded", [False, True])
def test_an_image_layer(tmp_path, image, encoding, sharded):
    plan = run("to_precomputed", tmp_path, to_precomputed__source=str(tmp_path / "em.tif"),
               to_precomputed__target=str(tmp_path / "layer"), to_precomputed__encoding=encoding,
               to_precomputed__sharded=sharded, to_precomputed__voxel_size=[40, 8, 8],
               to_precomputed__offset=[5, 0, 7], to_precomputed__chunk=[8, 16, 16])  # fmt: skip
    made = open_volume(f"precomputed://{tmp_path / 'layer'}")
    np.testing.assert_array_equal(made.read(), image)
    if encoding != "png":  # cloud-volume's codec of png is a package of its own
        np.testing.assert_array_equal(by_cloud_volume(tmp_path / "layer"), image)
    assert (made.voxel_size, made.offset, made.describe()["layer_type"]) == ((40, 8, 8), (5, 0, 7), "image")
    assert not [v for v in verify_stage(plan) if v.damage is not None or not v.compared]


@pytest.mark.parametrize("sharded", [False, True])
def test_a_segmentation_layer_of_small_ids(tmp_path, labels, sharded):
    run("to_precomputed", tmp_path, to_precomputed__source=str(tmp_path / "labels.h5:main"),
        to_precomputed__target=f"precomputed://{tmp_path / 'layer'}", to_precomputed__type="segmentation",
        to_precomputed__sharded=sharded, to_precomputed__chunk=[8, 16, 16])  # fmt: skip
    made = open_volume(f"precomputed://{tmp_path / 'layer'}")
    assert (made.dtype, made.describe()["encoding"]) == (np.uint32, "compressed_segmentation")
    np.testing.assert_array_equal(made.read(), labels)
    np.testing.assert_array_equal(by_cloud_volume(tmp_path / "layer"), labels)


@pytest.mark.parametrize("shape", [(33, 70, 65), (8, 16, 300), (200, 16, 16), (5, 5, 5), (64, 128, 128)])
def test_a_block_owns_whole_shards(tmp_path, shape):
    from axonloom.volumes.new_volume import LayerLayout

    chunk = (8, 16, 16)
    made = create_volume(
        f"precomputed://{tmp_path / 'layer'}", shape=shape, dtype="uint8", chunk=chunk, layout=LayerLayout(sharded=True)
    )
    reached = [min(-(-n // c) * c, s) for n, c, s in zip(shape, chunk, shard_shape(shape, chunk), strict=True)]
    stored = [min(-(-n // c) * c, s) for n, c, s in zip(shape, chunk, made.chunk, strict=True)]
    assert reached == stored


def test_jpeg_is_near_and_its_quality_counts(tmp_path):
    smooth = (np.indices(SHAPE).sum(0) * 1.4).astype(np.uint8)
    tifffile.imwrite(tmp_path / "smooth.tif", smooth)
    sizes = []
    for quality in (30, 95):
        target = tmp_path / f"jpeg{quality}"
        run("to_precomputed", tmp_path, to_precomputed__source=str(tmp_path / "smooth.tif"),
            to_precomputed__target=str(target), to_precomputed__encoding="jpeg", to_precomputed__quality=quality)  # fmt: skip
        sizes.append(sum(file.stat().st_size for file in target.rglob("*") if file.is_file()))
    assert np.abs(by_cloud_volume(tmp_path / "jpeg95").astype(int) - smooth).mean() < 1
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("target", ["copy.zarr", "copy.h5", "copy.tif"])
def test_a_part_in_another_format(tmp_path, image, target):
    box = Box(start=(3, 10, 0), end=(30, 61, 65))
    run("convert", tmp_path, convert__source=str(tmp_path / "em.tif"), convert__target=str(tmp_path / target),
        convert__region={"start": [3, 10, 0], "stop": [30, 61, 65]}, convert__voxel_size=[40, 8, 8])  # fmt: skip
    made = open_volume(f"{tmp_path / target}:main" if target.endswith(".h5") else str(tmp_path / target))
    np.testing.assert_array_equal(made.read(), image[box.slices])
    assert (made.voxel_size, made.offset) == ((40, 8, 8), (3, 10, 0))


def test_channels_are_kept(tmp_path):
    values = np.random.default_rng(5).random((3, 9, 17, 20)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["main"] = values
    run("convert", tmp_path, convert__source=str(tmp_path / "a.h5:main"), convert__target=str(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(open_volume(str(tmp_path / "a.zarr")).read(), values)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([300], "uint8"),
        ([-1], "uint32"),
        ([2**63], "int64"),
        ([1.5], "int32"),
        ([np.nan], "int32"),
        ([1e300], "float32"),
    ],
)
def test_a_value_that_the_type_does_not_hold(values, dtype):
    with pytest.raises(StageError, match=rf"em.tif holds .*, which is no {dtype}"):
        exactly(np.array(values), np.dtype(dtype), "em.tif")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"encoding": "jpeg", "type": "segmentation", "dtype": "uint8"}, "jpeg changes values"),
        ({"encoding": "compressed_segmentation"}, "compressed_segmentation encodes uint32 and uint64, not uint8"),
        ({"source": "nowhere.tif"}, "nowhere.tif"),
        ({"target": "s3://bucket/layer"}, "precomputed layer is made in a folder"),
        ({"region": {"start": [0, 0, 0], "stop": [34, 70, 65]}}, "reaches outside"),
        ({"target": None}, "are not set"),
    ],
)
def test_what_is_refused(tmp_path, image, given, sentence):
    section = {"source": str(tmp_path / "em.tif"), "target": str(tmp_path / "layer"), **given}
    with pytest.raises((VolumeError, StageError, ConfigurationError), match=sentence):
        run("to_precomputed", tmp_path, to_precomputed=section)
    assert not (tmp_path / "layer").exists()


def test_what_others_made_is_left(tmp_path, image):
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "info").write_text("mine")
    with pytest.raises(StageError, match="is there already and was made otherwise"):
        run(
            "to_precomputed",
            tmp_path,
            to_precomputed__source=str(tmp_path / "em.tif"),
            to_precomputed__target=str(tmp_path / "layer"),
        )
    assert (tmp_path / "layer" / "info").read_text() == "mine"


@pytest.mark.flow
@pytest.mark.slow
def test_from_the_command_line_and_killed(prefect_api, tmp_path):
    values = np.random.default_rng(6).integers(0, 256, (128, 200, 200), dtype=np.uint8)
    source, target = tmp_path / "em.h5", tmp_path / "layer"
    with h5py.File(source, "w") as file:
        file["main"] = values
    given = ["tools", "to-precomputed", f"{source}:main", target, "--set", f"workspace={tmp_path / 'work'}",
             "--set", "blocks.shape=[16,16,16]", "--set", "to_precomputed.sharded=false"]  # fmt: skip
    process = axonloom(prefect_api, *given)
    stages = tmp_path / "work" / "convert"
    deadline = time.monotonic() + 120
    while not any(stages.glob("*/ledger/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not target.exists()
    code, output = finished(axonloom(prefect_api, *given))
    assert code == 0, output
    np.testing.assert_array_equal(by_cloud_volume(target), values)
    code, output = finished(
        axonloom(prefect_api, "tools", "crop", f"precomputed://{target}", tmp_path / "part.tif", "--start", 1, 2, 3,
                 "--stop", 40, 50, 60, "--set", f"workspace={tmp_path / 'work'}")
    )  # fmt: skip
    assert code == 0, output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "part.tif"), values[1:40, 2:50, 3:60])
