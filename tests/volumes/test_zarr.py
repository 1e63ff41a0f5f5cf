from __future__ import annotations

import json

import numpy as np
import pytest
import tensorstore as ts

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume
from axonloom.volumes import zarr as zarr_module

ARRAY = np.random.default_rng(0).integers(1, 250, (2, 5, 12, 14)).astype("uint16")


def store(path, array, driver="zarr3", **metadata):
    """An array as another program writes it."""
    kind = {"data_type": str(array.dtype)} if driver == "zarr3" else {"dtype": array.dtype.newbyteorder("<").str}
    spec = {"driver": driver, "kvstore": f"file://{path}/", "create": True}
    ts.open(spec | {"metadata": {"shape": array.shape, **kind, **metadata}}).result().write(array).result()


def group(path, attributes=None, version=3):
    path.mkdir(parents=True, exist_ok=True)
    if version == 3:
        content = {"zarr_format": 3, "node_type": "group", "attributes": attributes or {}}
        (path / "zarr.json").write_text(json.dumps(content))
    else:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes or {}))


def test_what_is_stored(tmp_path):
    create_volume(
        tmp_path / "a.zarr",
        shape=(9, 80, 90),
        dtype="uint64",
        channels=3,
        voxel_size=(40, 4, 4),
        attributes={"mine": 1},
    )
    stored = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    assert stored["dimension_names"] == ["c", "z", "y", "x"]
    assert stored["chunk_grid"]["configuration"]["chunk_shape"] == [3, 9, 64, 64]
    assert [c["name"] for c in stored["codecs"]] == ["bytes", "blosc", "crc32c"]
    assert stored["codecs"][1]["configuration"]["cname"] == "zstd"
    assert stored["attributes"]["axonloom"] == {
        "format_version": 1,
        "voxel_size_nm": [40, 4, 4],
        "offset_voxels": [0, 0, 0],
    }
    assert stored["attributes"]["mine"] == 1
    with pytest.raises(VolumeError, match="axonloom's own"):
        create_volume(tmp_path / "b.zarr", shape=(1, 1, 1), dtype="uint8", attributes={"axonloom": 1})


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_format_2(separator, order, tmp_path):
    path = tmp_path / "a.zarr"
    store(path, ARRAY[0], "zarr", chunks=[2, 5, 14], dimension_separator=separator, order=order)
    (path / ".zattrs").write_text(json.dumps({"resolution": [40, 4, 4], "offset": [80, 8, 0]}))
    volume = open_volume(path)
    assert (volume.voxel_size, volume.offset, volume.chunk) == ((40.0, 4.0, 4.0), (2, 2, 0), (2, 5, 14))
    np.testing.assert_array_equal(volume.read(), ARRAY[0])
    volume.write(volume.box, ARRAY[1])
    volume.sync(volume.box)
    for key in volume.chunk_keys(volume.box):
        assert (path / key).is_file(), key


@pytest.mark.parametrize("names", [["c", "z", "y", "x"], ["x", "y", "z", "c"], ["z", "c^", "y", "x"], None])
def test_axes_are_turned_by_their_names(names, tmp_path):
    order = [["c", "z", "y", "x"].index(n[0]) for n in names or "czyx"]
    more = {"dimension_names": names} if names else {}
    store(tmp_path / "a.zarr", np.ascontiguousarray(ARRAY.transpose(order)), **more)
    volume = open_volume(tmp_path / "a.zarr")
    assert (volume.shape, volume.channels) == ((5, 12, 14), 2)
    box = Box(start=(1, 2, 3), end=(4, 9, 5))
    np.testing.assert_array_equal(volume.read(box), ARRAY[(..., *box.slices)])
    volume.write(box, ARRAY[(..., *box.slices)] + 1)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr").read(box, [1])[0], ARRAY[(1, *box.slices)] + 1)


