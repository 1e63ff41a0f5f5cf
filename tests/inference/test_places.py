"""Places of windows in batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axonloom.geometry import Zyx
from axonloom.inference.places import in_fixed_places, place_of, share_filled

LISTS = st.lists(st.tuples(*[st.integers(0, 5)] * 3), unique=True, max_size=40).map(sorted)


@given(LISTS, st.integers(1, 70))
def test_a_place_depends_on_the_window_alone_and_nothing_is_lost(indices: list[Zyx], batch: int) -> None:
    batches = in_fixed_places(indices, batch)
    assert all(len(b) == batch for b in batches)
    placed = [(i, slot) for b in batches for slot, i in enumerate(b) if i is not None]
    assert sorted(i for i, _ in placed) == indices
    assert all(slot == place_of(i, batch) for i, slot in placed)


@pytest.mark.parametrize("batch", [1, 2, 4, 6, 8, 16, 32])
@pytest.mark.parametrize("windows", [(17, 17, 17), (8, 8, 8), (9, 9, 9), (3, 17, 17)])
def test_boxes_of_windows_fill_the_places(windows: Zyx, batch: int) -> None:
    assert share_filled(windows, batch) >= 0.88


@pytest.mark.parametrize(("windows", "share"), [((17, 17, 17), 0.95), ((8, 8, 8), 0.8), ((9, 9, 9), 0.85)])
def test_large_batches_are_filled_too(windows: Zyx, share: float) -> None:
    assert share_filled(windows, 64) >= share


def test_few_windows_cannot_fill_a_large_batch() -> None:
    assert share_filled((1, 1, 3), 4) == 0.75
    assert share_filled((2, 2, 2), 64) <= 0.125
