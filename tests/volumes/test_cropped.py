from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import CroppedVolume, VolumeError, create_volume

BOX = Box(start=(1, 2, 3), end=(3, 5, 4))


@pytest.fixture
def whole(tmp_path):
    volume = create_volume(tmp_path / "a.zarr", shape=(4, 5, 6), dtype="uint16", channels=2, offset=(10, 20, 30))
    volume.write(volume.box, np.arange(240, dtype="uint16").reshape(2, 4, 5, 6))
    return volume


def test_a_part_reads_as_a_volume_of_its_own(whole):
    part = CroppedVolume(whole, BOX)
    assert (part.shape, part.channels, part.offset) == ((2, 3, 1), 2, (11, 22, 33))
    np.testing.assert_array_equal(part.read(), whole.read()[(..., *BOX.slices)])
    inner = Box(start=(1, 0, 0), end=(2, 2, 1))
    np.testing.assert_array_equal(part.read(inner, [1]), whole.read()[1:, 2:3, 2:4, 3:4])
    twice = CroppedVolume(part, inner)
    np.testing.assert_array_equal(twice.read(), part.read(inner))
    assert twice.offset == (12, 22, 33)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(twice)).read(), twice.read())
    json.dumps(part.describe())


def test_the_box_is_part_of_the_identity(whole):
    part = CroppedVolume(whole, BOX).identity()
    assert part == CroppedVolume(whole, BOX).identity()
    assert part != CroppedVolume(whole, BOX.shifted((0, 0, 1))).identity()
    assert part["box"] == {"start": [1, 2, 3], "stop": [3, 5, 4]}
    json.dumps(part)


def test_what_is_refused(whole):
    part = CroppedVolume(whole, BOX)
    with pytest.raises(VolumeError, match="reaches outside"):
        part.read(Box(start=(0, 0, 0), size=(3, 3, 1)))
    with pytest.raises(VolumeError, match="for reading"):
        part.write(part.box, part.read())
    for box in (Box(start=(0, 0, 0), size=(5, 1, 1)), Box(start=(0, 0, 0), size=(0, 1, 1))):
        with pytest.raises(VolumeError, match="is not a part"):
            CroppedVolume(whole, box)