@pytest.mark.parametrize("names", [["t", "z", "y", "x"], ["c", "t", "z", "y", "x"]])
def test_time_of_one_point_is_dropped_and_of_more_refused(names, tmp_path):
    for points in (1, 2):
        shape = [points if n == "t" else s for n, s in zip(names, (2, 3, 4, 5, 6)[-len(names) :], strict=True)]
        store(tmp_path / f"{points}.zarr", np.ones(shape, "uint8"), dimension_names=names)
    assert open_volume(tmp_path / "1.zarr").shape == (4, 5, 6)
    with pytest.raises(VolumeError, match="at most one"):
        open_volume(tmp_path / "2.zarr")


@pytest.mark.parametrize("version", [3, 2])
def test_a_group_lists_its_arrays(version, tmp_path):
    group(tmp_path / "g.zarr", version=version)
    for name in ("raw", "labels/ids"):
        store(tmp_path / "g.zarr" / name, ARRAY[0], "zarr3" if version == 3 else "zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "g.zarr/labels/ids").read(), ARRAY[0])
    with pytest.raises(VolumeError, match=r"is a zarr group and not an array.*g\.zarr/labels/ids, .*g\.zarr/raw"):
        open_volume(tmp_path / "g.zarr")
    with pytest.raises(VolumeError, match=r"rwa is not an array in .*holds labels/ids, raw"):
        open_volume(tmp_path / "g.zarr/rwa")
    with pytest.raises(VolumeError, match="name an array inside it"):
        create_volume(tmp_path / "g.zarr", shape=(1, 1, 1), dtype="uint8", overwrite=True)


def test_zarr_folders_of_any_name_are_known_by_what_is_in_them(tmp_path):
    store(tmp_path / "raw", ARRAY[0])
    assert open_volume(tmp_path / "raw").format == "zarr"


def multiscales(axes, unit="micrometer", prefix=""):
    spatial = [{"name": a, "type": "space", **({"unit": unit} if unit else {})} for a in "zyx"]
    other = [{"name": a, "type": "time" if a == "t" else "channel"} for a in axes if a in "tc"]
    lead = [1] * len(other)

    def level(path, factor):
        scale = {"type": "scale", "scale": [*lead, 0.04, 0.004 * factor, 0.008 * factor]}
        shift = {"type": "translation", "translation": [*[0] * len(lead), 0.4, 0.04, 0.0]}
        return {"path": path, "coordinateTransformations": [scale, shift]}

    return [{"axes": other + spatial, "datasets": [level("s0", 1), level("s1", 2)]}]


@pytest.mark.parametrize("version", [3, 2])
def test_ome_zarr(version, tmp_path):
    path = tmp_path / "image.ome.zarr"
    images = multiscales("tczyx")
    attributes = {"ome": {"version": "0.5", "multiscales": images}} if version == 3 else {"multiscales": images}
    group(path, attributes, version)
    driver = "zarr3" if version == 3 else "zarr"
    store(path / "s0", ARRAY[None, :1], driver)
    store(path / "s1", ARRAY[None, :, :, ::2, ::2], driver)
    first = open_volume(path)
    assert (first.shape, first.channels) == ((5, 12, 14), None)
    assert first.voxel_size == pytest.approx((40, 4, 8))
    assert first.offset == (10, 10, 0)
    np.testing.assert_array_equal(first.read(), ARRAY[0])
    second = open_volume(path / "s1")
    assert second.voxel_size == pytest.approx((40, 8, 16))
    assert second.channels == 2
    assert second.offset == (10, 5, 0)


def test_ome_zarr_without_units_states_no_voxel_size(tmp_path):
    group(tmp_path / "a.zarr", {"multiscales": multiscales("zyx", unit=None)})
    store(tmp_path / "a.zarr/s0", ARRAY[0])
    assert open_volume(tmp_path / "a.zarr").voxel_size is None


def test_chunks_that_were_never_written_read_as_zero(tmp_path):
    volume = create_volume(tmp_path / "a.zarr", shape=(4, 8, 8), dtype="float32", chunk=(2, 8, 8))
    volume.write(Box(start=(2, 0, 0), size=(2, 8, 8)), np.ones((2, 8, 8), "float32"))
    assert open_volume(tmp_path / "a.zarr").read().sum() == 128
    assert not (tmp_path / "a.zarr/c/0").exists()


def test_groups_above_an_array_are_made_and_arrays_hold_no_arrays(tmp_path):
    create_volume(tmp_path / "g.zarr/a/b", shape=(1, 1, 1), dtype="uint8")
    for folder in ("g.zarr", "g.zarr/a"):
        assert json.loads((tmp_path / folder / "zarr.json").read_text())["node_type"] == "group"
    with pytest.raises(VolumeError, match="no array can lie inside it"):
        create_volume(tmp_path / "g.zarr/a/b/c", shape=(1, 1, 1), dtype="uint8")


def test_sync_covers_every_folder_above_the_chunks_of_the_box(tmp_path, monkeypatch):
    volume = create_volume(tmp_path / "a.zarr", shape=(6, 8, 8), dtype="uint8", chunk=(2, 4, 4))
    volume.write(volume.box, np.ones((6, 8, 8), "uint8"))
    synced = []
    monkeypatch.setattr(zarr_module, "sync_folders", lambda folders: synced.extend(folders))
    volume.sync(Box(start=(2, 0, 0), end=(4, 4, 8)))
    root = tmp_path / "a.zarr"
    assert synced == [root / "c/1/0", root / "c/1", root / "c", root]
    assert volume.chunk_keys(Box(start=(2, 0, 0), end=(4, 4, 8))) == ["c/1/0/0", "c/1/0/1"]


def test_tensorstore_syncs_chunk_files_itself(tmp_path):
    """What `sync` relies on; that the driver then calls fsync before and after its rename was seen by strace."""
    volume = create_volume(tmp_path / "a.zarr", shape=(1, 1, 1), dtype="uint8")
    spec = volume._native.spec(retain_context=True).to_json()
    assert spec["kvstore"]["file_io_sync"] is True


def test_sharded_arrays_have_the_shard_as_their_chunk(tmp_path):
    shard = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [1, 4, 7], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]},
    }
    grid = {"name": "regular", "configuration": {"chunk_shape": [5, 8, 14]}}
    store(tmp_path / "a.zarr", ARRAY[0], codecs=[shard], chunk_grid=grid)
    volume = open_volume(tmp_path / "a.zarr")
    assert volume.chunk == (5, 8, 14)
    np.testing.assert_array_equal(volume.read(), ARRAY[0])
    assert [(tmp_path / "a.zarr" / k).exists() for k in volume.chunk_keys(volume.box)] == [True, True]


