"""Affinities, weights and losses against PyTorch Connectomics' own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from axonloom.losses.dice import dice_loss
from axonloom.representations.affinity import NEAREST, Affinity, affinities
from axonloom.representations.balance import class_balance
from axonloom.representations.erosion import eroded
from axonloom.representations.representation import Representation, RepresentationError, representation

LONG = {"2_3_3": (2, 3, 3), "3_9_9": (3, 9, 9), "4_27_27": (4, 27, 27), "1_1_1": (1, 1, 1)}
labels_strategy = hnp.arrays(
    np.uint64,
    st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([0, 1, 2, 2**53, 2**53 + 1, 2**63 + 5]),
)


def along_axes(offset: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(offset[0], 0, 0), (0, offset[1], 0), (0, 0, offset[2])]


@pytest.mark.parametrize(
    ("array", "radius"), [("aff2", 0), ("aff2_er1", 1), ("aff2_er2", 2), ("aff2_er4", 4), ("aff2_er1_list", 1)]
)
def test_targets_with_background_equal_pytc(shared: Path, array: str, radius: int) -> None:
    oracle = np.load(shared / "oracle/pytc/targets_v1.npz")
    assert np.array_equal(affinities(eroded(oracle["label"], radius)), oracle[array])


@pytest.mark.parametrize(("array", "radius"), [("aff_2", 0), ("aff_2_er1", 1), ("aff_2_er2", 2)])
def test_targets_of_dense_labels_equal_pytc(shared: Path, array: str, radius: int) -> None:
    oracle = np.load(shared / "oracle/pytc/targets_dense_label_v1.npz")
    assert np.array_equal(affinities(eroded(oracle["label"], radius)), oracle[array])


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_erosion_equals_pytc(shared: Path, radius: int) -> None:
    oracle = np.load(shared / "oracle/pytc/targets_dense_label_v1.npz")
    assert np.array_equal(eroded(oracle["label"], radius), oracle[f"eroded{radius}"])


@pytest.mark.parametrize("name", ["2_3_3", "3_9_9", "4_27_27", "1_1_1"])
@pytest.mark.parametrize("radius", [0, 1])
def test_long_range_targets_equal_pytc(shared: Path, name: str, radius: int) -> None:
    oracle = np.load(shared / "oracle/pytc/targets_v1.npz")
    expected = oracle[f"aff_2_{name}_v1" + (f"_er{radius}" if radius else "")]
    assert np.array_equal(affinities(eroded(oracle["label"], radius), along_axes(LONG[name]), "edge"), expected)


@settings(max_examples=60, deadline=None)
@given(labels=labels_strategy, radius=st.integers(0, 3), cube=st.booleans())
def test_erosion_equals_its_definition(labels: np.ndarray, radius: int, cube: bool) -> None:
    depth = radius if cube else 0
    expected = labels.copy()
    for z, y, x in np.ndindex(*labels.shape):
        window = labels[
            max(0, z - depth) : z + depth + 1, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1
        ]
        if len(np.setdiff1d(window, [0])) > 1:
            expected[z, y, x] = 0
    assert np.array_equal(eroded(labels, radius, across_sections=cube), expected)


@settings(max_examples=60, deadline=None)
@given(labels=labels_strategy, offset=st.tuples(*[st.integers(0, 8)] * 3).filter(any), ignore=st.booleans())
def test_targets_and_their_masks_equal_their_definition(
    labels: np.ndarray, offset: tuple[int, int, int], ignore: bool
) -> None:
    target, weight = Affinity([offset], ignore_zero=ignore).targets(labels)
    for voxel in np.ndindex(*labels.shape):
        source = tuple(v - o for v, o in zip(voxel, offset, strict=True))
        if min(source) < 0:
            assert weight[0][voxel] == 0
            continue
        assert target[0][voxel] == (labels[voxel] == labels[source] and labels[voxel] > 0)
        assert (weight[0][voxel] == 0) == (ignore and (labels[voxel] == 0 or labels[source] == 0))


@settings(max_examples=40, deadline=None)
@given(labels=labels_strategy, erosion=st.integers(0, 2), cube=st.booleans())
def test_the_margin_is_enough(labels: np.ndarray, erosion: int, cube: bool) -> None:
    """Targets of a crop with its margin are those of the whole array."""
    kind = Affinity(NEAREST, erosion=erosion, erosion_across_sections=cube)
    low, high = kind.margin
    whole, _ = kind.targets(labels)
    core = tuple(slice(a, n - b) for a, b, n in zip(low, high, labels.shape, strict=True))
    if any(s.stop <= s.start for s in core):
        return
    window = tuple(slice(s.start - a, s.stop + b) for s, a, b in zip(core, low, high, strict=True))
    crop, weight = kind.targets(labels[window])
    inside = tuple(slice(a, a + s.stop - s.start) for a, s in zip(low, core, strict=True))
    assert np.array_equal(crop[(slice(None), *inside)], whole[(slice(None), *core)])
    assert (weight[(slice(None), *inside)] > 0).all()


def test_class_balance_equals_pytc(shared: Path) -> None:
    oracle = np.load(shared / "oracle/pytc/weights_v1.npz")
    everything = np.ones(oracle["aff"].shape, dtype=bool)
    ours = class_balance(oracle["aff"] > 0, everything)
    np.testing.assert_allclose(ours, oracle["w_aff_1_nomask"], atol=1e-6)
    # One channel: the case with a mask that PyTorch Connectomics computes rightly.
    ours = class_balance(oracle["fg"] > 0, (oracle["mask"] > 0)[None])
    np.testing.assert_allclose(ours, oracle["w_fg_1_mask"], atol=1e-6)


def test_uniform_targets_get_equal_weights() -> None:
    known = np.array([True, True, False])
    assert class_balance(np.ones(3, dtype=bool), known).tolist() == [1, 1, 0]
    assert class_balance(np.zeros(3, dtype=bool), known).tolist() == [1, 1, 0]


def test_loss_and_gradient_equal_pytc(shared: Path) -> None:
    oracle = np.load(shared / "oracle/pytc/losses_v1.npz")
    values = json.loads((shared / "oracle/pytc/losses_v1_values.json").read_text())
    logits = torch.from_numpy(oracle["pred"]).requires_grad_()
    target = torch.from_numpy(oracle["target"].astype(np.float32))
    weight = torch.from_numpy(oracle["weight"])
    assert bool((weight > 0).all())
    total = Affinity(dice=0.5).loss(logits, target, weight)
    assert total.item() == pytest.approx(values["criterion_snemi_total"], rel=1e-5)
    total.backward()
    np.testing.assert_allclose(logits.grad, oracle["grad_snemi"], rtol=1e-4, atol=1e-9)
    assert Affinity(dice=0).loss(logits, target, weight).item() == pytest.approx(
        values["WeightedBCEWithLogitsLoss"], rel=1e-5
    )


def test_unknown_voxels_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator)
    target = (torch.rand(2, 3, 4, 5, 6, generator=generator) > 0.5).float()
    known = torch.rand(2, 3, 4, 5, 6, generator=generator) > 0.5
    changed = torch.where(known, logits, -logits)
    kind = Affinity()
    assert kind.loss(logits, target, known.float()).item() == kind.loss(changed, target, known.float()).item()
    inside = dice_loss(torch.sigmoid(logits), target, known)
    assert inside.item() != dice_loss(torch.sigmoid(logits), target, torch.ones_like(known)).item()


def test_erosion_stays_inside_the_objects_own_meeting_line() -> None:
    labels = np.zeros((1, 9, 9), dtype=np.uint32)
    labels[0, :, 1:5], labels[0, :, 5:8] = 1, 2
    result = eroded(labels, 1)
    gone = ndimage.binary_dilation(labels == 1, np.ones((1, 1, 3))) & (labels == 2)
    gone |= ndimage.binary_dilation(labels == 2, np.ones((1, 1, 3))) & (labels == 1)
    assert np.array_equal(result, np.where(gone, 0, labels))


def test_representation_by_name_round_trips() -> None:
    first = representation("affinity", erosion=1, ignore_zero=True, dice=0.25)
    assert isinstance(first, Representation)
    assert first.channels == ("z", "y", "x")
    assert first.margin == ((1, 2, 2), (0, 1, 1))
    again = representation(first.name, **json.loads(json.dumps(first.parameters())))
    assert again.parameters() == first.parameters()


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("afinity", {}, "did you mean 'affinity'"),
        ("affinity", {"eroded": 1}, "eroded"),
        ("affinity", {"offsets": [[0, 0, 0]]}, "offset"),
        ("affinity", {"erosion": -1}, "not negative"),
    ],
)
def test_a_wrong_representation_says_why(name: str, parameters: dict, says: str) -> None:
    with pytest.raises(RepresentationError, match=says):
        representation(name, **parameters)
