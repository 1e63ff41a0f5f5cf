"""PyTorch Connectomics' files and checkpoint, through axonloom, against its own results."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.networks.pytc import build_network
from axonloom.pytc.checkpoints import import_checkpoint
from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.inference import finish_inference, plan_inference
from axonloom.volumes import open_volume
from tests.flows.test_failures import axonloom, finished
from tests.volumes.test_tiles import write_tiles

CONFIG = """
MODEL:
  {ARCHITECTURE: unet_3d, BLOCK_TYPE: residual_se, FILTERS: [8, 16, 16, 24, 32], NORM_MODE: gn, OUT_PLANES: 3, TARGET_OPT: ["2"]}
DATASET: {OUTPUT_PATH: unused}
INFERENCE:
  {INPUT_SIZE: [9, 33, 33], OUTPUT_SIZE: [9, 33, 33], OUTPUT_ACT: [sigmoid], STRIDE: [4, 16, 16], PAD_SIZE: [4, 8, 8],
   IMAGE_NAME: image.tif, AUG_NUM: None}
"""


@pytest.fixture
def project(shared: Path, tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with np.load(shared / "oracle" / "pytc" / "inference_v1.npz") as arrays:
        tifffile.imwrite(tmp_path / "image.tif", arrays["image"])
    return tmp_path


def words(project: Path, *more: str) -> list[str]:
    return ["INFERENCE.INPUT_PATH", str(project), "INFERENCE.OUTPUT_PATH", str(project / "out"), *more]


def result_of(
    project: Path, checkpoint: Path, more: list[str], *, compat: bool, **settings: object
) -> tuple[Path, np.ndarray]:
    given = PytcConfiguration.load(None, project / "config.yaml", words(project, *more))
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    planned = plan_inference(given, checkpoint, ["infer.device=cpu", *overrides], compat=compat)
    stages = [Chain(configuration).infer for configuration in planned.configurations]
    for stage in stages:
        report = run_alone(stage)
        assert not report.failed, report.failed
    finish_inference(planned, [s.folder for s in stages], [s.fingerprint for s in stages])
    if planned.result.chunks is not None:
        files = planned.result.files(open_volume(project / "image.tif").shape)
        whole = np.zeros((3, *(max(box.stop[axis] for _, box in files) for axis in range(3))), np.uint8)
        for path, box in files:
            with h5py.File(path) as file:
                whole[(slice(None), *box.slices)] = file["vol0"][:]
        return files[0][0], whole
    with h5py.File(planned.result.path) as file:
        return planned.result.path, file["vol0"][:]


def cases(shared: Path) -> list[dict]:
    return json.loads((shared / "oracle" / "pytc" / "inference_v1.json").read_text())["cases"]


QUICK = ["gaussian_noaug", "gaussian_mean4", "nounpad"]
LONG = ["bump_noaug", "gaussian_min8", "gaussian_mean16", "stride_uneven", "scale"]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_compat_gives_its_own_numbers(shared, project, name):
    oracle = shared / "oracle" / "pytc"
    (case,) = (c for c in cases(shared) if c["name"] == name)
    path, found = result_of(project, oracle / "checkpoint_00003.pth.tar", case["extra"], compat=True)
    assert path.name == case["file"]
    assert list(found.shape) == case["shape"]
    with np.load(oracle / "inference_v1.npz") as arrays:
        difference = np.abs(found.astype(int) - arrays[name])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_every_case_is_tried(shared):
    assert sorted(case["name"] for case in cases(shared)) == sorted([*QUICK, *LONG])


def test_without_compat_blocks_leave_no_trace_and_views_are_right(shared, project):
    checkpoint = shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar"
    more = ["INFERENCE.AUG_NUM", "4", "INFERENCE.OUTPUT_NAME", "a.h5"]
    _, whole = result_of(project, checkpoint, more, compat=False, **{"infer.blocks": [64, 128, 128]})
    more[-1] = "b.h5"
    path, blocked = result_of(project, checkpoint, more, compat=False, **{"infer.blocks": [20, 40, 80]})
    assert path.name == "b_xy.h5"
    np.testing.assert_array_equal(whole, blocked)
    more[-1] = "c.h5"
    _, wrong = result_of(project, checkpoint, more, compat=True)
    assert (np.abs(whole.astype(int) - wrong) > 1).mean() > 0.05


@pytest.mark.flow
def test_from_the_command_line_with_two_images_and_again(prefect_api, shared, project):
    with np.load(shared / "oracle" / "pytc" / "inference_v1.npz") as arrays:
        tifffile.imwrite(project / "second.tif", arrays["image"][:10, :40, :44])
        expected = arrays["gaussian_noaug"]
    command = [
        "infer", "--pytc-base", project / "config.yaml", "--pytc-config", project / "config.yaml",
        "--checkpoint", shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar", "--pytc-compat", "--set", "infer.device=cpu",
        *words(project, "INFERENCE.IMAGE_NAME", "['image.tif', 'second.tif']"),
    ]  # fmt: skip
    code, output = finished(axonloom(prefect_api, *command))
    assert code == 0, output
    result = project / "out" / "result.h5"
    assert f"wrote {result}" in output
    with h5py.File(result) as file:
        assert set(file) == {"vol0", "vol1"}
        assert np.abs(file["vol0"][:].astype(int) - expected).max() <= 1
        assert (file["vol1"].shape, file["vol1"].dtype, file["vol1"].compression) == ((3, 10, 40, 44), np.uint8, "gzip")
    before = result.stat().st_mtime_ns
    code, output = finished(axonloom(prefect_api, *command))
    assert code == 0, output
    assert f"unchanged: {result}" in output
    assert result.stat().st_mtime_ns == before


@pytest.mark.flow
@pytest.mark.slow
def test_several_targets_from_the_command_line(prefect_api, shared, project):
    """As in SNEMI-Affinity-Contour and -LR: all channels of all targets in one data set an image, as there."""
    (project / "config.yaml").write_text(
        CONFIG.replace("OUT_PLANES: 3", "OUT_PLANES: 7")
        .replace('TARGET_OPT: ["2"]', 'TARGET_OPT: ["2", "4-1-1", "2-2-3-3-v1"]')
        .replace("OUTPUT_ACT: [sigmoid]", "OUTPUT_ACT: [sigmoid, sigmoid, sigmoid]")
    )
    given = PytcConfiguration.load(None, project / "config.yaml").for_inference()
    network = build_network(given["MODEL"])
    torch.save({"iteration": 7, "state_dict": network.state_dict()}, project / "seven.pth.tar")
    command = [
        "infer", "--pytc-config", project / "config.yaml", "--checkpoint", project / "seven.pth.tar", "--set", "infer.device=cpu",
        *words(project, "INFERENCE.STRIDE", "[9, 33, 33]"),
    ]  # fmt: skip
    for _ in range(2):
        code, output = finished(axonloom(prefect_api, *command))
        assert code == 0, output
        with h5py.File(project / "out" / "result.h5") as file:
            assert set(file) == {"vol0"}
            assert (file["vol0"].shape, file["vol0"].dtype) == ((7, 20, 70, 76), np.uint8)
            assert all(len(np.unique(channel)) > 1 for channel in file["vol0"][:])
    assert "unchanged:" in output


def test_a_checkpoint_is_taken_in_once(shared, project):
    path = shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar"
    given = PytcConfiguration.load(None, project / "config.yaml").for_inference()
    first = import_checkpoint(path, given, project / "imported")
    before = (first.folder / "model.json").stat().st_ino
    assert import_checkpoint(path, given, project / "imported").folder == first.folder
    assert (first.folder / "model.json").stat().st_ino == before
    other = PytcConfiguration.load(None, project / "config.yaml", ["DATASET.MATCH_ACT", "sigmoid"]).for_inference()
    assert import_checkpoint(path, other, project / "imported").folder != first.folder


@pytest.mark.parametrize(("match", "black", "white"), [("none", -1, 1), ("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_grey_levels_go_to_what_the_activation_gives(shared, project, match, black, white):
    path = shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar"
    given = PytcConfiguration.load(None, project / "config.yaml", ["DATASET.MATCH_ACT", match]).for_inference()
    found = import_checkpoint(path, given, project / "imported").normalisation
    assert found.apply(np.array([[[[0, 255]]]], np.uint8)).ravel().tolist() == [black, white]


def test_a_file_of_others_is_not_replaced(shared, project):
    (project / "out").mkdir()
    (project / "out" / "result.h5").write_bytes(b"mine")
    with pytest.raises(PytcError, match="was not made by axonloom"):
        result_of(project, shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar", [], compat=True)
    assert (project / "out" / "result.h5").read_bytes() == b"mine"


def test_weights_are_taken_over_unchanged(shared, project):
    path = shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar"
    given = PytcConfiguration.load(None, project / "config.yaml").for_inference()
    found = import_checkpoint(path, given, project / "imported")
    stored = torch.load(path, weights_only=True)["state_dict"]
    assert found.iteration == 3
    assert found.weights().keys() == stored.keys()
    assert all(torch.equal(found.weights()[key], value) for key, value in stored.items())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["MODEL.FILTERS", "[8, 16, 16, 24, 40]"],
            r"down_layers.4.1.0.weight is \(32, 24, 3, 3, 3\) and should be \(40",
        ),
        (["MODEL.NORM_MODE", "bn"], "conv_in.1.running_mean is missing"),
        (["MODEL.BLOCK_TYPE", "residual"], "down_layers.0.2.conv.0.0.weight is missing"),
        (["MODEL.ARCHITECTURE", "unet_9d"], "MODEL.ARCHITECTURE is 'unet_9d'"),
        (["INFERENCE.OUTPUT_ACT", "['sigmoid', 'sigmoid']"], "one activation a target"),
        (["INFERENCE.AUG_NUM", "5"], "there are None, 4, 8 and 16"),
        (["INFERENCE.OUTPUT_SCALE", "[1, 2, 2]"], "INFERENCE.OUTPUT_SCALE is not supported"),
        (
            ["INFERENCE.DO_CHUNK_TITLE", "1", "DATASET.DATA_CHUNK_NUM", "[1, 90, 1]"],
            r"DATA_CHUNK_NUM \[1, 90, 1\] cannot cut",
        ),
        (
            ["INFERENCE.DO_CHUNK_TITLE", "1", "INFERENCE.IMAGE_NAME", "image.tif@image.tif"],
            "is for one image, and there are 2",
        ),
        (["INFERENCE.DO_CHUNK_TITLE", "1", "DATASET.CHUNK_IND_SPLIT", "0-2"], "one run predicts all chunks"),
        (["INFERENCE.IMAGE_NAME", "gone.tif"], "gone.tif"),
        (["INFERENCE.DO_EVAL", "False"], "INFERENCE.DO_EVAL False is not supported"),
        (["INFERENCE.DO_SINGLY", "True"], "INFERENCE.DO_SINGLY is not supported"),
        (["DATASET.MATCH_ACT", "relu"], "there are none, sigmoid and tanh"),
    ],
)
def test_what_does_not_fit_is_named(shared, project, more, message):
    from axonloom.bad_input import BadInputError

    with pytest.raises(BadInputError, match=message):
        result_of(project, shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar", more, compat=True)


def test_tiles_in_chunks(shared, project):
    checkpoint = shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar"
    _, whole = result_of(project, checkpoint, [], compat=False)
    write_tiles(project / "tiles", tifffile.imread(project / "image.tif"))
    more = [
        "INFERENCE.DO_CHUNK_TITLE",
        "1",
        "DATASET.DATA_CHUNK_NUM",
        "[1, 3, 2]",
        "INFERENCE.IMAGE_NAME",
        "tiles/tiles.json",
    ]
    path, found = result_of(
        project, checkpoint, [*more, "INFERENCE.OUTPUT_PATH", str(project / "chunks")], compat=False
    )
    # As PyTorch Connectomics cuts 70 and 76 voxels.
    assert path.name == "result_0-20-0-23-0-38.h5"
    assert len(list((project / "chunks").glob("*.h5"))) == 6
    np.testing.assert_array_equal(found, whole)
    # A chunk that was deleted is written again, and no other.
    times = {file: file.stat().st_mtime_ns for file in (project / "chunks").glob("*.h5") if file != path}
    path.unlink()
    _, again = result_of(project, checkpoint, [*more, "INFERENCE.OUTPUT_PATH", str(project / "chunks")], compat=False)
    np.testing.assert_array_equal(again, whole)
    assert times == {file: file.stat().st_mtime_ns for file in times}
    path.write_bytes(b"of somebody else")
    with pytest.raises(PytcError, match="was not made by axonloom"):
        result_of(project, checkpoint, [*more, "INFERENCE.OUTPUT_PATH", str(project / "chunks")], compat=False)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"not a checkpoint at all"])
def test_damaged_checkpoints_are_refused(project, content):
    (project / "bad.pth.tar").write_bytes(content)
    with pytest.raises(PytcError, match="is damaged, or no checkpoint"):
        result_of(project, project / "bad.pth.tar", [], compat=True)


def test_code_in_a_checkpoint_is_not_run(project, tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harmed",))

    torch.save({"state_dict": Harm()}, project / "bad.pth.tar")
    with pytest.raises(PytcError, match="is damaged, or no checkpoint"):
        result_of(project, project / "bad.pth.tar", [], compat=True)
    assert not (tmp_path / "harmed").exists()
