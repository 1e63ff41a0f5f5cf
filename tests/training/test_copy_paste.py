"""Pasted objects are there in the image and in the labels alike, beside what was there."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from axonloom.config.augment import AugmentSettings, CopyPasteSettings
from axonloom.config.train import TrainSettings
from axonloom.representations.affinity import Affinity, affinities
from axonloom.training.copy_paste import copy_paste
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.sampling import Sampler
from tests.training.cells import ArrayVolume

ON = CopyPasteSettings(share=1.0, gap=1)


def sparse(shape=(9, 60, 64), dtype=np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """Two tubes in a corner; each voxel of the image says which object it belongs to, and how far along it lies."""
    labels = np.zeros(shape, dtype)
    labels[:, 5:15, 5:15] = 7
    labels[2:6, 5:15, 16:24] = 4
    image = np.where(labels == 7, 0.7, np.where(labels == 4, 0.4, -1.0)).astype(np.float32)[None]
    return image, labels


def test_objects_are_there_once_more_under_numbers_of_their_own():
    image, labels = sparse()
    found, ids, _ = copy_paste(image, labels, None, np.random.default_rng(0), ON)
    # A turned object has as many voxels, but for those at its border.
    assert (labels > 0).sum() < (ids > 0).sum() <= 2.1 * (labels > 0).sum()
    np.testing.assert_array_equal(ids[labels > 0], labels[labels > 0])
    np.testing.assert_array_equal(found[0][labels > 0], image[0][labels > 0])
    new = (ids > 0) & (labels == 0)
    assert set(np.unique(ids[new])) == {1, 2}  # odd for the odd one
    # Inside, where nothing is interpolated across a border, the image shows what the label says.
    for number, grey in ((1, 0.7), (2, 0.4)):
        assert np.median(found[0][ids == number]) == pytest.approx(grey, abs=1e-6)
    untouched = ~new
    np.testing.assert_array_equal(found[0][untouched], image[0][untouched])
    # Not one edge joins a pasted object with an older one.
    edges = affinities(ids)
    for axis in range(3):
        one, other = np.take(ids, range(1, ids.shape[axis]), axis), np.take(ids, range(ids.shape[axis] - 1), axis)
        joined = np.take(edges[axis], range(1, ids.shape[axis]), axis)
        assert (one[joined] == other[joined]).all()


def test_what_is_there_keeps_its_distance():
    image, labels = sparse()
    for seed in range(5):
        _, ids, _ = copy_paste(image, labels, None, np.random.default_rng(seed), CopyPasteSettings(share=1.0, gap=4))
        pasted = np.argwhere((ids > 0) & (labels == 0))
        older = np.argwhere(labels > 0)
        assert len(pasted)
        for voxel in pasted[::97]:
            assert np.abs(older - voxel).max(axis=1).min() > 4


def test_the_same_numbers_for_classes():
    image, labels = sparse()
    _, ids, _ = copy_paste(image, labels, None, np.random.default_rng(0), ON.model_copy(update={"new_ids": False}))
    assert ids.dtype == labels.dtype
    assert set(np.unique(ids)) == {0, 4, 7}
    assert (ids > 0).sum() > (labels > 0).sum()


def test_ids_beyond_what_floats_hold():
    image, labels = sparse(dtype=np.uint64)
    labels[labels == 7] = 2**63 + 1
    labels[labels == 4] = 2**63 + 3
    _, ids, _ = copy_paste(image, labels, None, np.random.default_rng(0), ON)
    assert ids.dtype == np.uint64
    assert set(np.unique(ids)) == {0, 1, 3, 2**63 + 1, 2**63 + 3}


def test_what_is_pasted_is_as_valid_as_what_it_was():
    image, labels = sparse()
    valid = np.zeros(labels.shape, bool)
    valid[:, :, :15] = True  # the tube of 7, and not that of 4
    _, ids, found = copy_paste(image, labels, valid, np.random.default_rng(0), ON)
    new = (ids > 0) & (labels == 0)
    assert new.any()
    assert set(np.unique(ids[new])) == {1}
    np.testing.assert_array_equal(found, valid | new)


@pytest.mark.parametrize("case", ["off", "dense", "empty"])
def test_where_nothing_is_pasted_all_stays(case):
    image, labels = sparse()
    settings = ON
    if case == "off":
        settings = CopyPasteSettings()
    else:
        labels[:] = 3 if case == "dense" else 0
    random = np.random.default_rng(0)
    found, ids, _ = copy_paste(image, labels, None, random, settings)
    assert found is image
    assert ids is labels
    if case == "off":
        assert random.random() == np.random.default_rng(0).random()


def test_targets_are_those_of_the_changed_labels():
    image, labels = sparse((20, 60, 64))
    grey = np.clip(100 * image[0] + 100, 0, 255).astype(np.uint8)
    volume = LabelledVolume(ArrayVolume(grey), ArrayVolume(labels.astype(np.uint32)))
    plain = AugmentSettings(flip=False, transpose="none", intensity=0, noise=0)
    pasting = plain.model_copy(update={"copy_paste": ON})
    without, beside = (Sampler([volume], Affinity(), (12, 48, 48), augment=each) for each in (plain, pasting))
    changed = 0
    for index in range(6):
        one, other = without.sample(index), beside.sample(index)
        if one.crop == other.crop:
            assert (other.target >= one.target).all()
            changed += int(other.target.sum() > one.target.sum())
            # Wherever a target appeared, the image changed too.
            grown = ((other.target - one.target) > 0).any(axis=0)
            assert (one.image[0] != other.image[0])[grown].sum() >= 0.9 * grown.sum()
    assert changed


def test_numbers_that_mean_something_are_not_replaced():
    given = {"augment": {"copy_paste": {"share": 0.5}}, "targets": [{"kind": "semantic", "parameters": {"count": 3}}]}
    with pytest.raises(ValidationError, match=r"copy_paste\.new_ids to false"):
        TrainSettings.model_validate(given)
    given["augment"]["copy_paste"]["new_ids"] = False
    TrainSettings.model_validate(given)
