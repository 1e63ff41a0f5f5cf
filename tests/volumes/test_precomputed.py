from __future__ import annotations

import json

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, add_mip, create_volume, open_affinities, open_volume
from axonloom.volumes.precomputed_info import cloud_volume

BOX = Box(start=(1, 2, 3), end=(4, 9, 15))


def some(shape, dtype):
    return np.random.default_rng(0).integers(1, 250, shape).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "channels", "kind", "encoding"),
    [
        ("uint8", None, "image", "raw"),
        ("uint8", 3, "image", "raw"),
        ("float32", 2, "image", "raw"),
        ("uint32", None, "segmentation", "compressed_segmentation"),
        ("uint64", None, "segmentation", "compressed_segmentation"),
    ],
)
def test_cloud_volume_reads_ours_turned(dtype, channels, kind, encoding, tmp_path):
    array = some((*((channels,) if channels else ()), 5, 12, 17), dtype)
    uri = f"precomputed://{tmp_path}/layer"
    volume = create_volume(
        uri, shape=(5, 12, 17), dtype=dtype, channels=channels, chunk=(4, 8, 8), voxel_size=(40, 5, 4), offset=(7, 8, 9)
    )
    volume.write(volume.box, array)
    info = json.loads((tmp_path / "layer/info").read_text())
    assert (info["type"], info["scales"][0]["encoding"]) == (kind, encoding)
    assert info["scales"][0]["size"] == [17, 12, 5]
    assert info["scales"][0]["resolution"] == [4, 5, 40]
    assert info["scales"][0]["voxel_offset"] == [9, 8, 7]
    assert info["scales"][0]["chunk_sizes"] == [[8, 8, 4]]
    assert info["scales"][0]["key"] == "4_5_40"
    assert json.loads((tmp_path / "layer/provenance").read_text())["processing"][0]["by"] == "axonloom"
    theirs = cloud_volume(str(tmp_path / "layer"), 0)
    xyzc = np.asarray(theirs[9:26, 8:20, 7:12])
    expected = array[None] if channels is None else array
    np.testing.assert_array_equal(xyzc.transpose(3, 2, 1, 0), expected)


@pytest.mark.parametrize("compress", [False, "gzip", "br"])
@pytest.mark.parametrize("channels", [None, 2])
def test_we_read_what_cloud_volume_writes(compress, channels, tmp_path):
    """Also compressed local chunks, which TensorStore would take for missing and read as zeros."""
    from cloudvolume import CloudVolume

    array = some((*((channels,) if channels else ()), 5, 12, 17), "uint16")
    info = CloudVolume.create_new_info(
        num_channels=channels or 1,
        layer_type="image",
        data_type="uint16",
        encoding="raw",
        resolution=[4, 5, 40],
        voxel_offset=[9, 8, 7],
        volume_size=[17, 12, 5],
        chunk_size=[8, 8, 4],
    )
    theirs = CloudVolume(f"file://{tmp_path}/layer", info=info, compress=compress, progress=False)
    theirs.commit_info()
    theirs[:, :, :] = (array if channels else array[None]).transpose(3, 2, 1, 0)
    volume = open_volume(f"precomputed://{tmp_path}/layer")
    assert (volume.shape, volume.channels, volume.offset) == ((5, 12, 17), channels, (7, 8, 9))
    assert volume.voxel_size == (40.0, 5.0, 4.0)
    assert volume.describe()["read_by"] == ("cloud-volume" if compress else "tensorstore")
    np.testing.assert_array_equal(volume.read(), array)
    np.testing.assert_array_equal(volume.read(BOX), array[(..., *BOX.slices)])
    assert volume.read().flags.c_contiguous
    if channels:
        np.testing.assert_array_equal(volume.read(BOX, [1, 0]), array[::-1][(..., *BOX.slices)])
    if compress:
        assert not volume.writable_by_blocks
        with pytest.raises(VolumeError, match="can read but not write"):
            volume.write(volume.box, array)
        with pytest.raises(VolumeError, match="cannot take another scale"):
            add_mip(volume, (1, 2, 2))
        chunk = next((tmp_path / "layer").glob("4_5_40/9-17_8-16_7-11*"))
        chunk.write_bytes(chunk.read_bytes()[:20])
        with pytest.raises(VolumeError, match=r"stored data of Box\[0:1.* are damaged"):
            volume.read(Box(start=(0, 0, 0), size=(1, 1, 1)))


