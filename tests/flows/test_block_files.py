"""A volume to overlapping files, a network over them, and back: here, killed, with holes, and over what others made."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.geometry import Box
from axonloom.inference.predictor import PredictionError
from axonloom.networks.checkpoint import ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build
from axonloom.stage import StageError, StagePlan
from axonloom.stages.tool_stage import forget_what_is_gone, require_own_targets, tool_stage
from axonloom.tools import TOOLS
from axonloom.verify import repair, verify_stage
from axonloom.volumes import VolumeError, create_volume, open_volume
from axonloom.volumes.block_files import BlockFiles, first_hole
from tests.flows.test_failures import axonloom, finished

SHAPE = (33, 70, 65)


def volume_of(folder: Path, array: np.ndarray, name: str = "em.zarr") -> str:
    made = create_volume(
        str(folder / name),
        shape=array.shape,
        dtype=array.dtype,
        chunk=(16, 16, 16),
        voxel_size=(40, 8, 8),
        offset=(5, 0, 7),
    )
    made.write(made.box, array)
    return str(folder / name)


def settings(folder: Path, **given: object) -> list[str]:
    given = {"workspace": str(folder / "work"), "blocks.shape": [16, 32, 32], **given}
    return [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in given.items()]


def plans(tool: str, folder: Path, **given: object) -> tuple[StagePlan, ...]:
    return TOOLS[tool](load_configuration(None, settings(folder, **given)))


def run(tool: str, folder: Path, **given: object) -> StagePlan:
    (plan,) = plans(tool, folder, **given)
    plan.save()
    require_own_targets([plan])
    report = run_alone(plan)
    assert not report.failed, report.failed
    tool_stage(plan).finish()
    return plan


def cut(folder: Path, array: np.ndarray) -> StagePlan:
    """Files of an array in the folder ``b``."""
    source = volume_of(folder, array)
    return run("split", folder, split__source=source, split__target=str(folder / "b"), split__block=[20] * 3)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.mark.parametrize("format", ["tif", "h5"])
@pytest.mark.parametrize("how", ["blend", "crop"])
def test_split_and_joined_is_what_it_was(tmp_path, image, format, how):
    source = volume_of(tmp_path, image)
    split = run(
        "split", tmp_path, split__source=source, split__target=str(tmp_path / "blocks"), split__block=[16, 32, 64],
        split__overlap=[2, 5, 9], split__format=format,
    )  # fmt: skip
    files = BlockFiles.open(tmp_path / "blocks")
    # A last block of one voxel on each axis.
    assert len(files.files) == 3 * 3 * 2
    assert files.files[-1].box == Box(start=(30, 59, 55), end=SHAPE)
    for file in files.files:
        np.testing.assert_array_equal(files.volume(file).read(), image[file.box.slices])
    plain = tmp_path / "blocks" / files.files[0].name
    if format == "tif":
        np.testing.assert_array_equal(tifffile.imread(plain), image[files.files[0].box.slices])
    else:
        with h5py.File(plain) as stored:
            np.testing.assert_array_equal(stored["main"][:], image[files.files[0].box.slices])
    run(
        "join",
        tmp_path,
        join__source=str(tmp_path / "blocks"),
        join__target=str(tmp_path / "again.zarr"),
        join__how=how,
    )
    again = open_volume(str(tmp_path / "again.zarr"))
    np.testing.assert_array_equal(again.read(), image)
    assert (again.voxel_size, tuple(again.offset)) == ((40, 8, 8), (5, 0, 7))
    assert not [v for v in verify_stage(split) if v.damage is not None or not v.compared]


@pytest.mark.parametrize("target", ["a.tif", "a.h5", "precomputed"])
def test_joined_to_what_other_programs_open(tmp_path, image, target):
    run(
        "split",
        tmp_path,
        split__source=volume_of(tmp_path, image),
        split__target=str(tmp_path / "blocks"),
        split__block=[20] * 3,
    )
    uri = f"precomputed://{tmp_path / 'layer'}" if target == "precomputed" else str(tmp_path / target)
    run("join", tmp_path, join__source=str(tmp_path / "blocks"), join__target=uri)
    np.testing.assert_array_equal(open_volume(uri).read(), image)
    if target == "a.tif":
        np.testing.assert_array_equal(tifffile.imread(tmp_path / target), image)
    # Once more: it is there, and ours.
    run("join", tmp_path, join__source=str(tmp_path / "blocks"), join__target=uri)
    if target != "precomputed":
        (tmp_path / target).write_bytes(b"mine")
        with pytest.raises(StageError, match="is there already"):
            run("join", tmp_path, join__source=str(tmp_path / "blocks"), join__target=uri)
        assert (tmp_path / target).read_bytes() == b"mine"


def test_blending_goes_over_from_one_file_to_the_next(tmp_path):
    folder = tmp_path / "chunks"
    folder.mkdir()
    for a, b, grey in ((0, 12, 0), (8, 20, 200)):
        with h5py.File(folder / f"seg_0-1-0-1-{a}-{b}.h5", "w") as file:
            file["main"] = np.full((1, 1, 12), grey, np.uint8)
    run("join", tmp_path, join__source=str(folder), join__target=str(tmp_path / "a.zarr"))
    # In the overlap 8..11 the first is 4, 3, 2, 1 voxels from its end, the second 1, 2, 3, 4.
    found = open_volume(str(tmp_path / "a.zarr")).read().ravel()
    assert found.tolist() == [0] * 8 + [40, 80, 120, 160] + [200] * 8
    run("join", tmp_path, join__source=str(folder), join__target=str(tmp_path / "b.zarr"), join__how="crop")
    assert open_volume(str(tmp_path / "b.zarr")).read().ravel().tolist() == [0] * 10 + [200] * 10


def test_pytc_chunks_are_joined(tmp_path):
    """Its names, four axes, no overlap, no index."""
    whole = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 14), dtype=np.uint8)
    folder = tmp_path / "chunks"
    folder.mkdir()
    for z in (0, 5):
        for x in (0, 7):
            with h5py.File(folder / f"result_{z}-{z + 5}-0-12-{x}-{x + 7}.h5", "w") as file:
                file["vol0"] = whole[:, z : z + 5, :, x : x + 7]
    run("join", tmp_path, join__source=str(folder), join__target=str(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(open_volume(str(tmp_path / "a.zarr")).read(), whole)
    (folder / "result_5-10-0-12-0-7.h5").unlink()
    with pytest.raises(VolumeError, match=r"no file in .* holds the voxels Box\[5:10, 0:12, 0:7\]"):
        run("join", tmp_path, join__source=str(folder), join__target=str(tmp_path / "b.zarr"))
    assert not (tmp_path / "b.zarr").exists()


def test_folders_and_volumes_of_others_are_left_alone(tmp_path, image):
    source = volume_of(tmp_path, image)
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / "mine.txt").write_text("mine")
    with pytest.raises(VolumeError, match="is not empty"):
        run("split", tmp_path, split__source=source, split__target=str(tmp_path / "blocks"))
    run("split", tmp_path, split__source=source, split__target=str(tmp_path / "other"), split__block=[40] * 3)
    with pytest.raises(VolumeError, match="was made otherwise"):
        run("split", tmp_path, split__source=source, split__target=str(tmp_path / "other"), split__block=[50] * 3)
    with pytest.raises(StageError, match="is there already and was made otherwise"):
        run("join", tmp_path, join__source=str(tmp_path / "other"), join__target=source)
    np.testing.assert_array_equal(open_volume(source).read(), image)


def test_half_a_volume_has_no_name_yet(tmp_path, image):
    cut(tmp_path, image)
    joining = {"join__source": str(tmp_path / "b"), "join__target": str(tmp_path / "a.zarr")}
    (plan,) = plans("join", tmp_path, **joining)
    assert not run_alone(plan, range(5)).failed
    assert not (tmp_path / "a.zarr").exists()
    run("join", tmp_path, **joining)
    np.testing.assert_array_equal(open_volume(joining["join__target"]).read(), image)
    assert len(list(plan.ledger.facts())) == len(plan.grid)
    assert not [v for v in verify_stage(plan) if v.damage is not None or not v.compared]
    # A result that was deleted is made again.
    shutil.rmtree(tmp_path / "a.zarr")
    forget_what_is_gone([plan])
    run("join", tmp_path, **joining)
    np.testing.assert_array_equal(open_volume(joining["join__target"]).read(), image)


def test_a_file_that_was_deleted_is_made_again(tmp_path, image):
    given = {
        "split__source": volume_of(tmp_path, image),
        "split__target": str(tmp_path / "b"),
        "split__block": [20] * 3,
    }
    plan = run("split", tmp_path, **given)
    files = BlockFiles.open(tmp_path / "b")
    others = {f.name: (tmp_path / "b" / f.name).stat().st_mtime_ns for f in files.files}
    lost = files.files[3].name
    del others[lost]
    (tmp_path / "b" / lost).unlink()
    forget_what_is_gone([plan])
    run("split", tmp_path, **given)
    np.testing.assert_array_equal(files.volume(files.files[3]).read(), image[files.files[3].box.slices])
    assert {name: (tmp_path / "b" / name).stat().st_mtime_ns for name in others} == others


def test_what_was_repaired_gets_into_the_file(tmp_path, image):
    cut(tmp_path, image)
    joining = {"join__source": str(tmp_path / "b"), "join__target": str(tmp_path / "a.h5")}
    (plan,) = plans("join", tmp_path, **joining)
    assert not run_alone(plan).failed
    stage = tool_stage(plan)
    core = plan.grid.block(2).core
    stage.output.write(core, np.zeros(core.shape, np.uint8))
    stage.finish()
    assert not np.array_equal(open_volume(joining["join__target"]).read(), image)
    damages = [v.damage for v in verify_stage(plan) if v.damage is not None]
    assert [d.block for d in damages] == [2]
    repair(plan, damages)
    run("join", tmp_path, **joining)
    np.testing.assert_array_equal(open_volume(joining["join__target"]).read(), image)
    made = (tmp_path / "a.h5").stat().st_mtime_ns
    run("join", tmp_path, **joining)
    assert (tmp_path / "a.h5").stat().st_mtime_ns == made


@pytest.mark.slow
@pytest.mark.flow
def test_failed_blocks_that_are_retried_give_the_volume_its_name(prefect_api, tmp_path, image):
    run("split", tmp_path, split__source=volume_of(tmp_path, image), split__target=str(tmp_path / "b"))
    target = str(tmp_path / "a.zarr")
    given = {"join__source": str(tmp_path / "b"), "join__target": target, "blocks__shape": [16, 70, 65]}
    (plan,) = plans("join", tmp_path, **given)
    plan.save()
    stage = tool_stage(plan)
    stage.prepare()
    # No chunk can be written while this file stands where their folder belongs.
    in_the_way = Path(stage.building, "c")
    in_the_way.touch()
    options = [word for each in settings(tmp_path, **given, compute__retries=0) for word in ("--set", each)]
    code, output = finished(axonloom(prefect_api, "tools", "join", tmp_path / "b", target, *options))
    assert code == 1, output
    assert plan.ledger.read().failed
    in_the_way.unlink()
    project = tmp_path / "project.yaml"
    project.write_text(
        f"workspace: {tmp_path / 'work'}\nblocks: {{shape: [16, 70, 65]}}\njoin: {{source: {tmp_path / 'b'}, target: {target}}}\n"
    )
    code, output = finished(axonloom(prefect_api, "retry-failed", project))
    assert code == 0, output
    assert "nothing is left to do" in output
    np.testing.assert_array_equal(open_volume(target).read(), image)


@pytest.mark.parametrize("target", ["gs://bucket/a.zarr", "precomputed://gs://bucket/a", "a.h5:main"])
def test_targets_that_blocks_cannot_share_are_refused(tmp_path, image, target):
    run("split", tmp_path, split__source=volume_of(tmp_path, image), split__target=str(tmp_path / "b"))
    with pytest.raises(StageError, match=r"join\.target is"):
        plans("join", tmp_path, join__source=str(tmp_path / "b"), join__target=target)


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


def test_labels_are_not_averaged(tmp_path):
    labels = np.random.default_rng(1).integers(0, 9, SHAPE).astype(np.uint32)
    cut(tmp_path, labels)
    joining = {"join__source": str(tmp_path / "b"), "join__target": f"precomputed://{tmp_path / 'seg'}"}
    with pytest.raises(StageError, match=r"join\.how to crop"):
        run("join", tmp_path, **joining)
    run("join", tmp_path, **joining, join__how="crop")
    np.testing.assert_array_equal(open_volume(joining["join__target"]).read(), labels)


def small_checkpoint(folder: Path) -> Path:
    parameters = {"filters": [8, 8], "isotropy": [True, True], "norm": "bn", "pooling": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("residual_unet_3d", **parameters)
    description = ModelDescription(
        architecture="residual_unet_3d", parameters=parameters, representation="affinity", representation_parameters={},
        channels=("z", "y", "x"), normalisation=Normalisation(), voxel_size=None, patch=(8, 16, 16), window=(8, 16, 16), iteration=1,
    )  # fmt: skip
    return write_checkpoint(folder / "network", description, network.state_dict()).folder


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


@pytest.mark.slow
@pytest.mark.flow
def test_from_the_command_line_killed_and_on(prefect_api, tmp_path):
    image = np.random.default_rng(9).integers(0, 256, (128, 256, 256), dtype=np.uint8)
    source = volume_of(tmp_path, image)
    place = ["--set", f"workspace={tmp_path / 'work'}", "--set", "blocks.shape=[16,32,32]"]
    split = [
        "tools",
        "split",
        source,
        tmp_path / "blocks",
        *place,
        "--set",
        "split.block=[8,32,32]",
        "--set",
        "split.overlap=[2,8,8]",
    ]
    (plan,) = plans(
        "split", tmp_path, split__source=source, split__target=str(tmp_path / "blocks"), split__block=[8, 32, 32],
        split__overlap=[2, 8, 8],
    )  # fmt: skip
    process = axonloom(prefect_api, *split)
    while process.poll() is None and len(plan.ledger.read().done) < 100:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 100 <= len(plan.ledger.read().done) < len(plan.grid)
    with pytest.raises(VolumeError, match="lacks"):
        BlockFiles.open(tmp_path / "blocks")
    code, output = finished(axonloom(prefect_api, *split))
    assert code == 0, output
    assert len(list(plan.ledger.facts())) == len(plan.grid)
    code, output = finished(axonloom(prefect_api, "tools", "join", tmp_path / "blocks", tmp_path / "again.tif", *place))
    assert code == 0, output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "again.tif"), image)
    code, output = finished(axonloom(prefect_api, "tools", "join", tmp_path / "nothing", tmp_path / "c.tif", *place))
    assert code == 2
    assert "is no folder" in output


def test_tools_say_what_they_lack(tmp_path):
    for tool in TOOLS:
        with pytest.raises(ConfigurationError, match=f"axonloom tools {tool}"):
            plans(
                tool, tmp_path, **({"infer__checkpoint": str(small_checkpoint(tmp_path))} if tool == "predict" else {})
            )


def test_holes_are_found_wherever_they_are():
    boxes = [
        Box(start=(0, 0, 0), end=(4, 4, 2)),
        Box(start=(0, 0, 2), end=(4, 2, 4)),
        Box(start=(2, 2, 2), end=(4, 4, 4)),
    ]
    assert first_hole((4, 4, 4), boxes) == Box(start=(0, 2, 2), end=(2, 4, 4))
    assert first_hole((4, 4, 4), [*boxes, Box(start=(0, 1, 1), end=(3, 4, 4))]) is None
