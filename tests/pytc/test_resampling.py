"""Parts of a zoomed volume are those of the whole, and read little of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from axonloom.geometry import BlockGrid, Box
from axonloom.pytc.configuration import PytcError
from axonloom.pytc.images import prepared_image, prepared_labels
from axonloom.pytc.resampling import Resampling
from axonloom.volumes import create_volume, open_volume
from tests.training.cells import cells

SHAPE = (20, 90, 100)


def whole_of(how: Resampling, array: np.ndarray, part=(64, 64, 64)) -> tuple[np.ndarray, int]:
    """The result, and the most voxels that were read at once."""
    made = np.empty(how.result, array.dtype)
    most = 0

    def read(box: Box) -> np.ndarray:
        nonlocal most
        most = max(most, box.voxels)
        assert Box.of_shape(array.shape).contains(box)
        return array[box.slices]

    for block in BlockGrid(Box.of_shape(how.result), part):
        made[block.core.slices] = how.part(read, block.core)
    return made, most


@pytest.mark.parametrize(
    "scale", [(1.0, 2.0, 2.0), (1.0, 2.0, 1.0), (0.5, 0.75, 1.2), (2.0, 1.0, 0.3), (1.0, 1.0, 1.0)]
)
@pytest.mark.parametrize("pad", [(0, 0, 0), (3, 10, 7)])
def test_an_image(scale, pad):
    image, _ = cells(SHAPE, 1)
    expected = np.pad(np.asarray(ndimage.zoom(image, scale, order=3)), [(n, n) for n in pad], mode="reflect")
    found, _ = whole_of(Resampling(SHAPE, scale, pad), image)
    assert found.shape == expected.shape
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) < 1e-4 * apart.size


@pytest.mark.parametrize("scale", [(1.0, 2.0, 2.0), (0.5, 0.75, 1.2), (2.0, 1.0, 0.3)])
def test_labels(scale):
    """Also ids that float64 does not hold, which scipy's own zoom would change."""
    _, small = cells(SHAPE, 1)
    large = small.astype(np.uint64) + np.uint64(2**60)
    expected = ndimage.zoom(small, scale, order=0)
    np.testing.assert_array_equal(whole_of(Resampling(SHAPE, scale, order=0), small)[0], expected)
    found, _ = whole_of(Resampling(SHAPE, scale, order=0), large)
    np.testing.assert_array_equal(found, expected.astype(np.uint64) + np.uint64(2**60))


@pytest.mark.parametrize("shape", [(1, 5, 6), (2, 1, 7), (3, 4, 1)])
def test_an_axis_of_one_voxel(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found, _ = whole_of(Resampling(shape, (2.0, 2.0, 2.0)), image)
    assert np.abs(found.astype(int) - ndimage.zoom(image, 2.0, order=3)).max() <= 1


def test_floats_stay_floats():
    image = np.random.default_rng(0).random((6, 30, 31)).astype(np.float32)
    found, _ = whole_of(Resampling(image.shape, (1.0, 1.5, 2.0)), image)
    np.testing.assert_allclose(found, ndimage.zoom(image, (1.0, 1.5, 2.0), order=3), atol=1e-6)


def test_a_part_reads_what_lies_around_it():
    image = np.zeros((64, 400, 400), np.uint8)
    _, most = whole_of(Resampling(image.shape, (1.0, 2.0, 2.0)), image, (64, 64, 64))
    assert most <= 64 * (32 + 54) ** 2


def test_copies_of_files(tmp_path):
    """Of two parts along z, in uint16, zoomed and grown."""
    image, labels = cells((70, 40, 44), 2)
    deep = image.astype(np.uint16) * 100 + 7
    for name, array in (("em", deep), ("ids", labels)):
        made = create_volume(str(tmp_path / f"{name}.zarr"), shape=array.shape, dtype=array.dtype)
        made.write(made.box, array)
    scale, pad = (1.0, 1.5, 1.5), (2, 4, 4)
    found = open_volume(prepared_image(str(tmp_path / "em.zarr"), scale, pad, tmp_path / "copies")).read()
    low, high = float(deep.min()), float(deep.max())
    grey = ((deep - low) / (high - low) * 255).astype(np.uint8)
    expected = np.pad(np.asarray(ndimage.zoom(grey, scale, order=3)), [(n, n) for n in pad], mode="reflect")
    assert np.abs(found.astype(int) - expected).max() <= 1
    path = prepared_labels(str(tmp_path / "ids.zarr"), scale, tmp_path / "copies")
    np.testing.assert_array_equal(open_volume(path).read(), ndimage.zoom(labels, scale, order=0))
    assert prepared_labels(str(tmp_path / "ids.zarr"), scale, tmp_path / "copies") == path
    assert not list((tmp_path / "copies").glob("building-*"))


def test_what_is_not_finite_is_said_and_leaves_nothing(tmp_path):
    made = create_volume(str(tmp_path / "em.zarr"), shape=(70, 20, 20), dtype=np.float32)
    array = np.zeros((70, 20, 20), np.float32)
    array[66, 3, 3] = np.nan
    made.write(made.box, array)
    with pytest.raises(PytcError, match="not finite"):
        prepared_image(str(tmp_path / "em.zarr"), (1, 1, 1), (0, 0, 0), tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []
