"""Coarser scales for layers that others made: here, block by block, killed, and by wrong hands."""

from __future__ import annotations

import os
import shutil
import signal
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cloudvolume import CloudVolume

from axonloom.alone import run_alone
from axonloom.config.downsample import DownsampleSettings
from axonloom.config.load import ConfigurationError
from axonloom.stage import StageError
from axonloom.stages.downsample import DownsampleStage
from axonloom.stages.tool_stage import forget_what_is_gone, require_own_targets, tool_stage
from axonloom.verify import verify_stage
from axonloom.volumes import VolumeError, create_volume, open_volume
from tests.flows.test_failures import axonloom, finished

SHAPE = (33, 70, 65)


def layer_of(folder: Path, array: np.ndarray, kind: str = "image", encoding: str = "raw", resolution=(8, 8, 8)) -> str:
    """A layer as cloud-volume writes it, of one scale; ``array`` is (z, y, x), the resolution xyz."""
    info = CloudVolume.create_new_info(
        num_channels=1,
        layer_type=kind,
        data_type=str(array.dtype),
        encoding=encoding,
        resolution=resolution,
        voxel_offset=(0, 0, 0),
        volume_size=array.shape[::-1],
        chunk_size=(32, 16, 8),
    )
    layer = CloudVolume(f"file://{folder}", info=info, compress=False, progress=False)
    layer.commit_info()
    layer[:, :, :] = array.T[..., None]
    return f"precomputed://{folder}"


def cells(array: np.ndarray, factor: tuple[int, int, int]):
    counts = [-(-n // f) for n, f in zip(array.shape, factor, strict=True)]
    for at in product(*map(range, counts)):
        yield at, array[tuple(slice(a * f, (a + 1) * f) for a, f in zip(at, factor, strict=True))]


def mean_of(array: np.ndarray, factor: tuple[int, int, int]) -> np.ndarray:
    """By padding with what has no weight; exact for integers, halves to even."""
    pad = [(0, -n % f) for n, f in zip(array.shape, factor, strict=True)]
    values, weights = np.pad(array.astype(np.float64), pad), np.pad(np.ones(array.shape), pad)
    for axis, f in enumerate(factor):
        split = (*values.shape[:axis], values.shape[axis] // f, f, *values.shape[axis + 1 :])
        values, weights = values.reshape(split).sum(axis + 1), weights.reshape(split).sum(axis + 1)
    return np.rint(values / weights).astype(array.dtype)


def run_all(plans) -> None:
    for plan in plans:
        assert not run_alone(plan).failed


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.mark.flow
def test_an_image_from_the_command_line(prefect_api, tmp_path, image):
    layer = layer_of(tmp_path / "em", image)
    given = [
        "--set", f"workspace={tmp_path / 'work'}", "--set", "blocks.shape=[8,16,32]", "--set", "downsample.mips=3",
    ]  # fmt: skip
    code, output = finished(axonloom(prefect_api, "tools", "downsample", layer, *given))
    assert code == 0, output
    expected = image
    for mip in (1, 2, 3):
        expected = mean_of(expected, (2, 2, 2))
        found = open_volume(f"{layer}?mip={mip}")
        np.testing.assert_array_equal(found.read(), expected)
        assert found.voxel_size == (8 * 2**mip,) * 3
        theirs = CloudVolume(f"file://{tmp_path / 'em'}", mip=mip, progress=False)[:, :, :]
        np.testing.assert_array_equal(np.asarray(theirs)[..., 0].T, expected)
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=3), (8, 16, 32), tmp_path / "work")
    lines = [len(list(plan.ledger.facts())) for plan in plans]
    assert lines == [len(plan.grid) for plan in plans]
    code, output = finished(axonloom(prefect_api, "tools", "downsample", layer, *given))
    assert code == 0, output
    assert [len(list(plan.ledger.facts())) for plan in plans] == lines
    code, output = finished(axonloom(prefect_api, "status", *given, "--set", f"downsample.layer={layer}"))
    assert code == 0, output
    assert "downsample 3" in output
    assert "missing" not in output


@pytest.mark.slow
@pytest.mark.flow
def test_killed_and_run_again(prefect_api, tmp_path):
    image = np.random.default_rng(5).integers(0, 60000, (96, 256, 256), dtype=np.uint16)
    layer = layer_of(tmp_path / "em", image)
    given = ["tools", "downsample", layer, "--set", f"workspace={tmp_path / 'work'}", "--set", "blocks.shape=[8,32,64]",
             "--set", "downsample.mips=2", "--set", "downsample.factor=[1,2,2]"]  # fmt: skip
    plans = DownsampleStage.planned(
        DownsampleSettings(layer=layer, mips=2, factor=(1, 2, 2)), (8, 32, 64), tmp_path / "work"
    )
    process = axonloom(prefect_api, *given)
    while process.poll() is None and len(plans[0].ledger.read().done) < 20:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(plans[0].ledger.read().done)
    assert 20 <= done < len(plans[0].grid)
    code, output = finished(axonloom(prefect_api, *given))
    assert code == 0, output
    expected = mean_of(image, (1, 2, 2))
    np.testing.assert_array_equal(open_volume(f"{layer}?mip=1").read(), expected)
    np.testing.assert_array_equal(open_volume(f"{layer}?mip=2").read(), mean_of(expected, (1, 2, 2)))
    finished_lines = list(plans[0].ledger.facts())
    assert len(finished_lines) == len(plans[0].grid)


@pytest.mark.parametrize(("dtype", "encoding"), [("uint32", "compressed_segmentation"), ("uint64", "raw")])
def test_labels_of_others_by_the_most_frequent(tmp_path, dtype, encoding):
    labels = np.random.default_rng(6).choice(np.array([0, 3, 2**31, 7], dtype), SHAPE)
    layer = layer_of(tmp_path / "seg", labels, "segmentation", encoding, resolution=(4, 4, 40))
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=1), (16, 32, 32), tmp_path / "work")
    run_all(plans)
    found = open_volume(f"{layer}?mip=1").read()
    # Sections of 40 nm wait until the others have caught up.
    for at, cell in cells(labels, (1, 2, 2)):
        ids, counts = np.unique(cell, return_counts=True)
        assert found[at] == ids[np.argmax(counts)]


