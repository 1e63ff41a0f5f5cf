from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axonloom.geometry import Box
from axonloom.volumes import CroppedVolume, VolumeError, create_volume, open_affinities

UNIT = {"z": (1, 0, 0), "y": (0, 1, 0), "x": (0, 0, 1)}


def volume_of(array, folder):
    volume = create_volume(
        folder / "a.zarr",
        shape=array.shape[1:],
        dtype=array.dtype,
        channels=len(array),
        chunk=(2, 3, 4),
        overwrite=True,
    )
    volume.write(volume.box, array)
    return volume


def oracle(array, offsets):
    """Edge by edge, from the definition: the value at v speaks of v and v + offset; it is stored at the later of the two."""
    shape = array.shape[1:]
    out = np.zeros((3, *shape), np.uint8)
    for axis, unit in enumerate(UNIT.values()):
        channel = next(c for c, o in enumerate(offsets) if tuple(np.abs(o)) == unit)
        for v in np.ndindex(*shape):
            w = tuple(np.add(v, offsets[channel]))
            if all(0 <= a < n for a, n in zip(w, shape, strict=True)):
                value = array[(channel, *v)]
                out[(axis, *max(v, w))] = value if array.dtype == np.uint8 else np.rint(255 * float(value))
    return out


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_convention_equals_its_definition(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("affinities")
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    steps = [tuple(data.draw(st.sampled_from((1, -1))) * n for n in u) for u in UNIT.values()]
    longer = data.draw(st.lists(st.sampled_from([(0, 0, 3), (-2, 0, 0), (1, 1, 0), (0, 0, 0)]), max_size=2))
    offsets = data.draw(st.permutations([*steps, *longer]))
    if data.draw(st.booleans()):
        array = rng.integers(0, 256, (len(offsets), *shape)).astype("uint8")
    else:
        array = rng.random((len(offsets), *shape)).astype(data.draw(st.sampled_from(["float16", "float32", "float64"])))
    view = open_affinities(volume_of(array, folder), offsets=offsets)
    expected = oracle(array, offsets)
    assert (view.channels, view.dtype, view.shape) == (3, np.uint8, shape)
    np.testing.assert_array_equal(view.read(), expected)
    start = [data.draw(st.integers(0, n)) for n in shape]
    box = Box(start=start, end=[data.draw(st.integers(a, n)) for a, n in zip(start, shape, strict=True)])
    np.testing.assert_array_equal(view.read(box), expected[(..., *box.slices)])
    np.testing.assert_array_equal(view.read(box, [2, 0]), expected[[2, 0]][(..., *box.slices)])


@pytest.mark.parametrize("order", ["zyx", "xyz"])
@pytest.mark.parametrize("side", ["destination", "source"])
def test_order_and_side_are_short_for_offsets(order, side, tmp_path):
    array = np.random.default_rng(1).integers(0, 256, (3, 3, 4, 5)).astype("uint8")
    volume = volume_of(array, tmp_path)
    sign = -1 if side == "destination" else 1
    offsets = [tuple(sign * n for n in UNIT[a]) for a in order]
    short = open_affinities(volume, channel_order=order, value_at=side)
    long = open_affinities(volume, offsets=offsets)
    np.testing.assert_array_equal(short.read(), oracle(array, offsets))
    np.testing.assert_array_equal(long.read(), short.read())
    assert long.identity() == short.identity()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(short)).read(), short.read())


def test_conventions_are_part_of_the_identity(tmp_path):
    volume = volume_of(np.zeros((3, 2, 2, 2), "float32"), tmp_path)
    views = [
        open_affinities(volume, channel_order=order, value_at=side)
        for order in ("zyx", "xyz")
        for side in ("destination", "source")
    ]
    assert len({str(v.identity()) for v in views}) == 4
    assert views[0].identity()["affinities"]["float_to_uint8"] == "round(255 a)"
    assert views[0].identity()["source"] == volume.identity()


def test_ties_go_to_even(tmp_path):
    ties = np.array([0.5, 1.5, 2.5, 253.5, 254.5]) / 255
    array = np.zeros((3, 2, 2, 5))
    array[:] = ties
    found = open_affinities(volume_of(array, tmp_path)).read(Box(start=(1, 1, 1), size=(1, 1, 4)))[0, 0, 0]
    np.testing.assert_array_equal(found, np.rint(ties * 255)[1:])


@pytest.mark.parametrize("wrong", [np.nan, -0.001, 1.001, np.inf])
def test_values_outside_are_found_with_their_region(wrong, tmp_path):
    array = np.full((3, 3, 4, 5), 0.5, "float32")
    array[1, 2, 3, 4] = wrong
    view = open_affinities(volume_of(array, tmp_path))
    assert (view.read(Box(start=(1, 1, 1), end=(2, 4, 5))) == 128).all()
    with pytest.raises(VolumeError, match=rf"a\.zarr holds the affinity {wrong}.* in Box\[2:3, 3:4, 4:5\]"):
        view.read(Box(start=(2, 3, 4), end=(3, 4, 5)))


@pytest.mark.parametrize(("side", "plane"), [("destination", 0), ("source", -1)])
def test_what_is_stored_for_no_edge_may_be_anything(side, plane, tmp_path):
    array = np.full((3, 3, 4, 5), 0.5, "float32")
    for axis in range(3):
        np.moveaxis(array[axis], axis, 0)[plane] = np.nan
    found = open_affinities(volume_of(array, tmp_path), value_at=side).read()
    assert np.count_nonzero(found == 128) == 2 * 4 * 5 + 3 * 3 * 5 + 3 * 4 * 4
    assert set(np.unique(found)) == {0, 128}


def test_a_cropped_source_has_no_edges_at_its_own_first_planes(tmp_path):
    array = np.random.default_rng(1).integers(1, 256, (3, 4, 5, 6)).astype("uint8")
    part = CroppedVolume(volume_of(array, tmp_path), Box(start=(1, 2, 3), end=(4, 5, 6)))
    found = open_affinities(part).read()
    for axis in range(3):
        first = np.moveaxis(found[axis], axis, 0)
        assert not first[0].any()
        assert first[1:].all()


def test_what_is_refused(tmp_path):
    def of(dtype, channels):
        return create_volume(tmp_path / "b.zarr", shape=(2, 2, 2), dtype=dtype, channels=channels, overwrite=True)

    with pytest.raises(VolumeError, match="channel axis"):
        open_affinities(of("uint8", None))
    with pytest.raises(VolumeError, match="holds uint16"):
        open_affinities(of("uint16", 3))
    with pytest.raises(VolumeError, match=r"4 channels, not 3: give `offsets`"):
        open_affinities(of("uint8", 4))
    with pytest.raises(VolumeError, match="3 channels, and 2 offsets"):
        open_affinities(of("uint8", 3), offsets=[(1, 0, 0), (0, 1, 0)])
    with pytest.raises(VolumeError, match="no affinity along x"):
        open_affinities(of("uint8", 3), offsets=[(1, 0, 0), (0, 1, 0), (0, 0, 2)])
    with pytest.raises(VolumeError, match="'yxz'"):
        open_affinities(of("uint8", 3), channel_order="yxz")
    view = open_affinities(of("uint8", 3))
    with pytest.raises(VolumeError, match="for reading"):
        view.write(view.box, view.read())
