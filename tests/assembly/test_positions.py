"""Looking ids up, against NumPy's own search."""

import numpy as np
import pytest

from axonloom.assembly.id_map import UnknownIdError, positions


@pytest.mark.parametrize("largest", [80, 10**6, 2**40, 2**63])
@pytest.mark.parametrize("seed", range(10))
def test_as_a_binary_search(seed, largest):
    random = np.random.default_rng(seed)
    ids = np.unique(random.integers(0, largest, random.integers(1, 60)).astype(np.uint64))
    wanted = random.choice(ids, random.integers(0, 500))
    assert np.array_equal(positions(ids, wanted, "the table"), np.searchsorted(ids, wanted))


def test_ids_that_are_crowded_in_a_corner():
    ids = np.append(np.arange(1, 5000, dtype=np.uint64), np.uint64(2**60))
    assert np.array_equal(positions(ids, ids[::-1], "the table"), np.arange(len(ids))[::-1])


@pytest.mark.parametrize("missing", [0, 6, 8, 2**63 + 5])
@pytest.mark.parametrize("others", [0, 1000])
def test_a_missing_id_is_named(missing, others):
    ids = np.array([5, 7, 9], np.uint64)
    wanted = np.append(np.full(others, 7, np.uint64), np.uint64(missing))
    with pytest.raises(UnknownIdError, match=f"id {missing} is not in the table"):
        positions(ids, wanted, "the table")


def test_nothing_is_in_an_empty_table():
    nothing = np.zeros(0, np.uint64)
    assert len(positions(nothing, nothing, "the table")) == 0
    with pytest.raises(UnknownIdError):
        positions(nothing, np.array([3], np.uint64), "the table")