def test_the_end_is_one_voxel(tmp_path, image):
    layer = layer_of(tmp_path / "em", image)
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=16), (8, 16, 32), tmp_path / "work")
    run_all(plans)
    assert open_volume(f"{layer}?mip={len(plans)}").shape == (1, 1, 1)
    assert not [v for plan in plans for v in verify_stage(plan) if v.damage is not None or not v.compared]


def test_scales_of_others_are_not_overwritten(tmp_path, image):
    layer = layer_of(tmp_path / "em", image)
    run_all(DownsampleStage.planned(DownsampleSettings(layer=layer, mips=1), (8, 16, 32), tmp_path / "theirs"))
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=2), (8, 16, 32), tmp_path / "work")
    with pytest.raises(StageError, match=r"\?mip=1 is there already.*name the coarsest"):
        require_own_targets(plans)
    above = DownsampleStage.planned(DownsampleSettings(layer=f"{layer}?mip=1", mips=1), (8, 16, 32), tmp_path / "work")
    require_own_targets(above)
    run_all(above)
    np.testing.assert_array_equal(open_volume(f"{layer}?mip=2").read(), mean_of(mean_of(image, (2, 2, 2)), (2, 2, 2)))


def test_a_scale_that_was_deleted_is_made_anew(tmp_path, image):
    layer = layer_of(tmp_path / "em", image)
    info = (tmp_path / "em" / "info").read_bytes()
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=1), (8, 16, 32), tmp_path / "work")
    run_all(plans)
    whole = open_volume(f"{layer}?mip=1").read()
    for chunk in (tmp_path / "em" / "16_16_16").iterdir():
        chunk.unlink()
    (tmp_path / "em" / "16_16_16").rmdir()
    (tmp_path / "em" / "info").write_bytes(info)
    require_own_targets(plans)
    forget_what_is_gone(plans)
    run_all(plans)
    np.testing.assert_array_equal(open_volume(f"{layer}?mip=1").read(), whole)


def test_another_method_takes_the_place_of_the_first(tmp_path, image):
    layer = layer_of(tmp_path / "em", image)
    for method, before in (("mean", None), ("mode", "mean"), ("mean", "mode")):
        plans = DownsampleStage.planned(
            DownsampleSettings(layer=layer, mips=1, method=method), (8, 16, 32), tmp_path / "work"
        )
        require_own_targets(plans)
        told = tool_stage(plans[0]).warning()
        assert (
            told is None if before is None else f"with method {before}" in told and f"over with method {method}" in told
        )
        run_all(plans)
        assert tool_stage(plans[0]).warning() is None
    np.testing.assert_array_equal(open_volume(f"{layer}?mip=1").read(), mean_of(image, (2, 2, 2)))


def test_a_scale_that_is_listed_without_data_is_made(tmp_path, image):
    layer = layer_of(tmp_path / "em", image)
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=1), (8, 16, 32), tmp_path / "work")
    run_all(plans)
    shutil.rmtree(tmp_path / "em" / "16_16_16")
    forget_what_is_gone(plans)
    run_all(plans)
    np.testing.assert_array_equal(open_volume(f"{layer}?mip=1").read(), mean_of(image, (2, 2, 2)))


def test_a_lossy_image_is_made_and_says_that_there_is_nothing_to_compare(tmp_path):
    smooth = np.add.outer(np.add.outer(np.arange(16), np.arange(32)), np.arange(64)).astype(np.uint8)
    layer = layer_of(tmp_path / "em", smooth, encoding="jpeg")
    plans = DownsampleStage.planned(DownsampleSettings(layer=layer, mips=1), (8, 16, 32), tmp_path / "work")
    run_all(plans)
    found = open_volume(f"{layer}?mip=1").read().astype(int)
    assert np.abs(found - mean_of(open_volume(layer).read(), (2, 2, 2))).max() <= 6
    assert all(verdict.damage is None for verdict in verify_stage(plans[0]))


def test_what_cannot_take_scales_is_refused(tmp_path, image):
    other = create_volume(str(tmp_path / "em.zarr"), shape=SHAPE, dtype=np.uint8, chunk=(8, 16, 32))
    other.write(other.box, image)
    for layer, error, words in (
        (None, ConfigurationError, "downsample.layer is not set"),
        (str(tmp_path / "em.zarr"), StageError, "scales are added to precomputed layers"),
        (f"precomputed://{tmp_path / 'nothing'}", VolumeError, "nothing"),
    ):
        with pytest.raises(error, match=words):
            DownsampleStage.planned(DownsampleSettings(layer=layer), (8, 16, 32), tmp_path / "work")
    with pytest.raises(ValueError, match="nothing coarser"):
        DownsampleSettings(factor=(1, 1, 1))
