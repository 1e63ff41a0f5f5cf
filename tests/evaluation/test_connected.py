from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from axonloom.evaluation.connected import connected_labels
from axonloom.evaluation.contingency import EvaluationError

volumes = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.uint64]),
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8),
    elements=st.integers(0, 3),
)


@given(volumes, st.integers(0, 6))
@settings(max_examples=200, deadline=None)
def test_components_are_those_of_scikit_image(labels: np.ndarray, minimum: int) -> None:
    expected = label(labels.astype(np.int64), connectivity=1)
    sizes = np.bincount(expected.ravel())
    expected = np.where(sizes[expected] >= minimum, expected, 0)
    found = connected_labels(labels, minimum)
    assert found.dtype == np.uint64
    pairs = np.unique(np.stack([found.ravel(), expected.ravel().astype(np.uint64)]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]  # one to one
    assert ((found == 0) == (expected == 0)).all()
    ids, first = np.unique(found[found != 0], return_index=True)
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
    assert (np.diff(first) > 0).all()


def test_a_component_that_turns_back_keeps_one_id() -> None:
    labels = np.zeros((1, 5, 5), np.uint8)
    labels[0, :, 0] = labels[0, :, 4] = labels[0, 4, :] = labels[0, 0, 2] = 1
    found = connected_labels(labels)
    assert found.max() == 2
    assert found[0, 0, 0] == found[0, 0, 4] == 1
    assert found[0, 0, 2] == 2


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="z, y, x"):
        connected_labels(np.zeros((3, 3), int))
    with pytest.raises(EvaluationError, match="float"):
        connected_labels(np.zeros((3, 3, 3)))
