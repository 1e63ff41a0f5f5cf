"""Split and join that were stopped, killed, damaged or lost a part: what is done again."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from axonloom.alone import run_alone
from axonloom.stages.tool_stage import forget_what_is_gone, tool_stage
from axonloom.verify import repair, verify_stage
from axonloom.volumes import VolumeError, open_volume
from axonloom.volumes.block_files import BlockFiles
from tests.flows.block_files import cut, noise, plans, run, settings, volume_of
from tests.flows.test_failures import axonloom, finished


@pytest.fixture
def image() -> np.ndarray:
    return noise()


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
