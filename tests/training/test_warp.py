"""Samples bent, turned, stretched and torn: the image as the labels, and the look-up itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from axonloom.config.augment import AugmentSettings
from axonloom.representations.affinity import Affinity
from axonloom.training.defects import add_defects
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.sampling import Sampler
from axonloom.training.warp import KINDS, random_warp
from tests.training.cells import ArrayVolume, cells

SHAPE = (7, 21, 26)


def only(**given: object) -> AugmentSettings:
    return AugmentSettings.model_validate({"flip": False, "transpose": "none", "intensity": 0, "noise": 0, **given})


def always(name: str, **more: object) -> AugmentSettings:
    return only(**{name: {"share": 1.0, **more}})


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_places_lie_inside_what_is_read(name, seed):
    warp = random_warp(np.random.default_rng(seed), always(name), SHAPE)
    assert warp is not None
    depth, height, width = warp.source_shape
    assert len(warp.sections) == SHAPE[0]
    assert warp.rows.shape[1:] == warp.columns.shape[1:] == SHAPE[1:]
    assert warp.rows.min() >= 0
    assert warp.rows.max() <= height - 1
    assert warp.columns.min() >= 0
    assert warp.columns.max() <= width - 1
    assert warp.sections.min() >= 0
    assert warp.sections.max() == depth - 1


@pytest.mark.parametrize("name", KINDS)
def test_the_look_up_is_linear_and_nearest_interpolation(name):
    random = np.random.default_rng(3)
    warp = random_warp(random, always(name), SHAPE)
    assert warp is not None
    source = random.random((2, *warp.source_shape)).astype(np.float32)
    labels = random.integers(0, 99, warp.source_shape)
    z, _, _ = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    places = [warp.sections[z], *(np.broadcast_to(each, SHAPE) for each in (warp.rows, warp.columns))]
    for channel, found in zip(source, warp.apply(source), strict=True):
        expected = ndimage.map_coordinates(channel, places, order=1, mode="nearest")
        np.testing.assert_allclose(found, expected, atol=1e-5)
    expected = labels[tuple(np.floor(np.asarray(p) + 0.5).astype(int) for p in places)]
    np.testing.assert_array_equal(warp.apply_labels(labels), expected)


def test_a_turn_is_a_turn_and_a_stretch_a_stretch():
    turned = random_warp(np.random.default_rng(1), always("rotate", degrees=30), SHAPE)
    assert turned is not None
    # Distances between voxels stay.
    np.testing.assert_allclose(
        np.hypot(np.diff(turned.rows[0], axis=0), np.diff(turned.columns[0], axis=0)), 1, atol=1e-4
    )
    wide = random_warp(np.random.default_rng(1), always("rescale", low=1.0, high=1.25, keep_aspect=True), SHAPE)
    assert wide is not None
    step = np.diff(wide.rows[0], axis=0)
    np.testing.assert_allclose(step, step.flat[0], atol=1e-5)
    assert 0.8 <= step.flat[0] <= 1
    np.testing.assert_allclose(np.diff(wide.columns[0], axis=1), step.flat[0], atol=1e-5)


def test_sections_are_lost_inside_only():
    for seed in range(20):
        warp = random_warp(np.random.default_rng(seed), always("missing_section"), SHAPE)
        assert warp is not None
        assert warp.source_shape[0] == SHAPE[0] + 2
        assert warp.sections[0] == 0
        assert (np.diff(warp.sections) >= 1).all()
        assert np.diff(warp.sections).sum() == SHAPE[0] + 1


def test_sections_slip_or_are_shifted_by_no_more_than_said():
    kinds = set()
    for seed in range(30):
        warp = random_warp(np.random.default_rng(seed), always("misalignment", displacement=5), SHAPE)
        assert warp is not None
        shift = np.hypot(warp.rows - warp.rows[0], warp.columns - warp.columns[0]).max((1, 2))
        assert shift.max() <= 5 * np.sqrt(2) + 1e-4
        moved = shift > 0
        if moved.any():
            kinds.add("slip" if moved.sum() == 1 and not moved[-1] else "all after")
            assert np.ptp(np.flatnonzero(moved)) == moved.sum() - 1
    assert kinds == {"slip", "all after"}


@pytest.mark.parametrize("name", KINDS)
def test_labels_follow_the_image_and_affinities_are_those_of_the_warped_labels(name):
    _, labels = cells((24, 70, 72), 5, size=9)
    # An image that shows the labels: what the network sees and what it should say can be compared.
    volume = LabelledVolume(ArrayVolume(labels.astype(np.float32)), ArrayVolume(labels))
    settings = always(name, **({"displacement": 4, "rotate": 0.0} if name == "misalignment" else {}))
    sampler = Sampler([volume], Affinity(), (8, 24, 24), augment=settings)
    sampler.normalisation = type(sampler.normalisation)(0.0, 1.0)
    sample = sampler.sample(2)
    assert sample.crop.warp is not None
    shown, _ = Affinity().targets(np.rint(sample.image[0]).astype(np.int64))
    inner = (slice(None), *(slice(1, None),) * 3)
    differs = shown[inner] != sample.target[inner]
    if name in ("missing_section", "misalignment"):
        assert not differs.any()
    else:
        # Between two labels the image is interpolated.
        assert differs.mean() < 0.45
    again = Sampler([volume], Affinity(), (8, 24, 24), augment=settings)
    again.normalisation = sampler.normalisation
    np.testing.assert_array_equal(again.sample(2).image, sample.image)


def test_where_there_is_no_room_a_patch_is_not_warped():
    image, labels = cells((8, 26, 26), 5, size=6)
    sampler = Sampler(
        [LabelledVolume(ArrayVolume(image), ArrayVolume(labels))],
        Affinity(),
        (7, 24, 24),
        augment=always("rotate", degrees=45),
    )
    samples = [sampler.sample(k) for k in range(10)]
    assert all(sample.image.shape == (1, 7, 24, 24) for sample in samples)
    assert any(sample.crop.warp is None for sample in samples)


@pytest.mark.parametrize("name", ["missing_parts", "motion_blur", "cut_blur", "cut_noise"])
def test_defects_change_the_image_somewhere_and_leave_it_in_range(name):
    more = {"missing_parts": {"sections": 0.5}}.get(name, {})
    image = np.random.default_rng(0).uniform(-0.9, 0.9, (1, 9, 40, 44)).astype(np.float32)
    changed = []
    for seed in range(10):
        found = add_defects(image.copy(), np.random.default_rng(seed), always(name, **more))
        assert found.shape == image.shape
        assert np.abs(found).max() <= 1
        changed.append((found != image).any(axis=(0, 2, 3)))
    share = np.mean(changed)
    assert 0 < share < 1
    if name == "motion_blur":
        assert all(each.sum() == 2 for each in changed)
    if name == "missing_parts":
        assert not any((each[1:] & each[:-1]).any() for each in changed)


def test_what_is_off_draws_nothing():
    one, other = np.random.default_rng(0), np.random.default_rng(0)
    assert random_warp(one, only(), SHAPE) is None
    image = np.zeros((1, *SHAPE), np.float32)
    assert not add_defects(image, one, only()).any()
    assert one.random() == other.random()
