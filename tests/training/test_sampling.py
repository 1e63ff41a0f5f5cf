"""Samples depend on the seed and their number alone, show what is there, and respect what is held out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from axonloom.config.augment import AugmentSettings
from axonloom.config.train import TrainSettings
from axonloom.geometry import Box
from axonloom.networks.normalisation import Normalisation
from axonloom.representations.affinity import Affinity
from axonloom.training.errors import TrainingError
from axonloom.training.labelled_volume import LabelledVolume, hold_out, is_isotropic, measured_normalisation
from axonloom.training.loading import in_order
from axonloom.training.loop import make_sampler
from axonloom.training.sampling import Sample, Sampler
from tests.training.cells import ArrayVolume, cells

PLAIN = AugmentSettings(flip=False, transpose="none", intensity=0, noise=0)


def pair(shape: tuple[int, int, int] = (30, 34, 40), seed: int = 0, **more: object) -> LabelledVolume:
    image, labels = cells(shape, seed)
    return LabelledVolume(ArrayVolume(image, f"image{seed}"), ArrayVolume(labels, f"labels{seed}"), **more)  # type: ignore[arg-type]


def same(a: Sample, b: Sample) -> bool:
    arrays = ((getattr(s, n) for n in ("image", "target", "weight")) for s in (a, b))
    return a.crop == b.crop and all(np.array_equal(x, y) for x, y in zip(*arrays, strict=True))


def test_a_sample_depends_on_seed_and_index_only() -> None:
    def sampler(cache: int, seed: int = 0) -> Sampler:
        return Sampler([pair(), pair(seed=1)], Affinity(erosion=1), (12, 14, 16), seed=seed, cache=cache)

    one, other = sampler(0), sampler(10**9)
    forwards = [one.sample(i) for i in range(8)]
    backwards = [other.sample(i) for i in reversed(range(8))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({str(s.crop) for s in forwards}) == 8
    assert not same(forwards[0], sampler(0, seed=1).sample(0))
    for threads in (0, 1, 3):
        again = list(in_order(one.sample, 2, 8, threads, ahead=2))
        assert all(same(a, b) for a, b in zip(forwards[2:], again, strict=True))
    with ThreadPoolExecutor(3) as pool:
        assert all(same(a, b) for a, b in zip(forwards, pool.map(other.sample, range(8)), strict=True))


def test_samples_show_the_volume_and_its_targets() -> None:
    volume = pair()
    kind = Affinity(erosion=1)
    sampler = Sampler([volume], kind, (9, 10, 11), augment=PLAIN, normalisation=Normalisation(100, 50))
    whole, _ = kind.targets(volume.labels.array)  # type: ignore[attr-defined]
    for i in range(10):
        sample = sampler.sample(i)
        box = Box(start=[a + m for a, m in zip(sample.crop.box.origin, sampler.low, strict=True)], size=(9, 10, 11))
        grey = volume.image.array[box.slices].astype(np.float32)  # type: ignore[attr-defined]
        np.testing.assert_allclose(sample.image[0], (grey - 100) / 50, atol=1e-6)
        assert np.array_equal(sample.target, whole[(slice(None), *box.slices)])
        assert (sample.weight > 0).all()


def test_turned_samples_are_turned_images_with_their_own_targets() -> None:
    """Grey levels are a code of the labels here, so the target can be computed from the image shown."""
    _, labels = cells((24, 24, 24))
    volume = LabelledVolume(ArrayVolume(labels.astype(np.uint8)), ArrayVolume(labels))
    augment = AugmentSettings(intensity=0, noise=0, transpose="all")
    sampler = Sampler([volume], Affinity(), (8, 10, 12), augment=augment, normalisation=Normalisation(0, 1))
    for i in range(40):
        sample = sampler.sample(i)
        assert sample.image.shape == (1, 8, 10, 12)
        shown, _ = Affinity().targets(sample.image[0].astype(np.int64))
        for axis in range(3):
            inside = (axis, *(slice(1 if a == axis else 0, None) for a in range(3)))
            assert np.array_equal(sample.target[inside], shown[inside])
    assert len({sampler.sample(i).crop.turn for i in range(60)}) > 20


def test_held_out_voxels_are_never_trained_on() -> None:
    volume = hold_out(pair((30, 34, 40)), 0.1, (12, 12, 12))
    assert volume.held_out == Box(start=(0, 0, 30), end=(30, 34, 40))
    inner = pair((30, 30, 30), held_out=Box(start=(12, 12, 12), end=(18, 18, 18)))
    for each in (volume, inner):
        sampler = Sampler([each], Affinity(), (8, 8, 8))
        for i in range(60):
            assert sampler.sample(i).crop.box.clipped(each.held_out).voxels == 0  # type: ignore[arg-type]
    sampler = Sampler([volume], Affinity(), (12, 12, 12))
    for i in range(5):
        sample = sampler.validation_sample(i)
        assert volume.held_out.contains(sample.crop.box)  # type: ignore[union-attr]
        assert sample.image.shape == (1, 12, 12, 9)
        assert same(sample, sampler.validation_sample(i))


def test_weights_and_sizes_decide_how_often_a_volume_is_shown() -> None:
    sampler = Sampler([pair(seed=1, weight=3.0), pair(seed=2), pair(seed=3, weight=0.0)], Affinity(), (8, 8, 8))
    counts = np.bincount([sampler.sample(i).crop.volume for i in range(300)], minlength=3)
    assert 190 < counts[0] < 255
    assert counts[2] == 0


def test_unlabelled_places_are_drawn_again() -> None:
    image, labels = cells((16, 16, 200))
    labels[..., 20:] = 0
    volume = LabelledVolume(ArrayVolume(image), ArrayVolume(labels))
    anywhere = Sampler([volume], Affinity(), (8, 8, 8), least_labelled=0.0)
    labelled = Sampler([volume], Affinity(), (8, 8, 8), least_labelled=0.3)
    first = [s.sample(i).crop.box.origin[2] for s in (anywhere, labelled) for i in range(30)]
    assert max(first[:30]) > 100
    assert max(first[30:]) < 20


def test_only_what_is_shown_is_read_from_large_volumes() -> None:
    volume = pair()
    sampler = Sampler([volume], Affinity(), (8, 8, 8), augment=PLAIN)
    sampler.sample(0)
    assert volume.image.voxels_read == 9**3  # type: ignore[attr-defined]


def test_several_image_channels() -> None:
    image, labels = cells((12, 12, 12))
    volume = LabelledVolume(ArrayVolume(np.stack([image, 255 - image])), ArrayVolume(labels))
    sample = Sampler([volume], Affinity(), (8, 8, 8), augment=PLAIN).sample(0)
    assert sample.image.shape == (2, 8, 8, 8)
    np.testing.assert_allclose(sample.image[0], -sample.image[1], atol=1e-6)


def test_normalisation_is_measured_where_the_dtype_does_not_tell() -> None:
    image, labels = cells((20, 20, 20))
    assert measured_normalisation([LabelledVolume(ArrayVolume(image), ArrayVolume(labels))]) == Normalisation()
    deep = image.astype(np.uint16) * 16
    found = measured_normalisation([LabelledVolume(ArrayVolume(deep), ArrayVolume(labels))])
    assert found == Normalisation(deep.mean(), 2 * deep.std())


def test_isotropy_needs_a_voxel_size() -> None:
    assert is_isotropic((10, 10, 10))
    assert is_isotropic((10, 8, 8))
    assert not is_isotropic((30, 6, 6))
    assert not is_isotropic(None)


def test_settings_become_a_sampler() -> None:
    sampler = make_sampler(TrainSettings(patch=(8, 8, 8)), [pair()])
    assert sampler.representation.parameters()["erosion"] == 0
    assert sampler.volumes[0].held_out is not None
    flat = LabelledVolume(
        ArrayVolume(np.zeros((20, 20, 20), np.uint8), voxel_size=(30, 6, 6)), pair((20, 20, 20)).labels
    )
    settings = TrainSettings.model_validate(
        {"patch": (8, 8, 8), "validation": {"region": {"start": (0, 0, 14), "stop": (20, 20, 20)}}}
    )
    sampler = make_sampler(settings, [flat])
    assert sampler.representation.parameters()["erosion"] == 1
    assert sampler.volumes[0].held_out == Box(start=(0, 0, 14), end=(20, 20, 20))
    none = make_sampler(TrainSettings.model_validate({"patch": (8, 8, 8), "validation": {"fraction": 0}}), [pair()])
    assert none.volumes[0].held_out is None


def array(shape: tuple[int, ...], dtype: type = np.uint8, fill: int = 1) -> ArrayVolume:
    return ArrayVolume(np.full(shape, fill, dtype=dtype), f"{np.dtype(dtype)}{shape}")


@pytest.mark.parametrize(
    ("image", "labels", "says"),
    [
        (array((20, 20, 20)), array((20, 20, 21), np.uint32), "must cover the same voxels"),
        (array((20, 20, 20)), array((20, 20, 20), np.uint32, 0), "no labelled voxel"),
        (array((20, 20, 20)), array((20, 20, 20), np.float32), "integers"),
        (array((20, 12, 20)), array((20, 12, 20), np.uint32), r"largest patch there is \(19, 11, 19\)"),
    ],
)
def test_what_cannot_be_trained_on_says_why(image: ArrayVolume, labels: ArrayVolume, says: str) -> None:
    with pytest.raises(TrainingError, match=says) as caught:
        Sampler([LabelledVolume(image, labels)], Affinity(), (16, 16, 16))
    assert "\n" not in str(caught.value)


def test_other_impossible_requests_say_why() -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        Sampler([], Affinity(), (8, 8, 8))
    with pytest.raises(TrainingError, match="reaches outside"):
        Sampler([pair(region=Box(start=(0, 0, 0), end=(99, 9, 9)))], Affinity(), (8, 8, 8))
    with pytest.raises(TrainingError, match="too thin"):
        Sampler([pair(held_out=Box(start=(0, 0, 39), end=(30, 34, 40)))], Affinity(), (8, 8, 8))
    around = Sampler([pair((30, 30, 30), held_out=Box(start=(5, 5, 5), end=(25, 25, 25)))], Affinity(), (12, 12, 12))
    with pytest.raises(TrainingError, match="beside the part held out"):
        around.sample(0)
