from __future__ import annotations

import numpy as np
import pytest

from axonloom.assembly.segment_table import SegmentTable
from axonloom.geometry import BlockGrid, Box


def by_hand(labels: np.ndarray) -> dict[int, tuple]:
    found = {}
    for label in np.unique(labels[labels != 0]):
        places = np.argwhere(labels == label)
        found[int(label)] = (len(places), tuple(places.min(0)), tuple(places.max(0) + 1))
    return found


def rows(table: SegmentTable) -> dict[int, tuple]:
    return {
        int(i): (int(n), tuple(a), tuple(b))
        for i, n, a, b in zip(table.ids, table.voxels, table.start, table.stop, strict=True)
    }


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("many", [0, 5, 3000])
def test_blocks_add_up_to_the_volume(dtype, many, tmp_path):
    rng = np.random.default_rng(many)
    shape = (17, 20, 23)
    labels = rng.integers(0, many + 1, shape).astype(dtype)
    if dtype == np.uint64:
        labels[labels != 0] += np.uint64(2**40)
    grid = BlockGrid(Box.of_shape(shape), (8, 8, 8))
    tables = []
    for block in map(grid.block, range(len(grid))):
        SegmentTable.of(labels[block.core.slices_in(grid.region)], block.core).write(tmp_path / "t.parquet")
        tables.append(SegmentTable.read(tmp_path / "t.parquet"))
    whole = SegmentTable.added_up(tables)
    assert rows(whole) == by_hand(labels) == rows(SegmentTable.of(labels, grid.region))
    assert (np.diff(whole.ids.astype(np.int64)) > 0).all()
    some = whole.largest(4)
    assert len(some) == min(4, len(whole))
    by_size = sorted(rows(whole).items(), key=lambda row: (-row[1][0], row[0]))[:4]
    assert rows(some) == dict(sorted(by_size))
