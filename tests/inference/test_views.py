"""What is seen from several sides is what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axonloom.geometry import Box
from axonloom.inference.predictor import Predictor
from axonloom.inference.views import VIEWS, Views
from axonloom.phantom import Phantom
from axonloom.representations.affinity import Affinity, affinities
from axonloom.turn import Seen

SHAPE = (9, 20, 24)
LONG = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 5, 0), (0, 0, 5), (3, 0, 0), (2, 5, 5)]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return Phantom(seed=3, shape=SHAPE).labels(Box.of_shape(SHAPE))


def perfect(offsets):
    """A network that gets labels as its image and is never wrong: also not at a window's first planes."""

    def network(images: torch.Tensor) -> torch.Tensor:
        found = [affinities(each[0].numpy().astype(np.int64), offsets, border="replicate") for each in images]
        return torch.from_numpy(np.stack(found).astype(np.float32))

    return network


@pytest.mark.parametrize("merge", ["mean", "min", "max"])
@pytest.mark.parametrize("count", list(VIEWS))
@pytest.mark.parametrize("offsets", [LONG[:3], LONG])
def test_a_perfect_predictor_stays_perfect(labels, offsets, count, merge):
    meaning = Affinity(offsets)
    predictor = Predictor(perfect(offsets), activation="none", views=Views.of(count, meaning.seen, merge))
    found = predictor.predict(labels[None, None].astype(np.float32))[0].numpy()
    expected = affinities(labels, offsets).astype(np.float32)
    inside = np.ones(SHAPE, bool)
    for channel, offset in enumerate(offsets):
        # A channel's first planes have no partner: there a view that sees them from the other side has nothing to say.
        known = inside.copy()
        for axis, n in enumerate(offset):
            known[(slice(None),) * axis + (slice(0, n),)] = False
        np.testing.assert_array_equal(found[channel][known], expected[channel][known])
        assert expected[channel][known].min() == 0


def test_moving_nothing_is_wrong_for_affinities(labels):
    """What others do, to know that the test above could fail."""
    naive = Views.of(16, lambda turn: [Seen(c) for c in range(3)])
    found = Predictor(perfect(LONG[:3]), activation="none", views=naive).predict(labels[None, None].astype(np.float32))
    assert (found[0].numpy() != affinities(labels, LONG[:3]))[:, 1:, 1:, 1:].mean() > 0.05


def test_each_view_is_another_one():
    array = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    for count, turns in VIEWS.items():
        assert len({turn.apply(array).tobytes() for turn in turns}) == count


def test_mean_minimum_and_maximum_of_what_is_known():
    """A network whose answer depends on the side it looks from, counted by hand."""
    image = torch.arange(8.0).reshape(1, 1, 2, 2, 2)

    def network(images: torch.Tensor) -> torch.Tensor:
        # The value at a corner is told everywhere, so each view answers with another number.
        return images[:, :, :1, :1, :1].expand_as(images).clone()

    for merge, expected in (("mean", 1.5), ("min", 0.0), ("max", 3.0)):
        views = Views.of(4, lambda turn: [Seen(0)], merge)
        assert torch.equal(views.merged(network, image), torch.full_like(image, expected))


def test_an_affinity_is_found_at_the_other_end_of_its_pair():
    meaning = Affinity()
    flipped = {turn: meaning.seen(turn) for turn in VIEWS[16]}
    for turn, seen in flipped.items():
        for axis, place in enumerate(seen):
            assert place is not None
            assert place.channel == turn.order.index(axis)
            backwards = turn.flips[turn.order.index(axis)]
            assert place.shift == tuple(int(backwards and axis == k) for k in range(3))


def test_offsets_that_no_view_shows_are_left_to_the_others():
    meaning = Affinity([(0, 1, 1)])
    assert [meaning.seen(turn)[0] is not None for turn in VIEWS[4]] == [True, False, False, True]


def test_other_numbers_are_refused():
    with pytest.raises(ValueError, match="1, 4, 8, 16"):
        Views.of(5, Affinity().seen)