def test_a_pyramid(tmp_path):
    uri = f"precomputed://{tmp_path}/layer"
    fine = create_volume(
        uri, shape=(5, 13, 17), dtype="uint64", voxel_size=(40, 4, 4), offset=(3, 4, 8), chunk=(4, 8, 8)
    )
    array = some((5, 13, 17), "uint64")
    fine.write(fine.box, array)
    before = fine.identity()
    coarse = add_mip(fine, (1, 2, 2))
    assert (coarse.shape, coarse.voxel_size, coarse.offset) == ((5, 7, 9), (40.0, 8.0, 8.0), (3, 2, 4))
    assert coarse.uri == uri + "?mip=1"
    coarse.write(coarse.box, array[:, ::2, ::2])
    coarser = add_mip(coarse, [2, 2, 2], chunk=(2, 4, 4))
    assert (coarser.shape, coarser.chunk, coarser.offset) == ((3, 4, 5), (2, 4, 4), (1, 1, 2))
    np.testing.assert_array_equal(open_volume(uri + "?mip=1").read(), array[:, ::2, ::2])
    np.testing.assert_array_equal(open_volume(uri).read(), array)
    assert open_volume(uri).identity() == before, "another scale does not change this one"
    assert open_volume(uri + "?mip=1").identity() != before
    # Once more, as a run that was stopped does it; the scale and its data stay.
    np.testing.assert_array_equal(add_mip(fine, (1, 2, 2)).read(), array[:, ::2, ::2])
    assert len(json.loads((tmp_path / "layer/info").read_text())["scales"]) == 3
    with pytest.raises(VolumeError, match="has a scale 8_8_40 already"):
        add_mip(fine, (1, 2, 2), chunk=(2, 2, 2))
    for factor in ((1, 1, 1), (0, 2, 2), (2, 2)):
        with pytest.raises(VolumeError, match="three factors"):
            add_mip(fine, factor)
    theirs = cloud_volume(str(tmp_path / "layer"), 1)
    np.testing.assert_array_equal(np.asarray(theirs[4:13, 2:9, 3:8])[..., 0].T, array[:, ::2, ::2])
    with pytest.raises(VolumeError, match=r"3 scales; \?mip=0 to \?mip=2"):
        open_volume(uri + "?mip=3")
    with pytest.raises(VolumeError, match=r"only one is \?mip="):
        open_volume(uri + "?scale=3")
    with pytest.raises(VolumeError, match="cannot take another scale"):
        add_mip(create_volume(tmp_path / "a.zarr", shape=(1, 1, 1), dtype="uint8"), (2, 2, 2))


def test_a_scale_without_data_is_not_read_as_zeros(tmp_path):
    uri = f"precomputed://{tmp_path}/layer"
    add_mip(create_volume(uri, shape=(4, 4, 4), dtype="uint8", voxel_size=(8, 8, 8)), (2, 2, 2))
    (tmp_path / "layer/8_8_8").rmdir()
    with pytest.raises(VolumeError, match=r"mip 0 \(8_8_8\) .* has no data; mip 1 has: precomputed:///.*layer\?mip=1"):
        open_volume(uri)


def test_what_the_format_cannot_hold(tmp_path):
    with pytest.raises(VolumeError, match=r"not float64; \.zarr"):
        create_volume(f"precomputed://{tmp_path}/a", shape=(1, 1, 1), dtype="float64")
    with pytest.raises(VolumeError, match="starts with mip 0"):
        create_volume(f"precomputed://{tmp_path}/a?mip=1", shape=(1, 1, 1), dtype="uint8")
    assert list(tmp_path.iterdir()) == []


def test_a_layer_of_others_is_never_removed(tmp_path):
    uri = f"precomputed://{tmp_path}/a"
    create_volume(uri, shape=(1, 1, 1), dtype="uint8")
    (tmp_path / "a/axonloom.json").unlink()
    with pytest.raises(VolumeError, match="not made by axonloom"):
        create_volume(uri, shape=(1, 1, 1), dtype="uint8", overwrite=True)
    assert open_volume(uri).shape == (1, 1, 1)


def test_fractions_of_nanometres(tmp_path):
    uri = f"precomputed://{tmp_path}/a"
    create_volume(uri, shape=(1, 2, 3), dtype="uint8", voxel_size=(33.3, 3.5, 4))
    assert open_volume(uri).voxel_size == (33.3, 3.5, 4.0)
    assert cloud_volume(str(tmp_path / "a"), 0).resolution.tolist() == [4, 3.5, 33.3]


def test_affinities_from_a_layer(tmp_path):
    volume = create_volume(f"precomputed://{tmp_path}/a", shape=(3, 4, 5), dtype="uint8", channels=3)
    array = some((3, 3, 4, 5), "uint8")
    volume.write(volume.box, array)
    np.testing.assert_array_equal(open_affinities(volume, channel_order="xyz").read()[2, :, :, 1:], array[0, :, :, 1:])


def test_compresso_is_read_by_cloud_volume(shared):
    from cloudvolume import CloudVolume

    folder = shared / "data/pinky40_labels"
    with pytest.raises(VolumeError, match=r"mip 1 has: .*\?mip=1"):
        open_volume(f"precomputed://{folder}")
    volume = open_volume(f"precomputed://{folder}?mip=1")
    assert (volume.shape, volume.dtype, volume.voxel_size) == ((512, 512, 512), np.uint32, (40.0, 16.0, 16.0))
    box = Box(start=(60, 250, 100), end=(70, 262, 130))
    theirs = CloudVolume(f"file://{folder}", mip=1, progress=False)[100:130, 250:262, 60:70]
    found = volume.read(box)
    np.testing.assert_array_equal(found, np.asarray(theirs)[..., 0].transpose(2, 1, 0))
    assert found.any()


def test_crackle_is_read_by_cloud_volume(tmp_path):
    from cloudvolume import CloudVolume

    labels = np.arange(4 * 5 * 6, dtype=np.uint64).reshape(4, 5, 6) // 7
    CloudVolume.from_numpy(
        labels.transpose(2, 1, 0),
        vol_path=f"file://{tmp_path}/a",
        resolution=(8, 8, 8),
        chunk_size=(4, 4, 4),
        layer_type="segmentation",
        encoding="crackle",
        progress=False,
    )
    np.testing.assert_array_equal(open_volume(f"precomputed://{tmp_path}/a").read(), labels)