def test_n5(tmp_path):
    spec = {"driver": "n5", "kvstore": f"file://{tmp_path}/a.n5/volumes/raw/", "create": True}
    metadata = {"dimensions": ARRAY.shape[::-1], "dataType": "uint16", "blockSize": [7, 6, 5, 1]}
    metadata |= {"compression": {"type": "gzip"}}
    ts.open(spec | {"metadata": metadata}).result().write(ARRAY.T).result()
    attributes = tmp_path / "a.n5/volumes/raw/attributes.json"
    content = json.loads(attributes.read_text())
    content["pixelResolution"] = {"unit": "nm", "dimensions": [4.0, 5.0, 40.0]}
    attributes.write_text(json.dumps(content))
    volume = open_volume(tmp_path / "a.n5/volumes/raw")
    assert (volume.shape, volume.channels, volume.chunk) == ((5, 12, 14), 2, (5, 6, 7))
    assert volume.voxel_size == (40.0, 5.0, 4.0)
    box = Box(start=(1, 2, 3), end=(4, 9, 5))
    np.testing.assert_array_equal(volume.read(box, [1]), ARRAY[1:][(..., *box.slices)])
    assert volume.identity() == open_volume(tmp_path / "a.n5/volumes/raw").identity()
    with pytest.raises(VolumeError, match=r"is not an N5 data set; those in .*: volumes/raw"):
        open_volume(tmp_path / "a.n5/volumes")
    with pytest.raises(VolumeError, match="opened for reading"):
        volume.write(box, volume.read(box))
