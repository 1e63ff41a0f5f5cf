"""Identity: equal while the data are, other when they change, and cheap."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume
from axonloom.volumes import identity as identity_module
from tests.volumes.formats import every_format, uri_of

FIRST = Box(start=(0, 0, 0), size=(1, 4, 5))
ONES = np.ones((1, 4, 5), "uint8")


@every_format
def test_it_changes_with_the_data_and_only_then(name, tmp_path):
    uri = uri_of(name, tmp_path)
    volume = create_volume(uri, shape=(3, 4, 5), dtype="uint8")
    volume.write(FIRST, ONES)
    volume.sync()
    before = open_volume(uri).identity()
    json.dumps(before)
    open_volume(uri).read()
    assert open_volume(uri).identity() == before
    later = max(p.stat().st_mtime_ns for p in tmp_path.rglob("*")) + 10**9
    volume.write(FIRST, 2 * ONES)
    volume.sync()
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.stat().st_mtime_ns < later:
            os.utime(path, ns=(later, later))  # the clock of a file system may be too coarse to see a quick change
    assert open_volume(uri).identity() != before


@pytest.mark.parametrize("name", ["zarr", "folder", "precomputed"])
def test_a_fingerprint_is_all_of_it(name, tmp_path):
    uri = uri_of(name, tmp_path)
    volume = create_volume(uri, shape=(3, 4, 5), dtype="uint8", attributes={"axonloom_fingerprint": "abc"})
    before = volume.identity()
    assert before["fingerprint"] == "abc"
    assert set(before) <= {"fingerprint", "mip"}
    volume.write(FIRST, ONES)
    volume.sync()
    assert open_volume(uri).identity() == before


@pytest.mark.parametrize("name", ["folder", "precomputed"])
def test_a_marker_file_of_a_fingerprint_alone(name, tmp_path):
    uri = uri_of(name, tmp_path)
    volume = create_volume(uri, shape=(3, 4, 5), dtype="uint8", voxel_size=(3, 2, 1), offset=(1, 2, 3))
    marker = next(tmp_path.rglob("axonloom.json"))
    marker.write_text(json.dumps({"axonloom_fingerprint": "abc"}))
    found = open_volume(uri)
    assert found.identity()["fingerprint"] == "abc"
    assert (found.voxel_size, found.offset) == ((3.0, 2.0, 1.0), (1, 2, 3))
    assert volume.identity() != found.identity()


@every_format
def test_a_stated_version_is_part_of_it(name, tmp_path):
    uri = uri_of(name, tmp_path)
    create_volume(uri, shape=(3, 4, 5), dtype="uint8")
    one, two = (open_volume(uri, version=v).identity() for v in ("1", "2"))
    assert one["version"] == "1"
    assert one != two


@pytest.mark.parametrize("name", ["zarr", "folder", "precomputed"])
def test_too_many_files_ask_for_a_version(name, tmp_path, monkeypatch):
    uri = uri_of(name, tmp_path)
    volume = create_volume(uri, shape=(8, 4, 5), dtype="uint8", chunk=(1, 4, 5))
    volume.write(volume.box, np.ones((8, 4, 5), "uint8"))
    monkeypatch.setattr(identity_module, "MOST_FILES", 5)
    with pytest.raises(VolumeError, match=r"more than 5 files.*`version`"):
        volume.identity()
    assert open_volume(uri, version="2025-01").identity()["version"] == "2025-01"


def test_locks_and_half_written_files_are_not_data(tmp_path):
    volume = create_volume(tmp_path / "a.zarr", shape=(3, 4, 5), dtype="uint8")
    before = volume.identity()
    (tmp_path / "a.zarr/c").mkdir()
    (tmp_path / "a.zarr/c/0.__lock").touch()
    assert volume.identity() == before


def test_a_link_is_what_it_points_to(tmp_path):
    volume = create_volume(tmp_path / "a.tif", shape=(3, 4, 5), dtype="uint8")
    (tmp_path / "link.tif").symlink_to(tmp_path / "a.tif")
    assert open_volume(tmp_path / "link.tif").identity() == volume.identity()
    shutil.copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert open_volume(tmp_path / "b.tif").identity() != volume.identity()


@every_format
def test_it_stays_the_same_where_the_data_were_moved(name, tmp_path):
    (tmp_path / "here").mkdir()
    volume = create_volume(uri_of(name, tmp_path / "here"), shape=(3, 4, 5), dtype="uint8")
    volume.write(volume.box, np.ones((3, 4, 5), "uint8"))
    volume.sync()
    before = open_volume(uri_of(name, tmp_path / "here")).identity()
    (tmp_path / "here").rename(tmp_path / "there")
    assert open_volume(uri_of(name, tmp_path / "there")).identity() == before


def test_files_of_one_size_and_time_are_told_apart_by_their_content(tmp_path):
    identities = []
    for k in (1, 2):
        volume = create_volume(tmp_path / str(k) / "image.tif", shape=(3, 4, 5), dtype="uint8")
        volume.write(volume.box, np.full((3, 4, 5), k, "uint8"))
        volume.sync()
        os.utime(tmp_path / str(k) / "image.tif", (1e9, 1e9))
        identities.append(open_volume(tmp_path / str(k) / "image.tif").identity())
    assert identities[0] != identities[1]
