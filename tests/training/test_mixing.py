"""Mixed samples: one image of two, and the loss of both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from axonloom.config.augment import AugmentSettings
from axonloom.representations.affinity import Affinity
from axonloom.representations.targets import Targets
from axonloom.training.loop import train
from axonloom.training.mixing import mixed_loss
from axonloom.training.sampling import Sampler
from tests.training.run_training import settings, volumes
from tests.training.test_sampling import PLAIN, pair, same
from tests.training.test_targets import with_targets

PATCH = (8, 16, 16)


def sampler(kind=None, **mix_up: object) -> Sampler:
    augment = AugmentSettings.model_validate({**PLAIN.model_dump(), "mix_up": mix_up})
    return Sampler([pair(), pair(seed=1)], kind or Affinity(), PATCH, augment=augment)


def test_the_image_is_that_of_two_places():
    found = sampler(share=1.0, low=0.6, high=0.8)
    for index in range(4):
        mixed, alone = found.sample(index), sampler().sample(index)
        assert mixed.other is not None
        assert 0.6 <= mixed.share <= 0.8
        np.testing.assert_allclose(
            mixed.image, mixed.share * mixed_own(found, mixed) + (1 - mixed.share) * mixed.other.image, atol=1e-6
        )
        assert mixed.other.crop != mixed.crop
        assert alone.other is None
        assert same(found.sample(index), mixed)


def mixed_own(found: Sampler, sample) -> np.ndarray:
    """The image at a sample's place, read again."""
    volume = found.volumes[sample.crop.volume]
    grey = volume.image.read(sample.crop.box).astype(np.float32)
    low = found.low
    inner = tuple(slice(a, a + n) for a, n in zip(low, PATCH, strict=True))
    return found.normalisation.apply(grey)[inner][None]


def test_off_draws_nothing():
    assert all(same(sampler(share=0.0).sample(i), sampler(share=0.0, low=0.9).sample(i)) for i in range(3))


@pytest.mark.parametrize(
    "kind",
    [
        Affinity(),
        Targets(
            [{"kind": "affinity", "losses": [{"loss": "cross_entropy", "balance": "class"}, {"loss": "weighted_dice"}]}]
        ),
        Targets([{"kind": "distance"}, {"kind": "polarity", "parameters": {"exclusive": True}}]),
    ],
    ids=["affinity", "weighted", "classes"],
)
def test_the_loss_is_that_of_both_by_their_share(kind):
    found = sampler(kind, share=1.0)
    samples = [found.sample(0), sampler(kind).sample(1)]
    target, weight = (torch.from_numpy(np.stack([getattr(s, n) for s in samples])) for n in ("target", "weight"))
    logits = torch.randn((2, len(kind.channels), *PATCH), generator=torch.Generator().manual_seed(0))
    first = samples[0]
    both = [
        kind.loss(logits[:1], torch.from_numpy(s.target)[None], torch.from_numpy(s.weight)[None])
        for s in (first, first.other)
    ]
    plain = kind.loss(logits[1:], target[1:], weight[1:])
    expected = (first.share * both[0] + (1 - first.share) * both[1] + plain) / 2
    assert float(mixed_loss(kind.loss, samples, logits, target, weight)) == pytest.approx(float(expected), rel=1e-6)


def test_the_stronger_alone():
    found = sampler(share=1.0, targets="stronger")
    sample = found.sample(0)
    kind = found.representation
    logits = torch.zeros((1, 3, *PATCH))
    target, weight = torch.from_numpy(sample.target)[None], torch.from_numpy(sample.weight)[None]
    assert sample.share == 1
    assert float(mixed_loss(kind.loss, [sample], logits, target, weight)) == float(kind.loss(logits, target, weight))
    assert not np.array_equal(sample.image, mixed_own(found, sample))


def test_a_network_trains_on_it_and_goes_on_bit_for_bit(tmp_path):
    given = settings(iterations=4, augment={"mix_up": {"share": 0.7}, "copy_paste": {"share": 0.5}})
    whole = train(given, volumes(), tmp_path / "whole").checkpoint.weights()
    train(given, volumes(), tmp_path / "parts", until=2)
    parts = train(given, volumes(), tmp_path / "parts").checkpoint.weights()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    plain = train(settings(iterations=4), volumes(), tmp_path / "plain").checkpoint.weights()
    assert any(not torch.equal(whole[name], plain[name]) for name in whole)
    several = with_targets({"kind": "affinity"}, {"kind": "contour"}, augment={"mix_up": {"share": 1.0}})
    assert np.isfinite(train(several, volumes(), tmp_path / "several").training_loss)


def test_a_broken_voxel_of_either_is_named():
    from axonloom.training.errors import TrainingError
    from axonloom.training.session import Session

    given = settings(iterations=1, augment={"mix_up": {"share": 1.0}})
    found = sampler(share=1.0)
    session = Session(given, found, torch.device("cpu"))
    sample = found.sample(0)
    sample.image[0, 0, 0, 0] = np.nan
    with pytest.raises(TrainingError) as raised:
        session.step([sample])
    assert str(sample.crop.box) in str(raised.value)
    assert str(sample.other.crop.box) in str(raised.value)


def test_bounds_in_order():
    with pytest.raises(ValidationError, match="must not be above mix_up"):
        AugmentSettings.model_validate({"mix_up": {"low": 0.9, "high": 0.6}})
