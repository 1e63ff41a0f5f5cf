"""A volume to overlapping files and back: what comes out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from axonloom.config.load import ConfigurationError
from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.stage import StageError
from axonloom.stages.tool_stage import tool_stage
from axonloom.tools import TOOLS
from axonloom.verify import verify_stage
from axonloom.volumes import VolumeError, open_volume
from axonloom.volumes.block_files import BlockFiles, block_name
from axonloom.volumes.holes import first_hole, holes
from tests.flows.block_files import SHAPE, cut, noise, plans, run, small_checkpoint, volume_of


@pytest.fixture
def image() -> np.ndarray:
    return noise()


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


@pytest.mark.parametrize("target", ["gs://bucket/a.zarr", "precomputed://gs://bucket/a", "a.h5:main"])
def test_targets_that_blocks_cannot_share_are_refused(tmp_path, image, target):
    run("split", tmp_path, split__source=volume_of(tmp_path, image), split__target=str(tmp_path / "b"))
    with pytest.raises(StageError, match=r"join\.target is"):
        plans("join", tmp_path, join__source=str(tmp_path / "b"), join__target=target)


def test_labels_are_not_averaged(tmp_path):
    labels = np.random.default_rng(1).integers(0, 9, SHAPE).astype(np.uint32)
    cut(tmp_path, labels)
    joining = {"join__source": str(tmp_path / "b"), "join__target": f"precomputed://{tmp_path / 'seg'}"}
    with pytest.raises(StageError, match=r"join\.how to crop"):
        run("join", tmp_path, **joining)
    run("join", tmp_path, **joining, join__how="crop")
    np.testing.assert_array_equal(open_volume(joining["join__target"]).read(), labels)


def test_tools_say_what_they_lack(tmp_path):
    for tool in TOOLS:
        with pytest.raises(ConfigurationError, match=f"axonloom tools {tool.replace('_', '-')}"):
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


@given(
    st.lists(st.tuples(*[st.integers(-2, 7)] * 3, *[st.integers(1, 5)] * 3), max_size=6),
    st.tuples(*[st.integers(1, 6)] * 3),
)
def test_holes_and_boxes_are_the_volume(boxes, shape):
    some = [Box(start=b[:3], size=b[3:]) for b in boxes]
    held, missing = np.zeros(shape, bool), np.zeros(shape, int)
    for box in some:
        held[box.clipped(Box.of_shape(shape)).slices] = True
    for hole in holes(shape, some):
        assert hole.voxels
        missing[hole.slices] += 1
    np.testing.assert_array_equal(missing, ~held)


def chunks_of(folder: Path, whole: np.ndarray, begin: Zyx, size: Zyx, without: tuple[int, ...] = ()) -> list[str]:
    """Chunks of (c, z, y, x) in PyTorch Connectomics' way, whose names count from ``begin``; the names of all."""
    folder.mkdir()
    names = []
    for block in BlockGrid(Box.of_shape(whole.shape[1:]), size):
        names.append(block_name("result", block.core.shifted(begin), "h5"))
        if block.index not in without:
            with h5py.File(folder / names[-1], "w") as file:
                file["main"] = whole[(slice(None), *block.core.slices)]
    return names


def test_chunks_of_a_region_are_joined_where_they_lie(tmp_path):
    whole = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 14), dtype=np.uint8)
    chunks_of(tmp_path / "chunks", whole, (20, 0, 7), (5, 12, 7))
    target = str(tmp_path / "a.zarr")
    plan = run("join", tmp_path, join__source=str(tmp_path / "chunks"), join__target=target)
    found = open_volume(target)
    np.testing.assert_array_equal(found.read(), whole)
    assert tuple(found.offset) == (20, 0, 7)
    # Nobody has said that there are no chunks before.
    assert "begin at voxel (20, 0, 7)" in (tool_stage(plan).warning() or "")
    region = {"join__region__start": [20, 0, 7], "join__region__stop": [30, 12, 21]}
    plan = run("join", tmp_path, join__source=str(tmp_path / "chunks"), join__target=str(tmp_path / "b.zarr"), **region)
    assert tool_stage(plan).warning() is None
    np.testing.assert_array_equal(open_volume(str(tmp_path / "b.zarr")).read(), whole)
    region = {"join__region__start": [22, 1, 7], "join__region__stop": [26, 12, 20]}
    run("join", tmp_path, join__source=str(tmp_path / "chunks"), join__target=str(tmp_path / "c.zarr"), **region)
    found = open_volume(str(tmp_path / "c.zarr"))
    np.testing.assert_array_equal(found.read(), whole[:, 2:6, 1:, :13])
    assert tuple(found.offset) == (22, 1, 7)
    region = {"join__region__start": [0, 0, 0], "join__region__stop": [30, 12, 21]}
    with pytest.raises(VolumeError, match=r"Box\[0:20, 0:12, 0:21\], Box\[20:30, 0:12, 0:7\]"):
        run("join", tmp_path, join__source=str(tmp_path / "chunks"), join__target=str(tmp_path / "d.zarr"), **region)
    region = {"join__region__start": [0, 0, 0], "join__region__stop": [9, 9, 9]}
    with pytest.raises(VolumeError, match="holds any voxel of"):
        run("join", tmp_path, join__source=str(tmp_path / "chunks"), join__target=str(tmp_path / "d.zarr"), **region)
    assert not (tmp_path / "d.zarr").exists()


def test_a_part_of_a_folder_with_an_index_is_joined(tmp_path, image):
    cut(tmp_path, image)
    region = {"join__region__start": [3, 0, 21], "join__region__stop": [30, 70, 40]}
    run("join", tmp_path, join__source=str(tmp_path / "b"), join__target=str(tmp_path / "a.zarr"), **region)
    found = open_volume(str(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(found.read(), image[3:30, :, 21:40])
    assert tuple(found.offset) == (8, 0, 28)


def test_each_missing_chunk_is_named(tmp_path):
    whole = np.zeros((3, 10, 12, 14), np.uint8)
    names = chunks_of(tmp_path / "chunks", whole, (20, 0, 7), (5, 6, 7), without=(1, 6))
    assert names[1] == "result_20-25-0-6-14-21.h5"
    with pytest.raises(VolumeError, match=r"Box\[20:25, 0:6, 14:21\], Box\[25:30, 6:12, 7:14\]"):
        run("join", tmp_path, join__source=str(tmp_path / "chunks"), join__target=str(tmp_path / "a.zarr"))
    assert not (tmp_path / "a.zarr").exists()
