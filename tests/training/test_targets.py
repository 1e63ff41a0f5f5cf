"""Training on other targets than affinities to the nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from axonloom.config.train import TrainSettings
from axonloom.losses import regularisers
from axonloom.networks.checkpoint import Checkpoint
from axonloom.representations.representation import RepresentationError, representation
from axonloom.representations.targets import Targets
from axonloom.training.loop import make_sampler, train
from tests.training.run_training import settings, volumes

LONG_RANGE = {
    "kind": "affinity",
    "parameters": {"offsets": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0], [0, 5, 0], [0, 0, 5]]},
}
CONTOUR = {
    "kind": "contour",
    "erosion": 1,
    "losses": [{"loss": "cross_entropy", "balance": "border"}, {"loss": "weighted_dice"}],
}
KINDS = [
    "affinity", "foreground", "polarity", "contour", "distance", "skeleton_distance", "signed_distance", "small_objects", "flow",
]  # fmt: skip


def with_targets(*targets: dict, **more: object) -> TrainSettings:
    return TrainSettings.model_validate(
        {**settings().model_dump(), "erosion": None, "iterations": 2, "targets": targets, **more}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_learned(kind, tmp_path):
    result = train(with_targets({"kind": kind}), volumes(), tmp_path)
    assert result.training_loss is not None
    found = Checkpoint.open(result.checkpoint.folder)
    again = found.representation()
    assert again.channels == found.description.channels
    assert again.parameters() == found.description.representation_parameters


def test_several_at_once_in_the_order_given(tmp_path):
    result = train(
        with_targets(LONG_RANGE, CONTOUR, {"kind": "distance", "parameters": {"classes": True}}), volumes(), tmp_path
    )
    channels = result.checkpoint.description.channels
    assert channels[:7] == ("1-0-0", "0-1-0", "0-0-1", "2-0-0", "0-5-0", "0-0-5", "contour")
    assert len(channels) == 7 + 11
    assert result.checkpoint.build_network()(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 18, 16, 16, 16)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    parts = [
        {"kind": "foreground", "losses": [{"loss": "cross_entropy", "weight": 2.0}, {"loss": "dice", "weight": 0.5}]},
        {"kind": "flow"},
    ]
    labels = np.random.default_rng(0).integers(0, 4, (4, 12, 12))
    both = Targets(parts)
    target, weight = (torch.from_numpy(array)[None] for array in both.targets(labels))
    logits = torch.randn((1, 3, 4, 12, 12), generator=torch.Generator().manual_seed(0))
    alone = [representation("targets", parts=[part]) for part in parts]
    split = [logits[:, :1], logits[:, 1:]]
    expected = 0.0
    for kind, part in zip(alone, split, strict=True):
        own, own_weight = (torch.from_numpy(array)[None] for array in kind.targets(labels))
        expected += float(kind.loss(part, own, own_weight))
    assert float(both.loss(logits, target, weight)) == pytest.approx(expected, rel=1e-6)
    assert both.activation(logits).min() >= 0
    assert both.activation(logits).max() <= 1


def test_affinities_among_targets_are_those_alone():
    sampler = make_sampler(
        with_targets({"kind": "affinity", "erosion": 1, "losses": [{"loss": "cross_entropy", "balance": "class"}]}),
        volumes(),
    )
    plain = make_sampler(TrainSettings.model_validate({**settings().model_dump(), "erosion": 1}), volumes())
    ours, theirs = sampler.sample(3), plain.sample(3)
    assert ours.target.shape == theirs.target.shape
    np.testing.assert_array_equal(ours.target, theirs.target)
    np.testing.assert_array_equal(ours.weight, theirs.weight)
    np.testing.assert_array_equal(ours.image, theirs.image)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "contur"}, "contour"),
        ({"kind": "contour", "parameters": {"width": 3}}, "does not take these parameters"),
        (
            {"kind": "semantic", "parameters": {"count": 4}, "losses": [{"loss": "dice"}]},
            "'semantic' is classes, and loss 'dice' is not for them",
        ),
        ({"kind": "flow", "losses": [{"loss": "squared_error", "balance": "class"}]}, "is for targets of 0 and 1"),
        ({"kind": "affinity", "parameters": {"offsets": [[0, 0, 0]]}}, "not all 0"),
    ],
)
def test_what_cannot_be_learned_is_said(given, message):
    with pytest.raises(ValidationError, match=message):
        with_targets(given)


def test_settings_of_affinities_alone_are_refused_beside_targets():
    with pytest.raises(ValidationError, match="erosion: for affinities alone"):
        with_targets(LONG_RANGE, erosion=2)


@pytest.mark.parametrize(
    ("regulariser", "targets"),
    [
        ({"kind": "decided", "targets": [0]}, [{"kind": "foreground"}]),
        (
            {"kind": "foreground_with_distance", "targets": [1, 0]},
            [{"kind": "signed_distance"}, {"kind": "foreground"}],
        ),
        ({"kind": "contour_with_distance", "targets": [0, 1]}, [{"kind": "contour"}, {"kind": "signed_distance"}]),
        ({"kind": "foreground_with_contour", "targets": [0, 1]}, [{"kind": "foreground"}, {"kind": "contour"}]),
        ({"kind": "apart", "targets": [0], "weight": 4.0}, [{"kind": "polarity"}]),
    ],
)
def test_regularisers_add_to_the_loss(regulariser, targets, tmp_path):
    result = train(with_targets(*targets, regularisers=[regulariser]), volumes(), tmp_path)
    assert result.training_loss is not None
    about = result.checkpoint.description.representation_parameters
    assert about["regularisers"][0]["kind"] == regulariser["kind"]
    plain, more = Targets(targets), Targets(targets, [regulariser])
    labels = np.random.default_rng(0).integers(0, 4, (4, 12, 12))
    target, weight = (torch.from_numpy(array)[None] for array in plain.targets(labels))
    logits = torch.randn(
        (1, len(plain.channels), 4, 12, 12), generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    loss = more.loss(logits, target, weight)
    assert float(loss.detach()) > float(plain.loss(logits, target, weight).detach())
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("regulariser", "message"),
    [
        ({"kind": "decided", "targets": [1]}, "takes 1 of 1 targets"),
        ({"kind": "foreground_with_contour", "targets": [0]}, "takes 2 of 1 targets"),
        ({"kind": "apart", "targets": [0]}, "is for three channels"),
    ],
)
def test_regularisers_that_do_not_fit_are_said(regulariser, message, tmp_path):
    with pytest.raises(RepresentationError, match=message):
        train(with_targets({"kind": "foreground"}, regularisers=[regulariser]), volumes(), tmp_path)


def test_what_regularisers_ask_for():
    """Small where the predictions go together, large where they do not."""
    inside = torch.zeros(1, 1, 1, 20, 20)
    inside[..., 6:14, 6:14] = 1
    sure = 20 * (2 * inside - 1)
    away = torch.where(inside > 0, 1.0, -1.0) * 3
    agreed, against = (
        regularisers.foreground_with_distance(sure, away),
        regularisers.foreground_with_distance(-sure, away),
    )
    assert agreed < 1e-6 < against
    assert regularisers.decided(sure) == pytest.approx(2.0, rel=1e-3)
    assert regularisers.decided(torch.zeros_like(sure)) == pytest.approx(100.0)
    rim = torch.zeros_like(inside)
    rim[..., 4:16, 4:16] = 1  # the slope, two voxels wide, and one more on each side
    rim[..., 8:12, 8:12] = 0
    good, bad = (regularisers.foreground_with_contour(sure, 20 * (2 * c - 1)) for c in (rim, 1 - rim))
    assert good < 1e-3
    assert bad > 0.9
    zero = torch.where(rim > 0, 0.0, 3.0)
    assert regularisers.contour_with_distance(20 * (2 * rim - 1), zero) < 1e-6
    assert regularisers.contour_with_distance(20 * (1 - 2 * rim), zero) > 0.3
    both, one = (
        torch.full((1, 3, 1, 2, 2), 20.0),
        torch.tensor([20.0, -20, 20]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2),
    )
    assert regularisers.apart(one) < 1e-6
    assert regularisers.apart(both) == pytest.approx(1.0, abs=1e-3)
