"""Pooling over a whole region graph in memory: what the stages, which go part by part, have to equal."""

from __future__ import annotations

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.lookup_table import LookupTable
from axonloom.assembly.union_find import canonical_positions


def pool(fragment_ids: np.ndarray, dendrogram: Dendrogram, threshold: str) -> np.ndarray:
    """The segment (uint64) of each fragment at a threshold: 1..m without gaps, in the order of the smallest fragment ids."""
    n = dendrogram.merges_at(threshold)
    a = positions(fragment_ids, dendrogram.a[:n], "the fragments")
    b = positions(fragment_ids, dendrogram.b[:n], "the fragments")
    smallest = canonical_positions(len(fragment_ids), a, b)
    rank = np.cumsum(smallest == np.arange(len(smallest)), dtype=np.uint64)
    return rank[smallest]


def compose(canonical: IdMap, fragment_ids: np.ndarray, segments: np.ndarray) -> LookupTable:
    """Provisional -> canonical -> segment, in one table; segment 0 makes a fragment background."""
    count = int(segments.max()) if len(segments) else 0
    return LookupTable.of(canonical.ids, segments[positions(fragment_ids, canonical.targets, "the fragments")], count)
