"""The comparison: every contender runs, and its scores are those of what it made."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.volumes import open_volume
from benchmarks.contenders.volara import farther
from benchmarks.segmentation import half, slope, write_volumes


def test_a_far_affinity_is_the_least_of_the_near_ones_between():
    affinities = np.zeros((3, 2, 2, 6), np.uint8)
    affinities[2, 0, 0] = [0, 9, 3, 7, 8, 5]
    # The first plane on the axis is no edge, so the first voxel with three edges behind it is the fourth.
    assert farther(affinities, 3)[2, 0, 0].tolist() == [0, 0, 0, 3, 3, 5]
    assert farther(affinities, 1)[2, 0, 0].tolist() == [0, 9, 3, 7, 8, 5]
    assert not farther(affinities, 7).any()


def test_the_slope_leaves_out_what_every_run_costs():
    # 2 s of every run, 1 s a megavoxel; once the machine was busy.
    whole, part = ([{"cpu_s": seconds} for seconds in runs] for runs in ((10.0, 17.0, 9.9), (6.0, 5.9, 6.1)))
    found = slope(whole, part, 8_000_000, 4_000_000)
    assert found["mvox_per_cpu_s"] == 1.0


def test_the_half_is_the_first_half_of_the_longest_axis(tmp_path):
    source, part = tmp_path / "whole", tmp_path / "half"
    source.mkdir()
    part.mkdir()
    assert write_volumes(source, None, (32, 64, 32), (32, 32, 32)) == (32, 64, 32)
    half(source, part, (32, 32, 32))
    labels = open_volume(str(part / "labels.zarr"))
    assert labels.shape == (32, 32, 32)
    assert np.array_equal(labels.read(), open_volume(str(source / "labels.zarr")).read()[:, :32])
    affinities = open_volume(str(part / "affinities.zarr")).read()
    assert np.array_equal(affinities, open_volume(str(source / "affinities.zarr")).read()[:, :, :32])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_run_measures_every_contender(tmp_path):
    phantom = Phantom(seed=3, shape=(32, 64, 64))
    box = Box.of_shape(phantom.shape)
    labels = phantom.labels(box)
    # Perfect affinities: whoever sees the whole volume merges nothing wrong at any threshold.
    affinities = np.zeros((3, *labels.shape), np.uint8)
    for axis in range(3):
        here, before = ([slice(None)] * 3 for _ in range(2))
        here[axis], before[axis] = slice(1, None), slice(None, -1)
        a, b = labels[tuple(here)], labels[tuple(before)]
        affinities[(axis, *here)] = np.where((a == b) & (a > 0), 230, 0)
    with h5py.File(tmp_path / "perfect.h5", "w") as file:
        file["affinities"], file["labels"] = affinities, labels
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.segmentation", str(tmp_path / "perfect.h5"), "--json", "--slope"),
            *("--blocks", "32", "32", "32", "--large-blocks", "32", "32", "64", "--thresholds", "0.3", "0.5"),
            *("--only", "axonloom", "axonloom_aff60_his32", "axonloom_multicut", "waterz_whole", "waterz_blocks"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    whole = ("axonloom", "axonloom_aff60_his32", "axonloom_multicut", "waterz_whole")
    blocks = ("waterz_blocks",)
    for name in whole:
        assert found[name]["voi_merge"] < 0.01
    for name in blocks:
        # An object on both sides of the face between the blocks is two.
        assert found[name]["voi_split"] > found["waterz_whole"]["voi_split"] + 0.1
    for name in (*whole, *blocks):
        entry = found[name]
        assert entry["cpu_s"] > 0
        assert entry["peak_bytes"] > 0
        assert entry["voi_at"].keys() == {"0.3", "0.5"}
        assert entry["voi"] == pytest.approx(min(entry["voi_at"].values()), abs=1e-9)
        assert entry["predicted_zero"].keys() == {"segment", "singletons", "drop"}
    assert found["slope"]["half_voxels"] * 2 == found["voxels"]
