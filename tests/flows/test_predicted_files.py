"""A network over a folder of files, each by itself."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import tifffile

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.inference.predictor import PredictionError
from axonloom.stages.tool_stage import tool_stage
from axonloom.volumes import VolumeError, open_volume
from tests.flows.block_files import noise, plans, run, settings, small_checkpoint, volume_of


@pytest.fixture
def image() -> np.ndarray:
    return noise()


def test_images_that_a_network_does_not_know_are_refused(tmp_path, image):
    checkpoint = str(small_checkpoint(tmp_path))
    run(
        "split", tmp_path, split__source=volume_of(tmp_path, image.astype(np.uint16)), split__target=str(tmp_path / "b")
    )
    with pytest.raises(PredictionError, match="holds uint16"):
        plans(
            "predict",
            tmp_path,
            predict__source=str(tmp_path / "b"),
            predict__target=str(tmp_path / "p"),
            infer__checkpoint=checkpoint,
        )


def test_predicted_file_by_file_is_the_whole_but_near_the_files_ends(tmp_path, image):
    source, checkpoint = volume_of(tmp_path, image), str(small_checkpoint(tmp_path))
    network = {
        "infer__checkpoint": checkpoint,
        "infer__device": "cpu",
        "infer__stride": [8, 16, 16],
        "infer__window": [8, 16, 16],
    }
    configuration = load_configuration(None, settings(tmp_path, **network, volumes__image__path=source))
    direct = Chain(configuration).infer
    assert not run_alone(direct).failed
    whole = open_volume(str(direct.folder / "affinities.zarr")).read()
    # Blocks and overlaps of whole windows: files have the windows that the volume has.
    run(
        "split", tmp_path, split__source=source, split__target=str(tmp_path / "blocks"), split__block=[16, 32, 32],
        split__overlap=[8, 16, 16],
    )  # fmt: skip
    run(
        "predict",
        tmp_path,
        **network,
        predict__source=str(tmp_path / "blocks"),
        predict__target=str(tmp_path / "predicted"),
    )
    run(
        "join",
        tmp_path,
        join__source=str(tmp_path / "predicted"),
        join__target=str(tmp_path / "a.zarr"),
        join__how="crop",
    )
    np.testing.assert_array_equal(open_volume(str(tmp_path / "a.zarr")).read(), whole)
    # Blended, all files that hold a voxel have a say; here they agree but at the volume's far ends, where windows reach out.
    run("join", tmp_path, join__source=str(tmp_path / "predicted"), join__target=str(tmp_path / "b.zarr"))
    blended = open_volume(str(tmp_path / "b.zarr")).read()
    np.testing.assert_array_equal(blended[:, :16, :32, :32], whole[:, :16, :32, :32])


def test_a_folder_with_holes_is_predicted_file_by_file_and_not_joined(tmp_path, image):
    """Chunks of a region, of which one is missing: what is there is predicted, and joining names what is not."""
    (tmp_path / "chunks").mkdir()
    for z in (0, 16):
        for y in (0, 35):
            if (z, y) != (16, 0):
                tifffile.imwrite(
                    tmp_path / "chunks" / f"em_{100 + z}-{100 + z + 16}-{y}-{y + 35}-0-65.tif",
                    image[z : z + 16, y : y + 35],
                )
    network = {"infer__checkpoint": str(small_checkpoint(tmp_path)), "infer__device": "cpu"}
    plan = run(
        "predict", tmp_path, **network, predict__source=str(tmp_path / "chunks"), predict__target=str(tmp_path / "p")
    )
    hole = "Box[116:132, 0:35, 0:65]"
    assert hole in (tool_stage(plan).warning() or "")
    names = sorted(path.name for path in (tmp_path / "p").glob("*.h5"))
    assert names == ["em_100-116-0-35-0-65.h5", "em_100-116-35-70-0-65.h5", "em_116-132-35-70-0-65.h5"]
    joining = {"join__source": str(tmp_path / "p"), "join__target": str(tmp_path / "a.zarr"), "join__how": "crop"}
    with pytest.raises(VolumeError, match=re.escape(hole)):
        run("join", tmp_path, **joining)
    assert not (tmp_path / "a.zarr").exists()
    # With the missing chunk it is a region, joined where it lies.
    tifffile.imwrite(tmp_path / "chunks" / "em_116-132-0-35-0-65.tif", image[16:32, :35])
    shutil.rmtree(tmp_path / "p")
    run("predict", tmp_path, **network, predict__source=str(tmp_path / "chunks"), predict__target=str(tmp_path / "p"))
    run("join", tmp_path, **joining)
    found = open_volume(str(tmp_path / "a.zarr"))
    assert (found.shape, tuple(found.offset)) == ((32, 70, 65), (100, 0, 0))
    alone = open_volume(str(tmp_path / "p" / "em_116-132-35-70-0-65.h5")).read()
    np.testing.assert_array_equal(found.read()[:, 16:, 35:], alone)
