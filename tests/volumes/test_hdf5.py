from __future__ import annotations

import h5py
import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume


@pytest.fixture
def cremi(tmp_path):
    with h5py.File(tmp_path / "cremi.hdf", "w") as file:
        raw = file.create_dataset("volumes/raw", data=np.arange(24, dtype="uint8").reshape(2, 3, 4))
        raw.attrs["resolution"] = (40.0, 4.0, 4.0)
        file["volumes/labels/neuron_ids"] = np.ones((1, 2, 2), ">u8")
        file["volumes/labels"].attrs["resolution"] = (40.0, 4.0, 4.0)
        file["volumes/labels/neuron_ids"].attrs["offset"] = (1480.0, 3644.0, 3645.9)
        file["annotations/comments"] = "no array"
    return tmp_path / "cremi.hdf"


def test_cremi_layout(cremi):
    raw = open_volume(f"{cremi}:volumes/raw")
    assert (raw.voxel_size, raw.offset) == ((40.0, 4.0, 4.0), (0, 0, 0))
    labels = open_volume(f"{cremi}:/volumes/labels/neuron_ids")
    assert (labels.voxel_size, labels.offset) == ((40.0, 4.0, 4.0), (37, 911, 911))
    assert labels.read().dtype == np.dtype("uint64"), "the file's byte order is not the reader's concern"
    assert labels.read().dtype.isnative


def test_missing_data_set_lists_those_there_are(cremi):
    with pytest.raises(VolumeError, match=r"volumes/rwa is not in .*volumes/labels/neuron_ids, volumes/raw"):
        open_volume(f"{cremi}:volumes/rwa")
    with pytest.raises(VolumeError, match=r"volumes is a group in .*volumes/raw"):
        open_volume(f"{cremi}:volumes")
    with pytest.raises(VolumeError, match=r"holds 2 data sets; name one: .*cremi.hdf:volumes/raw"):
        open_volume(cremi)


def test_the_only_data_set_needs_no_name(tmp_path):
    with h5py.File(tmp_path / "one.hdf5", "w") as file:
        file["some/where"] = np.ones((1, 2, 3), "float32")
    assert open_volume(tmp_path / "one.hdf5").uri.endswith("one.hdf5:some/where")
    with h5py.File(tmp_path / "none.h5", "w"):
        pass
    with pytest.raises(VolumeError, match="holds no data set"):
        open_volume(tmp_path / "none.h5")


@pytest.mark.parametrize("resolution", [(4.0, 0.0, 4.0), (4.0, 4.0), (np.nan, 4, 4)])
def test_a_resolution_that_is_none(tmp_path, resolution):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones((1, 2, 3), "uint8")
        file["x"].attrs["resolution"] = resolution
    with pytest.raises(VolumeError, match=r"attribute resolution.*three positive numbers"):
        open_volume(tmp_path / "a.h5:x")


def test_other_axis_orders_are_refused_where_they_are_stated(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones((1, 2, 3), "uint8")
        file["x"].attrs["axes"] = "xyz"
    with pytest.raises(VolumeError, match="axes are xyz"):
        open_volume(tmp_path / "a.h5")


def test_data_sets_share_a_file(tmp_path):
    first = create_volume(tmp_path / "a.h5:x/raw", shape=(2, 3, 4), dtype="uint8")
    first.write(first.box, np.full((2, 3, 4), 7, "uint8"))
    first.sync()
    create_volume(tmp_path / "a.h5:x/labels", shape=(2, 3, 4), dtype="uint64", channels=2, voxel_size=(3, 2, 1))
    assert (open_volume(tmp_path / "a.h5:x/raw").read() == 7).all()
    with pytest.raises(VolumeError, match="is a group, which is not overwritten"):
        create_volume(tmp_path / "a.h5:x", shape=(1, 1, 1), dtype="uint8", overwrite=True)
    with h5py.File(tmp_path / "a.h5") as file:
        labels = file["x/labels"]
        assert labels.compression == "gzip"
        assert labels.attrs["resolution"].tolist() == [3, 2, 1]
        assert labels.shape == (2, 2, 3, 4)
    assert not first.writable_by_blocks


def test_a_file_that_is_open_for_writing_elsewhere_says_so(tmp_path):
    import subprocess
    import sys

    volume = create_volume(tmp_path / "a.h5:x", shape=(2, 3, 4), dtype="uint8")
    volume.write(volume.box, np.ones((2, 3, 4), "uint8"))
    code = (
        "import sys\nfrom axonloom.volumes import open_volume, VolumeError\n"
        "try:\n    print(open_volume(sys.argv[1]).read().sum())\nexcept VolumeError as error:\n    print(error)\n"
    )

    def elsewhere():
        return subprocess.run(
            [sys.executable, "-c", code, volume.uri], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert "is open elsewhere" in elsewhere()
    volume.sync()
    assert elsewhere() == "24"


def test_cut_gzip_chunk_names_the_region(tmp_path):
    volume = create_volume(tmp_path / "a.h5:x", shape=(4, 64, 64), dtype="uint8", chunk=(2, 64, 64))
    array = np.random.default_rng(0).integers(0, 255, (4, 64, 64)).astype("uint8")
    volume.write(volume.box, array)
    volume.sync()
    with h5py.File(tmp_path / "a.h5") as file:
        where = file["x"].id.get_chunk_info_by_coord((2, 0, 0))
    with open(tmp_path / "a.h5", "r+b") as file:
        file.seek(where.byte_offset)
        file.write(bytes(100))
    found = open_volume(tmp_path / "a.h5:x")
    np.testing.assert_array_equal(found.read(Box(start=(0, 0, 0), size=(2, 64, 64))), array[:2])
    with pytest.raises(VolumeError, match=r"a\.h5:x: stored data of Box\[3:4, 0:64, 0:64\] are damaged"):
        found.read(Box(start=(3, 0, 0), size=(1, 64, 64)))


def test_real_volumes(shared):
    path = shared / "data/fib25/train.h5"
    volume = open_volume(f"{path}:volumes/raw")
    assert (volume.shape, volume.dtype, volume.voxel_size) == ((176, 250, 250), np.uint8, (10.0, 10.0, 10.0))
    box = Box(start=(30, 100, 7), size=(9, 80, 101))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(volume.read(box), file["volumes/raw"][box.slices])
    assert open_volume(shared / "data/fib25/unlabelled.h5").offset == (132, 100, 100)
