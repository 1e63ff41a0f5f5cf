"""VOI and adapted Rand against scikit-image, PyTC and waterz."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import adapted_rand_error, variation_of_information

from axonloom.evaluation.adapted_rand import adapted_rand, rand_split_merge, snemi_adapted_rand
from axonloom.evaluation.contingency import ContingencyTable, EvaluationError
from axonloom.evaluation.voi import voi


@st.composite
def labellings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Segmentation and labels of one shape; at least one labelled voxel."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))
    segmentation, labels = (
        draw(hnp.arrays(np.int64, shape, elements=st.integers(0, draw(st.integers(1, 12))))) for _ in range(2)
    )
    labels.flat[draw(st.integers(0, labels.size - 1))] = 1
    return segmentation, labels


def singletons(segmentation: np.ndarray) -> np.ndarray:
    """Zeros replaced by ids of their own."""
    result = segmentation.copy()
    zero = result == 0
    result[zero] = result.max() + 1 + np.arange(zero.sum())
    return result


def in_convention(segmentation: np.ndarray, labels: np.ndarray, predicted_zero: str) -> tuple[np.ndarray, np.ndarray]:
    """Arrays on which scikit-image's own convention gives the score of ours."""
    if predicted_zero == "singletons":
        return singletons(segmentation), labels
    if predicted_zero == "drop":
        return segmentation, np.where(segmentation == 0, 0, labels)
    return segmentation, labels


@given(labellings(), st.sampled_from(["segment", "singletons", "drop"]))
@settings(max_examples=300, deadline=None)
def test_scores_are_those_of_scikit_image(arrays, predicted_zero) -> None:
    table = ContingencyTable.of(*arrays)
    segmentation, labels = in_convention(*arrays, predicted_zero)
    if not labels.any():
        with pytest.raises(EvaluationError, match="leaves nothing to score"):
            voi(table, predicted_zero)
        return
    found = voi(table, predicted_zero)
    np.testing.assert_allclose(
        found, variation_of_information(labels, segmentation, ignore_labels=(0,)), rtol=1e-9, atol=1e-12
    )
    assert min(found) >= 0
    with np.errstate(invalid="ignore", divide="ignore"):
        # scikit-image gives (error, recall, precision) where it says (error, precision, recall)
        error, recall, precision = adapted_rand_error(labels, segmentation, ignore_labels=(0,))
    ours = adapted_rand(table, predicted_zero)
    # it divides 0 by 0 where no two voxels are together; nothing can be wrong there
    assert ours.error == pytest.approx(0.0 if math.isnan(error) else error, abs=1e-12)
    assert ours.precision == pytest.approx(1.0 if math.isnan(precision) else precision, rel=1e-12)
    assert ours.recall == pytest.approx(1.0 if math.isnan(recall) else recall, rel=1e-12)


@given(labellings())
@settings(max_examples=100, deadline=None)
def test_a_segmentation_equal_to_the_labels_is_perfect_and_roles_exchange(arrays) -> None:
    segmentation, labels = arrays
    perfect = ContingencyTable.of(labels * 3, labels)
    assert voi(perfect) == (0.0, 0.0)
    assert adapted_rand(perfect) == (0.0, 1.0, 1.0)
    segmentation = segmentation + 1  # no zeros on either side: exchanging the volumes exchanges splits and merges
    there, back = (
        ContingencyTable.of(segmentation, labels + 1),
        ContingencyTable.of(labels + 1, segmentation),
    )
    assert voi(there) == pytest.approx(voi(back)[::-1])
    one, other = adapted_rand(there), adapted_rand(back)
    assert (one.error, one.precision, one.recall) == pytest.approx((other.error, other.recall, other.precision))


def test_which_half_is_which() -> None:
    labels = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    merged = ContingencyTable.of(np.full(8, 5), labels)
    assert voi(merged) == (0.0, 1.0)
    assert adapted_rand(merged).precision == pytest.approx(24 / 56)
    assert adapted_rand(merged).recall == 1
    halved = ContingencyTable.of(np.array([1, 1, 2, 2, 3, 3, 4, 4]), labels)
    assert voi(halved) == (1.0, 0.0)
    assert adapted_rand(halved).precision == 1
    assert adapted_rand(halved).recall == pytest.approx(8 / 24)


def test_squares_pass_64_bits() -> None:
    """Two objects of 2^40 voxels, merged: the squares are 2^80 and more."""
    half = np.array([2**40, 2**40], np.int64)
    table = ContingencyTable(np.array([1, 1], np.uint64), np.array([1, 2], np.uint64), half)
    assert voi(table) == (0.0, 1.0)
    assert adapted_rand(table).precision == pytest.approx(0.5)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(EvaluationError, match="segment, singletons, drop"):
        voi(ContingencyTable.of(np.array([1]), np.array([1])), "ignore")  # type: ignore[arg-type]


CASES = ["identical", "merges", "splits", "unrelated", "noisy_bg"]


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_pytorch_connectomics_and_waterz(shared: Path, case: str) -> None:
    folder = shared / "oracle" / "pytc"
    expected = json.loads((folder / "metrics_v1_values.json").read_text())[case]
    with np.load(folder / "metrics_v1.npz") as arrays:
        table = ContingencyTable.of(arrays[f"seg_{case}"], arrays["gt"])
    assert snemi_adapted_rand(table) == pytest.approx(expected["adapted_rand"], abs=1e-9)
    assert voi(table) == pytest.approx(expected["voi_split_merge_default"], abs=1e-9)
    assert voi(table, "drop") == pytest.approx(expected["voi_ignore_both0"], abs=1e-9)
    waterz = expected["waterz_formula"]
    assert voi(table) == pytest.approx([waterz["V_Info_split"], waterz["V_Info_merge"]], abs=1e-9)
    assert rand_split_merge(table) == pytest.approx([waterz["V_Rand_split"], waterz["V_Rand_merge"]], abs=1e-9)


def test_snemi_formula_where_everything_is_predicted_zero() -> None:
    found = snemi_adapted_rand(ContingencyTable.of(np.zeros(4, int), np.array([1, 1, 2, 0])))
    assert found.precision == 1  # 3/4 of a pair on both sides
    assert found.recall == pytest.approx(0.75 / 5)
