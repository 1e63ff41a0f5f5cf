"""``axonloom config check``: what would fail in an hour fails at once."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from axonloom.volumes import create_volume
from tests.state.command import axonloom


@pytest.fixture
def config(tmp_path):
    for name, shape, dtype in (("raw", (9, 10, 11), np.uint8), ("ids", (9, 10, 12), np.uint64)):
        create_volume(f"{tmp_path}/{name}.h5:data", shape=shape, dtype=dtype, voxel_size=(8, 8, 8)).close()
    path = tmp_path / "axonloom.yaml"
    path.write_text(
        yaml.safe_dump({"volumes": {"image": {"path": "raw.h5:data"}, "labels": {"path": "ids.h5:data"}}}),
    )
    return path


def test_labels_of_another_shape_are_found_before_anything_runs(config):
    found = axonloom("config", "check", config)
    assert found.returncode == 2
    assert "volumes.labels has (9, 10, 12) voxels (zyx), volumes.image has (9, 10, 11)" in found.stderr.replace(
        "\n", " "
    )


def test_a_region_makes_them_fit(config):
    cut = "volumes.labels.region={start: [0, 0, 0], stop: [9, 10, 11]}"
    found = axonloom("config", "check", config, "--set", cut)
    assert found.returncode == 0, found.stderr
    assert "the configuration is good" in found.stdout


def test_an_image_with_channels_is_no_image(config, tmp_path):
    create_volume(f"{tmp_path}/rgb.h5:data", shape=(9, 10, 11), dtype=np.uint8, channels=3).close()
    found = axonloom("config", "check", config, "--set", f"volumes.image.path={tmp_path}/rgb.h5:data")
    assert found.returncode == 2
    assert "has 3 channels: an image is one grey value a voxel (z, y, x)" in found.stderr


def test_a_segmentation_that_can_be_none_is_refused(config):
    found = axonloom("config", "check", config, "--set", "volumes.segmentation.path=out.zarr")
    assert found.returncode == 2
    assert "a segmentation is written as precomputed://FOLDER" in found.stderr


def test_the_configuration_of_the_current_folder_is_found(config, monkeypatch, tmp_path):
    monkeypatch.chdir(config.parent)
    assert "volumes.labels has (9, 10, 12) voxels" in axonloom("config", "check").stderr
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "no configuration: name a YAML file" in axonloom("config", "check").stderr
