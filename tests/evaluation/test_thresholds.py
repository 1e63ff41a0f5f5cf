from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.id_map import IdMap, UnknownIdError
from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.report import score
from axonloom.evaluation.thresholds import score_thresholds


@given(st.integers(0, 2**32), st.integers(1, 30), st.sampled_from(["segment", "singletons", "drop"]))
@settings(max_examples=60, deadline=None)
def test_scores_at_each_threshold_are_those_of_the_voxels(seed, fragments, predicted_zero) -> None:
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(1, 2**63, fragments).astype(np.uint64))
    volume = np.append(ids, np.uint64(0))[rng.integers(0, len(ids) + 1, (5, 6, 7))]
    labels = rng.integers(0, 5, (5, 6, 7))
    volume[0, 0, :2] = ids[0]  # something to score in every convention
    labels[0, 0, :2] = 1
    merges = [(i, int(rng.integers(0, i))) for i in range(1, len(ids))]  # a random tree, cut at each threshold
    rng.shuffle(merges)

    def segments(threshold: Decimal) -> np.ndarray:
        parent = np.arange(len(ids))
        for high, low in merges[: int((1 - threshold) * len(merges))]:
            parent[parent == parent[high]] = parent[low]
        return parent.astype(np.uint32) + np.uint32(1)

    thresholds = [Decimal("0.9"), Decimal("0.5"), Decimal("0.1"), Decimal(0)]
    found = score_thresholds(
        ContingencyTable.of(volume, labels),
        thresholds,
        lambda t: IdMap(ids, segments(t).astype(np.uint64)).lookup,
        predicted_zero,
    )
    assert list(found) == thresholds
    for threshold, scores in found.items():
        table = np.append(segments(threshold), np.uint32(0))
        where = np.where(volume == 0, len(ids), np.searchsorted(ids, volume))
        assert scores == score(ContingencyTable.of(table[where], labels), predicted_zero)


def test_a_fragment_without_a_segment_is_named() -> None:
    table = ContingencyTable.of(np.array([3, 5, 9]), np.array([1, 1, 1]))
    segments = IdMap(np.array([3, 5], np.uint64), np.array([1, 1], np.uint64))
    with pytest.raises(UnknownIdError, match="9"):
        score_thresholds(table, [0.5], lambda _: segments.lookup)
