"""What a user can get wrong is one sentence that says what, where, and what would work."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorstore as ts
import tifffile

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume
from tests.volumes.formats import every_format, uri_of


def filled(uri, shape=(6, 20, 30), dtype="uint8", **more):
    volume = create_volume(uri, shape=shape, dtype=dtype, **more)
    array = np.random.default_rng(0).integers(1, 200, shape).astype(dtype)
    volume.write(volume.box, array)
    volume.sync()
    return array


@every_format
def test_missing(name, tmp_path):
    with pytest.raises(VolumeError, match=r"does not exist|no extension"):
        open_volume(uri_of(name, tmp_path))
    with pytest.raises(VolumeError, match="nor does its folder"):
        open_volume(uri_of(name, tmp_path / "nowhere").rstrip("/"))


def test_missing_names_a_close_one(tmp_path):
    create_volume(tmp_path / "training.zarr", shape=(1, 1, 1), dtype="uint8")
    with pytest.raises(VolumeError, match=r"did you mean .*training\.zarr\?"):
        open_volume(tmp_path / "trainig.zarr")


@every_format
def test_creating_over_something(name, tmp_path):
    uri = uri_of(name, tmp_path)
    array = filled(uri)
    with pytest.raises(VolumeError, match=r"exists already.*overwrite=True"):
        create_volume(uri, shape=(2, 2, 2), dtype="uint16")
    np.testing.assert_array_equal(open_volume(uri).read(), array)
    made = create_volume(uri, shape=(2, 3, 4), dtype="uint16", overwrite=True)
    assert not made.read().any()
    assert (made.shape, made.dtype) == ((2, 3, 4), np.uint16)


@every_format
def test_what_is_no_volume_is_never_removed(name, tmp_path):
    uri = uri_of(name, tmp_path)
    target = Path(uri.removeprefix("precomputed://").split(":")[0].rstrip("/"))
    if name in ("hdf5", "tiff"):
        target.mkdir()
    else:
        target.mkdir(parents=True)
        (target / "thesis.txt").write_text("years of work")
    with pytest.raises((VolumeError, OSError)):
        create_volume(uri, shape=(2, 2, 2), dtype="uint8", overwrite=True)
    assert target.is_dir()
    assert [p.name for p in target.iterdir()] in ([], ["thesis.txt"])


@pytest.mark.parametrize("name", ["x.png", "x", "x.nii.gz"])
def test_unknown_extensions_list_the_known(name, tmp_path):
    (tmp_path / name).write_text("?")
    for attempt in (
        lambda: open_volume(tmp_path / name),
        lambda: create_volume(str(tmp_path / name), shape=(1, 1, 1), dtype="uint8"),
    ):
        with pytest.raises(VolumeError, match=r"\.h5.*\.tif.*\.zarr.*precomputed"):
            attempt()


def test_remote_urls_need_a_format():
    with pytest.raises(VolumeError, match="precomputed://gs://bucket/x"):
        open_volume("gs://bucket/x")


@pytest.mark.parametrize("name", ["x.h5:a", "x.tif", "x.zarr", "x.n5", "precomputed://{}/x"])
def test_not_of_that_format(name, tmp_path):
    path = tmp_path / name.split("/")[-1].split(":")[0]
    if path.suffix in (".h5", ".tif"):
        path.write_text("this is a letter, not a volume\n" * 50)
    else:
        path.mkdir()
        (path / "letter.txt").write_text("this is a letter")
    uri = name.format(tmp_path) if "{}" in name else str(tmp_path / name)
    with pytest.raises(VolumeError, match=r"is not an? (HDF5|TIFF|zarr|N5|precomputed)"):
        open_volume(uri)


@pytest.mark.parametrize("name", ["x.h5:a", "x.tif", "x.zarr"])
@pytest.mark.parametrize("shape", [(5, 6), (2, 2, 2, 3, 4)])
def test_wrong_number_of_axes(name, shape, tmp_path):
    uri = str(tmp_path / name)
    if name == "x.h5:a":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["a"] = np.zeros(shape)
    elif name == "x.zarr":
        spec = {"driver": "zarr3", "kvstore": f"file://{uri}/", "create": True}
        ts.open(spec | {"metadata": {"shape": shape, "data_type": "uint8"}}).result()
    else:
        if len(shape) == 2:
            pytest.skip("one page is a stack of one section")
        tifffile.imwrite(uri, np.zeros(shape, "uint8"), photometric="minisblack", metadata={"axes": "TCZYX"})
    with pytest.raises(VolumeError, match=r"\(" + ", ".join(map(str, shape)) + r"\).* 3 .*z, y, x"):
        open_volume(uri)


@pytest.mark.parametrize("name", ["x.h5:a", "x.zarr"])
def test_what_is_no_number(name, tmp_path):
    if name == "x.zarr":
        spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/x.zarr/", "create": True}
        ts.open(spec | {"metadata": {"shape": [1, 2, 3], "data_type": "complex64"}}).result()
    else:
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("a", (1, 2, 3), h5py.string_dtype())
    with pytest.raises(VolumeError, match="integers, floats or booleans"):
        open_volume(tmp_path / name)
    with pytest.raises(VolumeError, match="integers, floats or booleans"):
        create_volume(tmp_path / "new.zarr", shape=(1, 1, 1), dtype="complex64")


@every_format
def test_cut_files(name, tmp_path):
    """Half of the largest data file is gone: a sentence when it is opened or when the region is read, and never other values."""
    uri = uri_of(name, tmp_path)
    array = filled(uri, chunk=(6, 20, 30))
    data = max((p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p.name))
    with open(data, "r+b") as file:
        file.truncate(data.stat().st_size // 2)
    # HDF5's truncated file, TIFF's missing pages, a chunk that does not decode.
    with pytest.raises(VolumeError, match=r"truncated|damaged") as caught:
        open_volume(uri).read()
    assert str(data.parent) in str(caught.value)
    assert array.any()


@pytest.mark.parametrize("name", ["zarr", "precomputed"])
@pytest.mark.parametrize("kept", [0, 1, 30, -1])
def test_cut_chunks_name_the_region_and_spare_the_rest(name, kept, tmp_path):
    uri = uri_of(name, tmp_path)
    array = filled(uri, dtype="uint64", chunk=(3, 20, 30))
    key = "c/1/0/0" if name == "zarr" else "1_1_1/0-30_0-20_3-6"
    chunk = next(p for p in tmp_path.rglob("*") if p.as_posix().endswith(key))
    with open(chunk, "r+b") as file:
        file.truncate(kept if kept >= 0 else chunk.stat().st_size + kept)
    volume = open_volume(uri)
    np.testing.assert_array_equal(volume.read(Box(start=(0, 0, 0), size=(3, 20, 30))), array[:3])
    with pytest.raises(VolumeError, match=r"Box\[3:4, 0:1, 0:1\] are damaged") as caught:
        volume.read(Box(start=(3, 0, 0), size=(1, 1, 1)))
    assert volume.uri in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_zarr_chunk_is_noticed(tmp_path):
    filled(tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 4
    chunk.write_bytes(content)
    with pytest.raises(VolumeError, match="damaged"):
        open_volume(tmp_path / "a.zarr").read()


@pytest.mark.parametrize(
    ("name", "metadata"), [("zarr", "zarr.json"), ("precomputed", "info"), ("folder", "axonloom.json")]
)
def test_damaged_metadata(name, metadata, tmp_path):
    uri = uri_of(name, tmp_path)
    filled(uri)
    path = next(tmp_path.rglob(metadata))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VolumeError, match=rf"{metadata}.* is (damaged|not JSON)"):
        open_volume(uri)


def test_a_newer_format_is_refused(tmp_path):
    filled(tmp_path / "a.zarr")
    metadata = tmp_path / "a.zarr/zarr.json"
    metadata.write_text(metadata.read_text().replace('"format_version":1', '"format_version":2'))
    with pytest.raises(VolumeError, match="newer axonloom"):
        open_volume(tmp_path / "a.zarr")


def test_wrong_arguments(tmp_path):
    uri = tmp_path / "a.zarr"
    for wrong in ({"shape": (1, 2)}, {"shape": (0, 1, 1)}, {"chunk": (0, 1, 1)}, {"channels": 0}):
        with pytest.raises(VolumeError):
            create_volume(uri, **{"shape": (1, 1, 1), "dtype": "uint8", **wrong})
    with pytest.raises(VolumeError, match="positive"):
        create_volume(uri, shape=(1, 1, 1), dtype="uint8", voxel_size=(1, 0, 1))
    with pytest.raises(VolumeError, match="whole numbers"):
        create_volume(uri, shape=(1, 1, 1), dtype="uint8", offset=(1, 0.5, 1))
    with pytest.raises(VolumeError, match="only read"):
        create_volume(tmp_path / "a.n5", shape=(1, 1, 1), dtype="uint8")
    assert not uri.exists()


def test_a_folder_that_is_a_layer_says_so(tmp_path):
    filled(f"precomputed://{tmp_path}/layer")
    with pytest.raises(VolumeError, match="precomputed://"):
        open_volume(tmp_path / "layer")


@pytest.mark.parametrize("name", ["zarr", "precomputed", "folder", "tiff", "hdf5"])
def test_an_interrupted_creation_is_no_volume(name, tmp_path, monkeypatch):
    """The last step of creation fails: nothing opens, and creating again works."""
    import axonloom.volumes.precomputed as precomputed
    import axonloom.volumes.tiff_folder as tiff_folder
    import axonloom.volumes.zarr_create as zarr_create
    from axonloom import durable

    def stop(*_, **__):
        raise KeyboardInterrupt

    uri = uri_of(name, tmp_path)
    with monkeypatch.context() as patch:
        if name == "zarr":
            patch.setattr(zarr_create, "open_store", stop)
        elif name == "precomputed":
            patch.setattr(precomputed, "commit_info", stop)
        elif name == "folder":
            patch.setattr(tiff_folder, "write_record_file", stop)
        else:
            patch.setattr(durable.os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            create_volume(uri, shape=(2, 3, 4), dtype="uint8")
    with pytest.raises(VolumeError):
        open_volume(uri)
    assert create_volume(uri, shape=(2, 3, 4), dtype="uint8").shape == (2, 3, 4)
