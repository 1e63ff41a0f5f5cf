"""Sections in tiles, listed in JSON: read by region, with tiles missing, in other sizes, and by wrong hands."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import CroppedVolume, VolumeError, create_volume, open_volume
from axonloom.volumes.tiles import as_labels

SHAPE = (3, 50, 70)
SIZE = 32


def write_tiles(folder: Path, sections: np.ndarray, first=(0, 0), ending="png", **more) -> Path:
    """``sections`` (z, y, x) or (z, y, x, colour) as tiles below ``folder``, and their list."""
    for z, section in enumerate(sections):
        (folder / f"z{z}").mkdir(parents=True)
        for row in range(-(-section.shape[0] // SIZE)):
            for column in range(-(-section.shape[1] // SIZE)):
                tile = section[row * SIZE : (row + 1) * SIZE, column * SIZE : (column + 1) * SIZE]
                name = f"r{row + first[0]}_c{column + first[1]}.{ending}"
                imagecodecs.imwrite(str(folder / f"z{z}" / name), np.ascontiguousarray(tile))
    listed = {
        "image": [f"z{z}/r{{row}}_c{{column}}.{ending}" for z in range(len(sections))],
        "depth": len(sections),
        "height": sections.shape[1],
        "width": sections.shape[2],
        "tile_size": SIZE,
        "tile_ratio": 1.0,
        "tile_st": list(first),
        "ndim": 1,
        "dtype": "uint8",
    }
    path = folder / "tiles.json"
    path.write_text(json.dumps({**listed, **more}))
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.mark.parametrize("first", [(0, 0), (1, 2)])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_any_region_is_that_of_the_whole(image, tmp_path, first, ending):
    volume = open_volume(write_tiles(tmp_path, image, first, ending))
    assert (volume.shape, volume.channels, volume.dtype, volume.chunk) == (SHAPE, None, np.uint8, (1, SIZE, SIZE))
    np.testing.assert_array_equal(volume.read(), image)
    for box in (Box(start=(1, 1, 3), end=(3, 44, 37)), Box(start=(0, 31, 32), end=(1, 33, 33))):
        np.testing.assert_array_equal(volume.read(box), image[box.slices])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(volume)).read(), image)


def test_a_tile_that_is_not_there_is_grey(image, tmp_path):
    path = write_tiles(tmp_path, image)
    (tmp_path / "z1" / "r1_c0.png").unlink()
    expected = image.copy()
    expected[1, SIZE:, :SIZE] = 128
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read(), expected)
    assert (volume.describe()["tiles"], volume.describe()["tiles_there"]) == (18, 17)


def test_among_labels_a_tile_that_is_not_there_holds_no_object(image, tmp_path):
    path = write_tiles(tmp_path, image)
    (tmp_path / "z1" / "r1_c0.png").unlink()
    expected = image.copy()
    expected[1, SIZE:, :SIZE] = 0
    labels = as_labels(open_volume(path))
    np.testing.assert_array_equal(labels.read(), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(labels)).read(), expected)
    box = Box(start=(1, 30, 2), end=(3, 50, 40))
    part = as_labels(CroppedVolume(open_volume(path), box))
    np.testing.assert_array_equal(part.read(), expected[box.slices])
    other = create_volume(str(tmp_path / "other.zarr"), shape=SHAPE, dtype=np.uint8)
    assert as_labels(other) is other


def test_colours_are_ids(tmp_path):
    ids = np.random.default_rng(4).integers(0, 2**24, SHAPE, dtype=np.uint32)
    colours = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
    path = write_tiles(tmp_path, colours, ndim=3, dtype="uint32")
    (tmp_path / "z0" / "r0_c2.png").unlink()
    ids[0, :SIZE, 2 * SIZE :] = 0
    volume = open_volume(path)
    assert volume.dtype == np.uint32
    np.testing.assert_array_equal(volume.read(), ids)


def test_the_identity_follows_the_tiles(image, tmp_path):
    path = write_tiles(tmp_path, image)
    before = open_volume(path).identity()
    assert open_volume(path).identity() == before
    imagecodecs.imwrite(str(tmp_path / "z2" / "r0_c0.png"), np.zeros((SIZE, SIZE), np.uint8))
    assert open_volume(path).identity() != before
    stated = open_volume(path, version="one")
    assert stated.identity() == open_volume(path, version="one").identity()
    assert stated.identity() != open_volume(path, version="two").identity()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"depth": 4}, "4 sections, and names 3"),
        ({"tile_ratio": 2}, "tile_ratio is 2"),
        ({"tile_size": 0}, "at least 1"),
        ({"tile_ratio": "half"}, "is no list of tiles"),
        ({"depth": None}, "is no list of tiles"),
        ({"height": None}, "needs image"),
        ({"image": ["nothing/{row}_{column}.png"] * 3}, "none is there"),
        ({"height": 0}, "no voxels"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(image, tmp_path, more, says):
    path = write_tiles(tmp_path, image, **more)
    with pytest.raises(VolumeError, match=says):
        open_volume(path)


def test_what_is_no_list_or_no_image_is_named(image, tmp_path):
    path = write_tiles(tmp_path, image)
    (tmp_path / "z0" / "r0_c0.png").write_bytes(b"half a fi")
    with pytest.raises(VolumeError, match=r"r0_c0.png cannot be read as an image"):
        open_volume(path).read()
    imagecodecs.imwrite(str(tmp_path / "z0" / "r0_c0.png"), np.zeros((SIZE, SIZE), np.uint16))
    with pytest.raises(VolumeError, match=r"holds uint16 in 2 axes, where tiles.json says uint8"):
        open_volume(path).read()
    path.write_text("{")
    with pytest.raises(VolumeError, match="is no list of tiles"):
        open_volume(path)
    with pytest.raises(VolumeError, match="only read here"):
        create_volume(str(tmp_path / "other.json"), shape=SHAPE, dtype=np.uint8)
