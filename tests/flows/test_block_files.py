"""A volume to overlapping files and back: what comes out, and what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile

from axonloom.config.load import ConfigurationError
from axonloom.geometry import Box
from axonloom.stage import StageError
from axonloom.tools import TOOLS
from axonloom.verify import verify_stage
from axonloom.volumes import VolumeError, open_volume
from axonloom.volumes.block_files import BlockFiles, first_hole
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
