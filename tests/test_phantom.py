"""The phantom: the same bytes whatever box asks, labels that are objects, affinities that follow from them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label as connected

from axonloom.geometry import BlockAlignmentError, Box
from axonloom.phantom import Phantom, fill
from axonloom.phantom.distortion import warp
from axonloom.phantom.neuropil import OCTAVES
from axonloom.phantom.noise import cell_hash, scramble, smooth, unit, white
from axonloom.phantom.skeleton import name_of
from axonloom.volumes.volume import Volume

FAR = 5_000_000
WIDE = Phantom(7, (FAR, FAR, FAR))
HOME = Box(start=(FAR // 2 - 37, 4_500_011, 123_456), size=(60, 90, 80))
THIN = Phantom(8, (5000, 20_000, 20_000), (40.0, 8.0, 8.0))
SLAB = Box(start=(1007, 9001, 8003), size=(14, 110, 100))


class Memory(Volume):
    """A volume in an array."""

    format = "memory"

    def __init__(self, shape: tuple[int, int, int], dtype: type, chunk: tuple[int, int, int] | None = None) -> None:
        self.uri, self.shape, self.channels, self.dtype, self.chunk = "memory", shape, None, np.dtype(dtype), chunk
        self.voxel_size, self.offset = None, (0, 0, 0)
        self.array = np.zeros(shape, dtype)
        self.writes: list[Box] = []

    def _read(self, box: Box, channels: Any) -> np.ndarray:
        return self.array[box.slices]

    def _write(self, box: Box, array: np.ndarray) -> None:
        self.writes.append(box)
        self.array[box.slices] = array

    def identity(self) -> dict[str, Any]:
        return {}


class Place(NamedTuple):
    """A region with everything the phantom says about it."""

    phantom: Phantom
    box: Box
    image: np.ndarray
    labels: np.ndarray
    mitochondria: np.ndarray
    affinities: np.ndarray
    degraded: np.ndarray


def everything(phantom: Phantom, box: Box) -> Place:
    return Place(
        phantom,
        box,
        *phantom.both(box),
        phantom.mitochondria(box),
        phantom.affinities(box),
        phantom.degraded_affinities(box),
    )


@pytest.fixture(scope="module")
def home() -> Place:
    return everything(WIDE, HOME)


@pytest.fixture(scope="module")
def slab() -> Place:
    return everything(THIN, SLAB)


@st.composite
def boxes_in(draw: st.DrawFn, outer: Box) -> Box:
    start = [draw(st.integers(a, b - 1)) for a, b in zip(outer.origin, outer.stop, strict=True)]
    size = [draw(st.integers(1, min(48, b - a))) for a, b in zip(start, outer.stop, strict=True)]
    return Box(start=start, size=size)


def same_as_cut(place: Place, box: Box) -> None:
    inner = box.slices_in(place.box)
    again = everything(place.phantom, box)
    for name in ("image", "labels", "mitochondria"):
        assert np.array_equal(getattr(again, name), getattr(place, name)[inner]), name
    for name in ("affinities", "degraded"):
        assert np.array_equal(getattr(again, name), getattr(place, name)[:, *inner]), name


@settings(max_examples=8, deadline=None)
@given(box=boxes_in(HOME))
def test_any_box_is_cut_from_one_world(home: Place, box: Box) -> None:
    same_as_cut(home, box)


@settings(max_examples=4, deadline=None)
@given(box=boxes_in(SLAB))
def test_any_box_of_thick_sections_too(slab: Place, box: Box) -> None:
    same_as_cut(slab, box)


def test_the_volume_size_decides_nothing_but_where_it_ends() -> None:
    box = Box(start=(3, 5, 2), size=(20, 30, 25))
    small = Phantom(7, (23, 35, 27))
    large = Phantom(7, (FAR, FAR, FAR))
    assert np.array_equal(small.labels(box), large.labels(box))
    assert np.array_equal(small.image(box), large.image(box))
    assert np.array_equal(small.affinities(box), large.affinities(box))


def test_seeds_differ_and_repeat() -> None:
    box = Box(start=(100, 100, 100), size=(24, 24, 24))
    one, other, again = (Phantom(s, (500, 500, 500)) for s in (1, 2, 1))
    assert not np.array_equal(one.labels(box), other.labels(box))
    assert np.array_equal(one.image(box), again.image(box))
    assert not np.array_equal(one.image(box), other.image(box))


def stray_voxels(labels: np.ndarray) -> int:
    """Voxels of 6-connected parts that end inside the box and are not the largest of their label."""
    _, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape)
    parts = connected(dense + 1, connectivity=1)
    sizes = np.bincount(parts.ravel())
    owner = np.zeros(len(sizes), np.int64)
    owner[parts.ravel()] = dense.ravel()
    largest = np.zeros(dense.max() + 1, np.int64)
    np.maximum.at(largest, owner[1:], sizes[1:])
    cut = np.zeros(len(sizes), bool)
    for axis in range(3):
        for end in (0, -1):
            cut[np.take(parts, end, axis)] = True
    stray = ~cut & (sizes < largest[owner])
    stray[0] = False
    return int(sizes[stray].sum())


@pytest.mark.parametrize(
    ("voxel", "size", "limit"), [((10.0, 10.0, 10.0), (160, 160, 160), 0.002), ((40.0, 8.0, 8.0), (40, 256, 256), 0.01)]
)
def test_a_label_is_one_object(voxel: tuple[float, float, float], size: tuple[int, int, int], limit: float) -> None:
    labels = Phantom(3, (100_000,) * 3, voxel).labels(Box(start=(40_000, 50_000, 60_000), size=size))
    assert stray_voxels(labels) <= limit * labels.size


def on_surface(labels: np.ndarray) -> np.ndarray:
    """Voxels with a face neighbour of another label."""
    surface = np.zeros(labels.shape, bool)
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        differs = labels[tuple(low)] != labels[tuple(high)]
        surface[tuple(low)] |= differs
        surface[tuple(high)] |= differs
    return surface


def test_neurites_fill_space_with_many_calibres() -> None:
    labels = Phantom(2, (FAR,) * 3).labels(Box(start=(6000, 6000, 6000), size=(160, 160, 160)))
    assert labels.dtype == np.uint64
    assert labels.min() > 0
    assert labels.max() < 2**63
    ids, dense, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    parts = ndimage.find_objects(dense.reshape(labels.shape) + 1)
    assert 60 < len(ids) < 400
    inner = ndimage.distance_transform_edt(~on_surface(labels))
    large = np.flatnonzero(sizes > 2000)
    widest = 20 * ndimage.maximum(inner, dense.reshape(labels.shape), large)  # nm
    assert np.percentile(widest, 10) < 170
    assert np.median(widest) < 300
    assert max(widest) > 500
    assert sum(max(s.stop - s.start for s in found) > 120 for found in parts) >= 5


def test_membranes_are_dark_and_mitochondria_darker_than_their_neurite() -> None:
    place = everything(Phantom(2, (FAR,) * 3), Box(start=(6048, 6048, 6048), size=(96, 96, 96)))
    surface = on_surface(place.labels)
    distance = ndimage.distance_transform_edt(~surface)
    body = (distance > 5) & (place.mitochondria == 0)
    assert place.image[body].mean() - place.image[surface].mean() > 35
    inside = place.mitochondria == 1
    assert 0.005 < inside.mean() < 0.3
    assert not (inside & surface).any()
    assert place.image[body].mean() - place.image[inside].mean() > 50
    assert 100 < place.image.mean() < 160
    assert 20 < place.image.std() < 45


def test_affinities_follow_from_labels() -> None:
    phantom = Phantom(5, (40, 41, 42))
    labels = phantom.labels(phantom.box)
    expected = np.zeros((3, *labels.shape), np.uint8)
    for axis in range(3):
        same = np.diff(labels.astype(np.int64), axis=axis) == 0
        rest = [slice(None)] * 3
        rest[axis] = slice(1, None)
        expected[(axis, *rest)] = 255 * same
    assert np.array_equal(phantom.affinities(phantom.box), expected)
    assert (expected == 0).any()


def test_degraded_affinities_err_as_told(home: Place) -> None:
    exact = home.phantom.degraded_affinities(home.box, grain=0.0, holes=0.0, false_membranes=0.0)
    assert np.array_equal(exact > 127, home.affinities > 127)
    wrong = (home.degraded > 127) != (home.affinities > 127)
    assert 0.0005 < wrong.mean() < 0.2
    missed = home.phantom.degraded_affinities(home.box, 0.0, 1.0, 0.0)
    assert (missed >= exact).all()
    assert (missed > exact).any()
    seen = home.phantom.degraded_affinities(home.box, 0.0, 0.0, 1.0)
    assert (seen <= exact).all()
    assert (seen < exact).any()
    edge = home.phantom.degraded_affinities(Box(start=(0, 0, 0), size=(4, 5, 6)))
    for axis in range(3):
        assert not np.take(edge[axis], 0, axis).any()


def test_the_empty_box_and_one_voxel() -> None:
    phantom = Phantom(1, (1, 1, 1))
    assert phantom.labels(phantom.box).shape == (1, 1, 1)
    assert phantom.affinities(phantom.box).tolist() == [[[[0]]]] * 3
    assert phantom.image(Box(start=(0, 0, 0), size=(0, 1, 1))).shape == (0, 1, 1)
    assert phantom.degraded_affinities(Box(start=(0, 0, 0), size=(1, 0, 1))).shape == (3, 1, 0, 1)


def test_errors_name_what_would_work() -> None:
    with pytest.raises(ValueError, match="reaches outside"):
        Phantom(1, (10, 10, 10)).labels(Box(start=(0, 0, 5), size=(1, 1, 6)))
    with pytest.raises(ValueError, match="1 to 100 nm"):
        Phantom(1, (10, 10, 10), (0.01, 8.0, 8.0))
    with pytest.raises(ValueError, match="corner to corner"):
        Phantom(1, (10**8, 10, 10))
    with pytest.raises(ValueError, match="at least one voxel"):
        Phantom(1, (10, 0, 10))
    with pytest.raises(ValueError, match=r"0\.25 to 8"):
        Phantom(1, (10, 10, 10), scale=0.0)
    with pytest.raises(ValueError, match="0 to 1"):
        Phantom(1, (10, 10, 10)).degraded_affinities(Box.of_shape((2, 2, 2)), grain=2.0)


def test_filling_volumes_gives_the_whole_phantom() -> None:
    phantom = Phantom(4, (20, 33, 40))
    image, labels = Memory(phantom.shape, np.uint8, (8, 8, 8)), Memory(phantom.shape, np.uint64)
    fill(phantom, image, labels, (16, 16, 24))
    assert len(image.writes) == 2 * 3 * 2
    assert np.array_equal(image.array, phantom.image(phantom.box))
    assert np.array_equal(labels.array, phantom.labels(phantom.box))
    only = Memory(phantom.shape, np.uint64)
    fill(phantom, None, only, (20, 33, 40))
    assert np.array_equal(only.array, labels.array)
    with pytest.raises(BlockAlignmentError):
        fill(phantom, image, None, (12, 12, 12))
    with pytest.raises(ValueError, match="the phantom"):
        fill(phantom, Memory((3, 3, 3), np.uint8), None, (3, 3, 3))
    with pytest.raises(ValueError, match="uint64"):
        fill(phantom, None, Memory(phantom.shape, np.uint16), (20, 33, 40))


def test_hashes_are_even_and_noise_is_smooth() -> None:
    key = np.uint64(99)
    draws = np.array([unit(np.uint64(cell_hash(key, a, b, -a * b))) for a in range(-30, 30) for b in range(-30, 30)])
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(draws.std() - 12**-0.5) < 0.01
    assert len({scramble(np.uint64(n)) for n in range(2000)}) == 2000
    grain = np.array([white(key, 1, y, x) for y in range(60) for x in range(60)])
    assert abs(grain.mean()) < 0.06
    assert abs(grain.std() - 1) < 0.05
    line = np.array([smooth(key, 0.3, -1.7, x / 100) for x in range(-400, 400)])
    assert np.abs(line).max() <= 1
    assert np.abs(np.diff(line)).max() < 0.04
    assert line.std() > 0.1


def test_the_distortion_does_not_fold() -> None:
    random = np.random.default_rng(0)
    folded = 0
    for _ in range(2000):
        point = random.uniform(0, 1e6, 3)
        jacobian = np.empty((3, 3))
        for axis in range(3):
            low, high = np.empty(3), np.empty(3)
            step = np.eye(3)[axis] * 5.0
            warp(np.uint64(5), OCTAVES, point - step, low)
            warp(np.uint64(5), OCTAVES, point + step, high)
            jacobian[axis] = (high - low) / 10.0
        folded += np.linalg.det(jacobian) <= 0
    assert folded <= 4


def test_names_are_one_to_one() -> None:
    values = [-(2**19) + 5, -1, 0, 1, 2**19 - 5]
    names = {
        name_of(level, family, i, j, t)
        for level in (0, 1)
        for family in range(3)
        for i in values
        for j in values
        for t in values
    }
    assert len(names) == 2 * 3 * 125
    assert all(0 < int(n) < 2**63 for n in names)
