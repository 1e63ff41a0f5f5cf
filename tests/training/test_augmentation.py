"""Turned samples have the affinities of the turned labels, and grey levels change within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.config.augment import AugmentSettings
from axonloom.representations.affinity import Affinity, affinities
from axonloom.training.augmentation import ORDERS, random_turn, vary_intensity
from axonloom.turn import Turn

turns = st.builds(Turn, st.sampled_from(ORDERS["all"]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7))


def affinities_turned_as_edges(labels: np.ndarray, turn: Turn) -> np.ndarray:
    """The oracle: carry every edge of the untouched affinities to where the turn takes its two voxels."""
    before = affinities(labels)
    where = turn.apply(np.arange(labels.size).reshape(labels.shape))
    place = np.empty((labels.size, 3), dtype=int)
    place[where.ravel()] = np.stack(np.unravel_index(np.arange(labels.size), where.shape), -1)
    result = turn.apply(labels)[None].repeat(3, 0) > 0  # first planes: "replicate"
    for axis in range(3):
        for voxel in np.ndindex(*labels.shape):
            if voxel[axis] == 0:
                continue
            below = tuple(v - (i == axis) for i, v in enumerate(voxel))
            ends = place[[np.ravel_multi_index(v, labels.shape) for v in (voxel, below)]]
            new_axis = int(np.flatnonzero(ends[0] != ends[1])[0])
            destination = ends[np.argmax(ends[:, new_axis])]
            result[(new_axis, *destination)] = before[(axis, *voxel)]
    return result


@settings(max_examples=60, deadline=None)
@given(shape=shapes, turn=turns, seed=st.integers(0, 99))
def test_affinities_of_turned_labels_are_the_turned_edges(shape: tuple, turn: Turn, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 3, shape)
    assert np.array_equal(affinities(turn.apply(labels)), affinities_turned_as_edges(labels, turn))


@settings(max_examples=40, deadline=None)
@given(shape=shapes, turn=turns)
def test_source_shape_is_turned_into_shape(shape: tuple, turn: Turn) -> None:
    assert turn.apply(np.zeros((2, *turn.source_shape(shape)))).shape == (2, *shape)


def test_turning_the_affinities_themselves_would_be_wrong() -> None:
    labels = np.random.default_rng(0).integers(1, 4, (4, 5, 6))
    flip = Turn(flips=(False, False, True))
    right, _ = Affinity().targets(flip.apply(labels))
    assert not np.array_equal(right, flip.apply(affinities(labels)))


@pytest.mark.parametrize(
    ("kind", "isotropic", "orders"),
    [("none", True, 1), ("xy", True, 2), ("all", False, 6), ("auto", True, 6), ("auto", False, 2)],
)
def test_all_allowed_turns_occur(kind: str, isotropic: bool, orders: int) -> None:
    random = np.random.default_rng(0)
    allowed = AugmentSettings(transpose=kind)  # type: ignore[arg-type]
    seen = {random_turn(random, allowed, isotropic) for _ in range(800)}
    assert len({turn.order for turn in seen}) == orders
    assert len({turn.flips for turn in seen}) == 8
    unflipped = AugmentSettings(transpose=kind, flip=False)  # type: ignore[arg-type]
    assert {random_turn(random, unflipped, isotropic).flips for _ in range(50)} == {(False, False, False)}


def test_intensity_changes_within_bounds() -> None:
    image = np.linspace(-1, 1, 1000, dtype=np.float32).reshape(1, 10, 10, 10)
    nothing = AugmentSettings(intensity=0, noise=0)
    assert np.array_equal(vary_intensity(image.copy(), np.random.default_rng(0), nothing), image)
    changed = [
        vary_intensity(image.copy(), np.random.default_rng(i), AugmentSettings(intensity=1, noise=0)) for i in range(50)
    ]
    for each in changed:
        assert each.dtype == np.float32
        assert np.abs(each).max() <= 1 + 1e-6
        assert (np.diff(each.ravel()) >= -1e-6).all()  # the order of grey levels stays
    assert np.std([each.mean() for each in changed]) > 0.05
    noisy = vary_intensity(image.copy(), np.random.default_rng(0), AugmentSettings(intensity=0, noise=0.05))
    assert 0 < (noisy - image).std() <= 0.06


def test_dark_sections_are_whole_sections() -> None:
    image = np.full((1, 200, 3, 3), 0.5, dtype=np.float32)
    settings_ = AugmentSettings(intensity=0, noise=0, dark_section=0.3)
    changed = vary_intensity(image.copy(), np.random.default_rng(0), settings_)
    dark = (changed != 0.5).reshape(200, -1)
    assert (dark.all(1) == dark.any(1)).all()
    assert 40 < dark.all(1).sum() < 80
    assert changed.min() >= -1
    assert changed[changed != 0.5].max() < 0
