from __future__ import annotations

import numpy as np
import pytest
import tifffile

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume
from axonloom.volumes.tiff_folder import natural_key
from axonloom.volumes.volume import Volume

BOX = Box(start=(2, 11, 5), end=(7, 30, 44))


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 60_000, (9, 40, 50)).astype("uint16")


WAYS = {
    "contiguous": {},
    "big endian": {"byteorder": ">"},
    "plain pages": {"metadata": None},
    "deflate": {"compression": "zlib"},
    "lzw in strips, with predictor": {"compression": "lzw", "rowsperstrip": 7, "predictor": True},
    "zstd in tiles": {"compression": "zstd", "tile": (16, 32)},
    "uncompressed tiles": {"tile": (16, 16)},
    "big endian deflate": {"compression": "zlib", "byteorder": ">"},
    "BigTIFF": {"bigtiff": True, "compression": "zlib"},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_store_a_stack(way, array, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", **WAYS[way])
    volume = open_volume(tmp_path / "a.tif")
    assert (volume.shape, volume.channels, volume.dtype) == ((9, 40, 50), None, np.uint16)
    np.testing.assert_array_equal(volume.read(BOX), array[BOX.slices])
    np.testing.assert_array_equal(volume.read(), array)
    assert volume.read().dtype.isnative


def test_pages_appended_one_by_one(array, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tiff") as file:
        for section in array:
            file.write(section, photometric="minisblack", metadata=None, contiguous=False)
    volume = open_volume(tmp_path / "a.tiff")
    np.testing.assert_array_equal(volume.read(BOX), array[BOX.slices])


def test_one_page_is_a_stack_of_one(array, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", array[0])
    assert open_volume(tmp_path / "a.tif").shape == (1, 40, 50)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("axes", "order"), [("CZYX", (0, 1, 2, 3)), ("ZCYX", (1, 0, 2, 3))])
def test_channels_of_imagej_and_ome(axes, order, compression, array, tmp_path):
    stored = np.stack([array, array[::-1], array // 2])
    arranged = np.ascontiguousarray(stored.transpose(order))
    tifffile.imwrite(
        tmp_path / "a.ome.tif", arranged, photometric="minisblack", compression=compression, metadata={"axes": axes}
    )
    volume = open_volume(tmp_path / "a.ome.tif")
    assert (volume.shape, volume.channels) == ((9, 40, 50), 3)
    np.testing.assert_array_equal(volume.read(BOX), stored[(..., *BOX.slices)])
    np.testing.assert_array_equal(volume.read(BOX, [2, 0]), stored[[2, 0]][(..., *BOX.slices)])
    if axes == "ZCYX" and compression is None:
        tifffile.imwrite(tmp_path / "ij.tif", arranged, imagej=True, metadata={"axes": axes})
        np.testing.assert_array_equal(open_volume(tmp_path / "ij.tif").read(BOX), stored[(..., *BOX.slices)])


def test_voxel_size_of_imagej(array, tmp_path):
    for unit, factor in (("um", 1000), ("micron", 1000), ("nm", 1), ("\\u00B5m", 1000)):
        tifffile.imwrite(
            tmp_path / "a.tif",
            array,
            imagej=True,
            resolution=(125, 250),
            metadata={"spacing": 0.04, "unit": unit, "axes": "ZYX"},
        )
        assert open_volume(tmp_path / "a.tif").voxel_size == pytest.approx(
            (0.04 * factor, 0.004 * factor, 0.008 * factor)
        )
    tifffile.imwrite(tmp_path / "b.tif", array, imagej=True, metadata={"spacing": 0.04, "unit": "pixel", "axes": "ZYX"})
    assert open_volume(tmp_path / "b.tif").voxel_size is None


def test_voxel_size_of_ome(array, tmp_path):
    sizes = {"PhysicalSizeX": 0.004, "PhysicalSizeY": 80, "PhysicalSizeYUnit": "Å", "PhysicalSizeZ": 40}
    metadata = {"axes": "ZYX", **sizes, "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, photometric="minisblack", metadata=metadata)
    assert open_volume(tmp_path / "a.ome.tif").voxel_size == pytest.approx((40, 8, 4))
    del metadata["PhysicalSizeZ"]
    tifffile.imwrite(tmp_path / "b.ome.tif", array, photometric="minisblack", metadata=metadata)
    assert open_volume(tmp_path / "b.ome.tif").voxel_size is None


def test_ours_is_read_by_tifffile(array, tmp_path):
    for name in ("a.tif", "s/"):
        volume = create_volume(f"{tmp_path}/{name}", shape=array.shape, dtype="uint16", voxel_size=(40, 4, 4))
        volume.write(volume.box, array)
        volume.sync()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), array)
    np.testing.assert_array_equal(tifffile.imread(sorted((tmp_path / "s").glob("*.tif"))), array)
    assert len(list((tmp_path / "s").glob("*.tif"))) == 9


def test_three_columns_are_no_colours(tmp_path):
    volume = create_volume(tmp_path / "a.tif", shape=(4, 5, 3), dtype="uint8")
    volume.write(volume.box, np.ones((4, 5, 3), "uint8"))
    assert open_volume(tmp_path / "a.tif").shape == (4, 5, 3)


def test_colours_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 20, 30, 3), "uint8"), photometric="rgb")
    with pytest.raises(VolumeError, match="RGB"):
        open_volume(tmp_path / "a.tif")


def test_time_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 20, 30), "uint8"), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(VolumeError, match=r"axes TZYX of shape \(4, 5, 20, 30\)"):
        open_volume(tmp_path / "a.tif")


