from __future__ import annotations

import numpy as np

from axonloom.assembly import gathering
from axonloom.assembly.gathering import gathered
from axonloom.assembly.object_table import ObjectTable


def test_the_sum_is_that_of_all_at_once_and_little_is_added_up_often(monkeypatch):
    monkeypatch.setattr(gathering, "LEAST", 10)
    rng = np.random.default_rng(4)
    tables = [
        ObjectTable.summed(rng.integers(0, 300, 20).astype(np.uint64), np.ones(20, np.uint64)) for _ in range(200)
    ]
    handled = 0

    def add(some):
        nonlocal handled
        handled += sum(map(len, some))
        return ObjectTable.concatenate(some)

    found = gathered(iter(tables), add)
    whole = ObjectTable.concatenate(tables)
    assert np.array_equal(found.ids, whole.ids)
    assert np.array_equal(found.voxels, whole.voxels)
    assert handled < 3 * sum(map(len, tables))
    assert len(gathered([], ObjectTable.concatenate)) == 0
