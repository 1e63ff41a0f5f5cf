"""What is written is what is read, in every format: odd shapes, dtypes, channels, regions, threads, pickling."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume
from tests.volumes.formats import FORMATS, every_format, uri_of

SHAPES = [(1, 1, 1), (1, 5, 7), (6, 1, 3), (4, 7, 1), (5, 9, 70)]


def some(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@every_format
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "uint32", "uint64"])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_every_dtype_comes_back(name, dtype, channels, tmp_path):
    if channels and name == "folder":
        pytest.skip("a folder of sections holds no channels")
    shape = (3, 9, 17)
    uri = uri_of(name, tmp_path)
    made = create_volume(uri, shape=shape, dtype=dtype, channels=channels, chunk=(2, 4, 8))
    array = some((*((channels,) if channels else ()), *shape), dtype)
    if name == "precomputed" and channels == 1:
        assert made.channels is None, "a layer of one channel cannot be told from one of none"
        array = array[0]
    else:
        assert made.channels == channels
    made.write(made.box, array)
    made.sync(made.box)
    made.sync()
    found = open_volume(uri)
    assert found.dtype == np.dtype(dtype)
    assert found.shape == shape
    back = found.read()
    assert back.dtype == np.dtype(dtype)
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, array)


@every_format
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_comes_back_with_its_place(name, shape, tmp_path):
    uri = uri_of(name, tmp_path)
    made = create_volume(
        uri, shape=shape, dtype="uint16", voxel_size=(40, 7.5, 8), offset=(5, 6, 7), attributes={"who": ["a", 1]}
    )
    assert not made.read().any()
    array = some(shape, "uint16")
    made.write(made.box, array)
    made.sync()
    found = open_volume(uri)
    np.testing.assert_array_equal(found.read(), array)
    assert found.voxel_size == (40.0, 7.5, 8.0)
    assert found.offset == (5, 6, 7)
    assert dict(found.attributes) == {"who": ["a", 1]}


@every_format
def test_an_unknown_voxel_size_stays_unknown_and_can_be_stated(name, tmp_path):
    uri = uri_of(name, tmp_path)
    assert create_volume(uri, shape=(2, 3, 4), dtype="uint8", offset=(1, 2, 3)).voxel_size is None
    assert open_volume(uri).offset == (1, 2, 3)
    stated = open_volume(uri, voxel_size=(30, 4, 4), offset=(9, 9, 9))
    assert (stated.voxel_size, stated.offset) == ((30.0, 4.0, 4.0), (9, 9, 9))
    again = pickle.loads(pickle.dumps(stated))
    assert (again.voxel_size, again.offset) == ((30.0, 4.0, 4.0), (9, 9, 9))


@every_format
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_regions_equal_numpy(name, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    channels = None if name == "folder" else data.draw(st.sampled_from([None, 2]))
    shape = tuple(data.draw(st.integers(1, 11)) for _ in range(3))
    chunk = tuple(data.draw(st.integers(1, 6)) for _ in range(3))
    uri = uri_of(name, folder)
    volume = create_volume(uri, shape=shape, dtype="uint32", channels=channels, chunk=chunk, offset=(3, 5, 0))
    oracle = np.zeros((*((channels,) if channels else ()), *shape), "uint32")
    for step in range(3):
        start = [data.draw(st.integers(0, n - 1)) for n in shape]
        end = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
        box = Box(start=start, end=end)
        part = some(oracle[(..., *box.slices)].shape, "uint32", step)
        volume.write(box, part)
        oracle[(..., *box.slices)] = part
    volume.sync()
    found = open_volume(uri)
    np.testing.assert_array_equal(found.read(), oracle)
    start = [data.draw(st.integers(0, n)) for n in shape]
    end = [data.draw(st.integers(a, n)) for a, n in zip(start, shape, strict=True)]
    box = Box(start=start, end=end)
    if channels:
        np.testing.assert_array_equal(found.read(box, [1]), oracle[1:][(..., *box.slices)])
        np.testing.assert_array_equal(found.read(box, [1, 0, 1]), oracle[[1, 0, 1]][(..., *box.slices)])
    np.testing.assert_array_equal(found.read(box), oracle[(..., *box.slices)])


@every_format
def test_threads_share_a_volume(name, tmp_path):
    uri = uri_of(name, tmp_path)
    array = some((8, 40, 40), "uint64")
    made = create_volume(uri, shape=array.shape, dtype="uint64", chunk=(4, 16, 16))
    made.write(made.box, array)
    made.sync()
    volume = open_volume(uri)
    boxes = [Box(start=(z, y, y), end=(z + 1, 40, 40)) for z in range(8) for y in range(0, 40, 8)]
    with ThreadPoolExecutor(8) as pool:
        for box, part in zip(boxes, pool.map(volume.read, boxes), strict=True):
            np.testing.assert_array_equal(part, array[box.slices])


@every_format
def test_reaching_outside_and_wrong_arrays_are_refused(name, tmp_path):
    volume = create_volume(uri_of(name, tmp_path), shape=(3, 4, 5), dtype="uint8")
    with pytest.raises(VolumeError, match="reaches outside"):
        volume.read(Box(start=(0, 0, 0), size=(3, 4, 6)))
    with pytest.raises(VolumeError, match="reaches outside"):
        volume.write(Box(start=(-1, 0, 0), size=(1, 4, 5)), np.zeros((1, 4, 5), "uint8"))
    with pytest.raises(VolumeError, match="no channel axis"):
        volume.read(channels=[0])
    with pytest.raises(ValueError, match="takes"):
        volume.write(volume.box, np.zeros((3, 4, 5), "uint16"))


@every_format
def test_describe_is_plain_json_and_reads_no_voxels(name, tmp_path, monkeypatch):
    import json

    volume = create_volume(uri_of(name, tmp_path), shape=(3, 4, 5), dtype="uint32", voxel_size=(1, 2, 3))
    monkeypatch.setattr(type(volume), "_read", lambda *_: pytest.fail("voxels were read"))
    facts = json.loads(json.dumps(volume.describe()))
    assert facts["shape"] == [3, 4, 5]
    assert facts["voxel_size_nm"] == [1, 2, 3]
    assert volume.uri in repr(volume)


def test_relative_paths_and_home_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for uri in ("a.zarr", "a.tif", "a.h5:x", "s/", "precomputed://./p", "precomputed://file://q"):
        volume = create_volume(uri, shape=(2, 2, 2), dtype="uint8")
        assert str(tmp_path) in volume.uri
    assert open_volume("~/a.zarr").shape == (2, 2, 2)
    assert open_volume(f"file://{tmp_path}/a.zarr").shape == (2, 2, 2)
    assert set(FORMATS) > {"zarr"}
