"""Folders of files with holes, halves and leftovers: what is made of them, and what is said."""

from __future__ import annotations

import os
import resource

import h5py
import numpy as np
import pytest

from axonloom.durable import BUILDING
from axonloom.stages.inputs import files_input
from axonloom.stages.tool_stage import forget_what_is_gone
from axonloom.volumes import VolumeError, open_volume
from axonloom.volumes.block_files import BlockFiles
from tests.flows.block_files import noise, run, volume_of


@pytest.fixture
def image() -> np.ndarray:
    return noise()


def test_missing_and_half_written_blocks_are_named(tmp_path, image):
    source = volume_of(tmp_path, image)
    given = {"split__source": source, "split__target": str(tmp_path / "blocks"), "split__block": [16, 40, 64]}
    run("split", tmp_path, **given, split__format="h5")
    names = [file.name for file in BlockFiles.open(tmp_path / "blocks").files]
    content = (tmp_path / "blocks" / names[1]).read_bytes()
    joining = {"join__source": str(tmp_path / "blocks"), "join__target": str(tmp_path / "a.zarr")}
    for broken in (content[: len(content) // 2], b""):
        (tmp_path / "blocks" / names[1]).write_bytes(broken)
        with pytest.raises(VolumeError, match=names[1]):
            run("join", tmp_path, **joining)
    (tmp_path / "blocks" / names[1]).unlink()
    with pytest.raises(VolumeError, match=f"lacks {names[1]}"):
        run("join", tmp_path, **joining)
    with h5py.File(tmp_path / "blocks" / names[1], "w") as file:
        file["main"] = image[:3, :3, :3]
    with pytest.raises(VolumeError, match=f"{names[1]}.* holds .3, 3, 3. voxels"):
        run("join", tmp_path, **joining)
    assert not (tmp_path / "a.zarr").exists()


def test_chunks_that_nobody_wrote_are_no_zeros(tmp_path):
    folder = tmp_path / "chunks"
    folder.mkdir()
    with h5py.File(folder / "result_0-4-0-8-0-8.h5", "w") as file:
        made = file.create_dataset("main", (4, 8, 8), np.uint8, chunks=(4, 4, 4))
        made[:, :4] = 1
    joining = {"join__source": str(folder), "join__target": str(tmp_path / "a.zarr"), "join__how": "crop"}
    with pytest.raises(VolumeError, match="half-written: 2 of its 4 chunks were never written"):
        run("join", tmp_path, **joining)
    assert not (tmp_path / "a.zarr").exists()
    with h5py.File(folder / "result_0-4-0-8-0-8.h5", "r+") as file:
        file["main"][:, 4:] = 0
    run("join", tmp_path, **joining)
    assert open_volume(str(tmp_path / "a.zarr")).read().sum() == 4 * 4 * 8


def test_half_written_tiff_blocks_are_named_and_leftovers_go(tmp_path, image):
    source = volume_of(tmp_path, image)
    given = {"split__source": source, "split__target": str(tmp_path / "blocks"), "split__block": [16, 40, 64]}
    plan = run("split", tmp_path, **given)
    files = [tmp_path / "blocks" / file.name for file in BlockFiles.open(tmp_path / "blocks").files]
    content = files[1].read_bytes()
    joining = {"join__source": str(tmp_path / "blocks"), "join__target": str(tmp_path / "a.zarr"), "join__how": "crop"}
    for broken in (content[: len(content) // 2], content[:100], b""):
        files[1].write_bytes(broken)
        with pytest.raises(VolumeError, match=files[1].name):
            run("join", tmp_path, **joining)
    assert not (tmp_path / "a.zarr").exists()
    files[1].unlink()
    # What a killed process left is no block, changes nothing that is made of the folder, and goes when it is filled again.
    (tmp_path / "blocks" / f"{BUILDING}0123.tif").write_bytes(content[:100])
    forget_what_is_gone([plan])
    run("split", tmp_path, **given)
    assert not list((tmp_path / "blocks").glob(f"{BUILDING}*"))
    identity = files_input(BlockFiles.open(tmp_path / "blocks"))["identity"]
    (tmp_path / "blocks" / f"{BUILDING}0123.tif").write_bytes(content[:100])
    assert files_input(BlockFiles.open(tmp_path / "blocks"))["identity"] == identity
    run("join", tmp_path, **joining)
    np.testing.assert_array_equal(open_volume(str(tmp_path / "a.zarr")).read(), image)


def test_a_folder_of_more_files_than_a_process_may_open(tmp_path):
    folder = tmp_path / "chunks"
    folder.mkdir()
    for x in range(60):
        with h5py.File(folder / f"result_0-1-0-1-{x}-{x + 1}.h5", "w") as file:
            file["main"] = np.full((1, 1, 1), x, np.uint8)
    run("join", tmp_path, join__source=str(folder), join__target=str(tmp_path / "warm.zarr"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 25, hard))
    try:
        run("join", tmp_path, join__source=str(folder), join__target=str(tmp_path / "a.zarr"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_volume(str(tmp_path / "a.zarr")).read().ravel().tolist() == list(range(60))