def test_pages_of_different_sizes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for width in (20, 30):
            file.write(np.zeros((10, width), "uint8"), metadata=None)
    with pytest.raises(VolumeError, match=r"2 images of shapes"):
        open_volume(tmp_path / "a.tif")


def test_compressed_files_are_not_written(array, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib")
    volume = open_volume(tmp_path / "a.tif")
    with pytest.raises(VolumeError, match="compressed"):
        volume.write(volume.box, array)


def read_or_refusal(path):
    try:
        return open_volume(path).read()
    except VolumeError as error:
        return str(error)


@pytest.mark.parametrize(
    "way", ["contiguous", "plain pages", "deflate", "lzw in strips, with predictor", "zstd in tiles"]
)
def test_cut_anywhere(way, tmp_path):
    """A file that ends early gives a VolumeError, or, when nothing was lost that matters, the right values."""
    array = np.random.default_rng(0).integers(0, 200, (5, 12, 40)).astype("uint8")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", **WAYS[way])
    content = path.read_bytes()
    refused = 0
    for kept in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:kept])
        outcome = read_or_refusal(path)
        if isinstance(outcome, str):
            refused += 1
            assert str(path) in outcome
        else:
            np.testing.assert_array_equal(outcome, array)
    assert refused >= 55


def test_decoding_reads_only_the_strips_of_the_region(array, tmp_path, monkeypatch):
    import os

    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", compression="zlib", rowsperstrip=4)
    read = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: read.append(n) or pread(fd, n, at))
    volume = open_volume(tmp_path / "a.tif")
    box = Box(start=(3, 9, 0), end=(5, 15, 50))
    np.testing.assert_array_equal(volume.read(box), array[box.slices])
    assert len(read) == 4, "two planes, rows 8 to 15 in strips of 4"
    volume.read(box)
    assert len(read) == 4, "decoded strips are kept"


def test_a_folder_in_natural_order(array, tmp_path):
    for z in range(9):
        tifffile.imwrite(
            tmp_path / f"s{z + 3}.{'TIF' if z == 4 else 'tiff'}", array[z], compression="zlib" if z % 2 else None
        )
    (tmp_path / "notes.txt").write_text("not a section")
    (tmp_path / ".s1.tif").write_text("a hidden file")
    volume = open_volume(tmp_path)
    assert isinstance(volume, Volume)
    assert volume.shape == (9, 40, 50)
    np.testing.assert_array_equal(volume.read(BOX), array[BOX.slices])
    assert sorted(["a10", "a9", "b1", "a09x", "10", "a"], key=natural_key) == ["10", "a", "a9", "a09x", "a10", "b1"]


@pytest.mark.parametrize(
    "odd", [np.zeros((41, 50), "uint16"), np.zeros((40, 50), "uint8"), np.zeros((2, 40, 50), "uint16")]
)
def test_the_first_odd_section_is_named(odd, array, tmp_path):
    for z in range(9):
        tifffile.imwrite(tmp_path / f"s{z}.tif", odd if z in (5, 7) else array[z], photometric="minisblack")
    with pytest.raises(VolumeError, match=r"s5\.tif has the shape .*all sections of a folder must agree"):
        open_volume(tmp_path)


def test_odd_folders(array, tmp_path):
    with pytest.raises(VolumeError, match="without TIFF files"):
        open_volume(tmp_path)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(VolumeError, match="open the file itself"):
        open_volume(tmp_path)
    with pytest.raises(VolumeError, match="no channels"):
        create_volume(f"{tmp_path}/new/", shape=(1, 2, 3), dtype="uint8", channels=2)


def test_booleans_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="uint8"):
        create_volume(tmp_path / "a.tif", shape=(1, 2, 3), dtype="bool")
    assert list(tmp_path.iterdir()) == []
