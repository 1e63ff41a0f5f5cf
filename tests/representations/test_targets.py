"""Kinds of targets against PyTorch Connectomics' own arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axonloom.representations.affinity import affinities
from axonloom.representations.balance import border_weights, class_balance
from axonloom.representations.centred_affinity import CentredAffinity
from axonloom.representations.contour import Contour
from axonloom.representations.dilation import dilated
from axonloom.representations.distance import ObjectDistance, SignedDistance, SkeletonDistance
from axonloom.representations.erosion import eroded
from axonloom.representations.flow import Flow
from axonloom.representations.foreground import Foreground
from axonloom.representations.per_voxel import PerVoxel
from axonloom.representations.polarity import Polarity
from axonloom.representations.small_objects import SmallObjects
from axonloom.representations.targets import Targets
from axonloom.turn import Turn


@pytest.fixture(scope="module")
def arrays(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "oracle" / "pytc" / "targets_v1.npz") as stored:
        return {name: stored[name] for name in stored}


#: Array -> ours, and the erosion before it.
KINDS = {
    "t0": (Foreground(), 0),
    "t0_sel": (Foreground([3, 5]), 0),
    "t1": (Polarity(), 0),
    "t1_excl": (Polarity(exclusive=True), 0),
    "t3": (SmallObjects(25, 2), 0),
    "t4_1_1": (Contour(1), 0),
    "t4_0_1": (Contour(0), 0),
    "t4_1_0": (Contour(1, background=False), 0),
    "t4_2_1_er1": (Contour(2), 1),
    "t5_short": (ObjectDistance(), 0),
    "t5_2d": (ObjectDistance(anisotropy=5), 0),
    "t5_3d": (ObjectDistance(across_sections=True, anisotropy=5), 0),
    "t5_3d_pad": (ObjectDistance(across_sections=True, anisotropy=5, padding=True), 0),
    "t5_2d_pad_q": (ObjectDistance(padding=True, classes=True), 0),
    "t5_3d_er2": (ObjectDistance(across_sections=True, padding=True, erosion=2), 0),
    "t8": (ObjectDistance(across_sections=True, padding=True, window=3), 0),
    "t6": (SignedDistance(), 0),
    "aff_2_1_1_1_v2": (CentredAffinity((1, 1, 1)), 0),
    "aff_2_1_1_1_v2_er1": (CentredAffinity((1, 1, 1)), 1),
    "aff_2_1_3_3_v2": (CentredAffinity((1, 3, 3)), 0),
    "aff_2_1_3_3_v2_er1": (CentredAffinity((1, 3, 3)), 1),
    "t6_3d": (SignedDistance(across_sections=True), 0),
    "t7": (Flow(), 0),
    "ta": (SkeletonDistance(across_sections=True, anisotropy=5, padding=True), 0),
    "ta_q": (SkeletonDistance(across_sections=True, anisotropy=5, padding=True, classes=True), 0),
}
#: 1 where PyTorch Connectomics computes in float64 and numbers are no 0 or 1.
ROUNDED = ("t5", "t6", "t7", "t8", "ta")


@pytest.mark.parametrize("name", KINDS)
def test_numbers_are_those_of_pytorch_connectomics(arrays, name):
    kind, erosion = KINDS[name]
    found, known = kind.target(eroded(arrays["label"].astype(np.int64), erosion))
    expected = arrays[name]
    assert found.dtype == np.float32
    assert known.all()
    assert known.shape == found.shape
    np.testing.assert_allclose(
        found, expected.reshape(found.shape), rtol=0, atol=1e-4 if name.startswith(ROUNDED) else 0
    )
    assert len(kind.channels) == (len(found) if not kind.classes else 11 if name.endswith("q") else 3)


def test_grown_labels(arrays):
    labels = arrays["label"].astype(np.int64)
    np.testing.assert_array_equal(affinities(dilated(labels, 1)), arrays["aff2_dil1"] > 0)
    np.testing.assert_array_equal(affinities(dilated(eroded(labels, 1), 1)), arrays["aff2_er1_dil1"] > 0)
    grown = ObjectDistance(across_sections=True, padding=True)
    from scipy import ndimage

    found = grown.numbers(ndimage.maximum_filter(labels, 3))
    np.testing.assert_allclose(found, arrays["t8"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["fg", "aff", "sparse", "allone"])
@pytest.mark.parametrize("dilation", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_balance(shared, name, dilation, masked):
    with np.load(shared / "oracle" / "pytc" / "weights_v1.npz") as stored:
        expected = stored[f"w_{name}_{'1-1' if dilation else '1'}_{'mask' if masked else 'nomask'}"]
        if name == "allone":
            target = np.ones((3, *stored["fg"].shape[-3:]), bool)
        elif name == "sparse":
            pytest.skip("its target is not in the fixture")
        else:
            target = stored[name].reshape(-1, *stored[name].shape[-3:]) > 0
        mask = stored["mask"].reshape(1, *stored["mask"].shape[-3:]) > 0
    known = np.broadcast_to(mask, target.shape) if masked else np.ones_like(target)
    found = class_balance(target, known, dilation=dilation)
    if masked and name == "aff":
        # Theirs takes the ones of all channels over the voxels of one: the fraction sticks at its bound.
        assert expected.max() == 19
        assert found.max() < 19
        return
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=0, atol=1e-6)


#: Ours -> what it is called in the fixture.
OPTIONS = {"none": "0", "class": "1", "class_dilated": "1-1", "border": "2-10.0-5.0"}


@pytest.mark.parametrize("balance", OPTIONS)
@pytest.mark.parametrize("name", ["fg", "aff"])
def test_masked_weights_as_pytorch_connectomics_has_them(shared, name, balance):
    """Its mistakes on demand: what is right stands in test_balance."""
    with np.load(shared / "oracle" / "pytc" / "weights_v1.npz") as stored:
        expected = stored[f"w_{name}_{OPTIONS[balance]}_mask"]
        labels, mask, given = stored["label"].astype(np.int64), stored["mask"] > 0, stored[name]
    eroded_affinity = {"kind": "affinity", "parameters": {"border": "replicate"}, "erosion": 1}
    kind = {"kind": "foreground"} if name == "fg" else eroded_affinity
    parts = [{**kind, "losses": [{"loss": "cross_entropy", "balance": balance}]}]
    target, weight = Targets(parts, pytc_compat=True).targets(labels, mask)
    np.testing.assert_array_equal(target, given.reshape(target.shape))
    np.testing.assert_allclose(weight, np.broadcast_to(expected, weight.shape), rtol=0, atol=1e-5)
    plain = Targets(parts).targets(labels, mask)[1]
    assert not plain[:, ~mask].any()
    if name == "aff" or balance == "border":
        assert not np.array_equal(plain, weight)
    made_again = Targets(**Targets(parts, pytc_compat=True).parameters())
    np.testing.assert_array_equal(made_again.targets(labels, mask)[1], weight)


def test_without_a_mask_nothing_has_to_be_repeated(arrays):
    labels = arrays["label"].astype(np.int64)
    parts = [{"kind": "affinity"}, {"kind": "foreground"}]
    np.testing.assert_array_equal(
        Targets(parts, pytc_compat=True).targets(labels)[1], Targets(parts).targets(labels)[1]
    )


def test_where_one_class_is_alone_all_weigh_one(shared):
    with np.load(shared / "oracle" / "pytc" / "weights_v1.npz") as stored:
        mask = stored["mask"] > 0
        expected = stored["w_allone_1_mask"]
    parts = [
        {
            "kind": "affinity",
            "parameters": {"border": "replicate"},
            "losses": [{"loss": "cross_entropy", "balance": "class"}],
        }
    ]
    _, weight = Targets(parts, pytc_compat=True).targets(np.ones(mask.shape, np.int64), mask)
    np.testing.assert_array_equal(weight, np.broadcast_to(expected, weight.shape))


def test_a_kind_without_numbers_cannot_be_made():
    class Nothing(PerVoxel):
        channels = ("nothing",)

    with pytest.raises(TypeError, match="numbers"):
        Nothing()  # pyright: ignore[reportAbstractUsage]


def test_borders_count_more(shared):
    with np.load(shared / "oracle" / "pytc" / "weights_v1.npz") as stored:
        found = border_weights(stored["label"].astype(np.int64), 10, 5)
        np.testing.assert_allclose(found[None], stored["w_fg_2-10.0-5.0_nomask"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [k for k, _ in KINDS.values()], ids=list(KINDS))
@pytest.mark.parametrize("labels", [np.zeros((3, 9, 10), np.int64), np.ones((3, 9, 10), np.int64)], ids=["none", "all"])
def test_where_there_is_nothing_or_nothing_else(kind, labels):
    found, _ = kind.target(labels)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", [k for k, _ in KINDS.values()], ids=list(KINDS))
def test_they_turn_with_the_image(arrays, kind):
    """What belongs to a voxel belongs to it in the turned image too, where the kind says that it is seen."""
    labels = arrays["label"].astype(np.int64)[:, :30, :40]
    for turn in (
        Turn(flips=(False, True, False)),
        Turn((0, 2, 1), (False, False, True)),
        Turn(flips=(True, False, True)),
    ):
        seen = kind.seen(turn)
        found, there = kind.target(labels)[0], kind.target(np.ascontiguousarray(turn.apply(labels)))[0]
        if kind.classes:
            seen = seen[:1]
        for channel, place in enumerate(seen):
            if place is not None and not isinstance(kind, SkeletonDistance):
                np.testing.assert_allclose(there[place.channel], turn.apply(found[channel]), atol=1e-5)
