"""Edges of a part in place: what is taken in, added up, and refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from axonloom.assembly.affinity_bins import BINS
from axonloom.assembly.edge_table import EdgeTable
from axonloom.segmentation.agglomeration import agglomerate_part
from axonloom.segmentation.edge_queue import COUNT, ENDS, GONE, KEY, SUM
from axonloom.segmentation.edge_rows import EdgeRows
from axonloom.segmentation.pair_table import FREE, ends_of


def table(*rows: tuple[int, ...], bins: int = 0) -> EdgeTable:
    """Rows of (a, b, sum, count, key, best); all contacts in the first bin."""
    columns = [np.array(column, np.uint64) for column in zip(*rows, strict=True)]
    histogram = np.zeros((len(rows), bins), np.uint32)
    if bins:
        histogram[:, 0] = columns[3]
    return EdgeTable(*columns, histogram=histogram)


def taken_in(*tables: EdgeTable) -> EdgeRows:
    return EdgeRows.of((each, each.a.view(np.int64), each.b.view(np.int64)) for each in tables)


@pytest.mark.parametrize("bins", [0, BINS])
def test_one_row_a_pair_is_left(bins):
    edges = taken_in(
        table((5, 2, 10, 3, 7, 40), (4, 4, 1, 1, 1, 1), (1, 2, 9, 1, 2, 3), bins=bins),
        EdgeTable.empty(),
        table((2, 5, 20, 4, 6, 30), (5, 3, 1, 2, 9, 8), bins=bins),
    )
    assert len(edges) == 4, "an object has no edge with itself"
    becomes = np.arange(6)
    becomes[3] = 2
    becomes[1] = 2
    edges.rename(becomes)
    assert np.count_nonzero(edges.rows[:, ENDS] == GONE) == 1, "1 and 2 are one"
    slots = edges.add_up()
    assert np.count_nonzero(slots != FREE) == len(edges) == 1
    (row,) = edges.rows
    assert ends_of(row[ENDS]) == (2, 5)
    assert (row[SUM], row[COUNT], row[KEY]) == (31, 9, 9)
    assert edges.best.tolist() == [8]
    assert edges.histogram.tolist() == [[9, *[0] * (bins - 1)]] if bins else edges.histogram.shape == (1, 0)


def test_nothing_is_nothing():
    edges = taken_in()
    assert len(edges) == len(edges.add_up() != FREE) - 16 == 0
    found = agglomerate_part(np.zeros(0, np.uint64), taken_in(EdgeTable.empty()), np.zeros(0, bool), "0", 50)
    assert len(found.merges) == len(found.undecided) == 0


def test_edges_with_and_without_histograms_are_refused():
    with pytest.raises(ValueError, match="some edges have histograms and others none"):
        taken_in(table((0, 1, 1, 1, 1, 1), bins=BINS), table((1, 2, 1, 1, 2, 1)))


@pytest.mark.parametrize("sums", [(2**62,), (2**63,), (2**61, 2**61)])
def test_sums_that_int64_does_not_hold_are_refused(sums):
    with pytest.raises(ValueError, match="too large for one agglomeration"):
        taken_in(*(table((0, 1, total, 2**60, 1, 1)) for total in sums))


def test_more_contacts_than_a_bin_counts_are_refused():
    half = table((0, 1, 9, 2**31, 1, 1), bins=BINS)
    with pytest.raises(ValueError, match="4294967296 contacts: too many for a histogram"):
        taken_in(half, replace(half, key=np.array([2], np.uint64))).add_up()
    # Here they come together only when 0 and 1 have merged.
    first = table((0, 1, 255, 1, 1, 1), bins=BINS)
    others = [table((i, 2, 9, 2**31, 2 + i, 1), bins=BINS) for i in (0, 1)]
    with pytest.raises(ValueError, match="4294967296 contacts: too many for a histogram"):
        agglomerate_part(np.arange(3, dtype=np.uint64), taken_in(first, *others), np.zeros(3, bool), "0", 50)
