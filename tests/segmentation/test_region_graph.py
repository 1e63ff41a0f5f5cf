from __future__ import annotations

import numpy as np
import pytest

from axonloom.assembly.edge_table import COLUMNS
from axonloom.geometry import Box
from axonloom.segmentation.contacts import Contacts
from axonloom.segmentation.region_graph import interior_edges
from tests.segmentation import oracles


@pytest.mark.parametrize("objects", [1, 2, 40, 900])
def test_scattered_labels_touch_everywhere(objects):
    """Far more neighbours than a bucket holds, so that the table for the rest is used and grows."""
    rng = np.random.default_rng(objects)
    compact = rng.integers(0, objects + 1, (14, 15, 16)).astype(np.uint32)
    affinities = rng.integers(0, 256, (3, 14, 15, 16), dtype=np.uint8)
    ids = np.concatenate([[0], np.sort(rng.choice(10**9, objects, replace=False) + 1)]).astype(np.uint64)
    box = Box.of_shape(compact.shape)
    contacts = Contacts.of(compact, affinities, np.zeros(3, np.int64))
    same = np.arange(objects + 1, dtype=np.uint32)
    edges = interior_edges(contacts, same, ids, box, box.shape, histograms=True)
    graph = oracles.region_graph(ids[compact], affinities)
    rows = list(zip(*(getattr(edges, name).tolist() for name in COLUMNS), strict=True))
    strongest = oracles.strongest(ids[compact], affinities)
    assert rows == [(*pair, *graph[pair], strongest[pair]) for pair in sorted(graph)]
    counted = oracles.histograms(ids[compact], affinities)
    assert [tuple(row) for row in edges.histogram.tolist()] == [counted[pair] for pair in sorted(counted)]


def test_only_pairs_within_the_core_count():
    labels = np.arange(1, 28, dtype=np.uint32).reshape(3, 3, 3)
    affinities = np.full((3, 5, 5, 5), 9, np.uint8)
    core = Box(start=(2, 3, 4), size=(3, 3, 3))
    affinities[:, 2:4, 2:4, 2:4] = 1
    contacts = Contacts.of(labels, affinities, np.ones(3, np.int64))
    numbers = np.arange(28, dtype=np.uint32)
    edges = interior_edges(contacts, numbers, numbers.astype(np.uint64), core, (10, 11, 12))
    assert len(edges) == 3 * 18
    assert int(edges.key.max()) == 3 * ((4 * 11 + 5) * 12 + 6) + 2
