"""What training reads of volumes that are larger than memory: patches, and little else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.representations.affinity import Affinity
from axonloom.training.labelled_volume import LabelledVolume, has_labels
from axonloom.training.sampling import DRAWS, Sampler
from tests.training.cells import ArrayVolume

PATCH = (8, 16, 16)


class Watched(ArrayVolume):
    """A volume that remembers the largest box that was read of it."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array)
        self.largest = 0
        self.reads = 0

    def _read(self, box, channels):
        self.largest = max(self.largest, box.voxels)
        self.reads += 1
        return super()._read(box, channels)


def corner(shape=(64, 160, 160)) -> tuple[Watched, Watched]:
    """An image, and labels in one corner of it."""
    labels = np.zeros(shape, np.uint32)
    labels[:20, :60, :60] = 1 + np.arange(60, dtype=np.uint32) // 7
    return Watched(np.random.default_rng(0).integers(0, 256, shape, np.uint8)), Watched(labels)


def test_an_image_is_read_for_accepted_patches_alone():
    image, labels = corner()
    sampler = Sampler([LabelledVolume(image, labels)], Affinity(), PATCH, least_labelled=0.3)
    labels.largest = labels.reads = 0
    patch = prod(sampler.read_shape)
    for index in range(10):
        sampler.sample(index)
    assert image.reads == 10
    assert image.largest <= patch
    assert 10 < labels.reads <= 10 * DRAWS
    assert labels.largest <= patch


def test_labels_are_looked_for_part_by_part():
    array = np.zeros((20, 50, 60), np.uint32)
    box = Box(start=(2, 3, 4), end=(20, 50, 59))
    # Each voxel is looked at, and none outside.
    for place in [(2, 3, 4), (19, 49, 58), (11, 26, 31)]:
        array[:] = 0
        array[place] = 5
        labels = Watched(array)
        assert has_labels(labels, box, (7, 8, 9))
        assert labels.largest <= 7 * 8 * 9
    array[:] = 0
    array[0], array[:, :, 59] = 3, 3
    labels = Watched(array)
    assert not has_labels(labels, box, (7, 8, 9))
    assert labels.voxels_read == box.voxels


@pytest.mark.parametrize("where", [slice(0, 16), slice(48, 64)])
def test_labels_that_fill_a_quarter_are_found_soon(where):
    array = np.zeros((64, 64, 64), np.uint8)
    array[where] = 1
    labels = Watched(array)
    assert has_labels(labels, labels.box, (8, 8, 8))
    assert labels.reads <= 8


def test_what_is_kept_in_memory_is_read_once_by_any_number_of_threads():
    image, labels = corner()
    sampler = Sampler([LabelledVolume(image, labels)], Affinity(), PATCH, cache=10**9)
    before = labels.reads
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sampler.sample, range(12)))
    assert image.reads == 1
    assert labels.reads == before + 1


def test_what_is_kept_in_memory_is_bounded_over_all_volumes():
    """Of three volumes two fit: the third is read patch by patch."""
    volumes = [LabelledVolume(*corner((32, 64, 64))) for _ in range(3)]
    size = 5 * 32 * 64 * 64
    sampler = Sampler(volumes, Affinity(), PATCH, cache=2 * size + size // 2)
    for index in range(30):
        sampler.sample(index)
    whole = [volume.image.largest == prod(volume.image.shape) for volume in volumes]
    assert whole == [True, True, False]
