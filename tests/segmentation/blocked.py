"""The whole chain in memory, block by block in any order, the way the stages run it on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axonloom.assembly.edge_table import COLUMNS, HISTOGRAM, EdgeTable
from axonloom.assembly.faces import face_contacts
from axonloom.assembly.growth_table import GrowthTable
from axonloom.assembly.lookup_table import relabel
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.region_graph import RegionGraph, assemble
from axonloom.geometry import BlockGrid, Box
from axonloom.segmentation.absorption import absorb
from axonloom.segmentation.agglomeration import agglomerate
from axonloom.segmentation.fragments import BlockFragments, block_fragments, halo
from tests.segmentation.whole_graph import compose, pool


@dataclass
class Result:
    provisional: np.ndarray
    graph: RegionGraph
    grid: BlockGrid
    blocks: list[BlockFragments]

    @property
    def fragments(self) -> np.ndarray:
        """Canonical ids, uint64 (z, y, x)."""
        labels = self.provisional.copy()
        labels[labels > 0] = self.graph.canonical.lookup(labels[labels > 0])
        return labels

    def segmentation(self, lowest: str, threshold: str, percent: int | None = None) -> np.ndarray:
        dendrogram = agglomerate(self.graph.edges, lowest, percent)
        segments = pool(self.graph.fragments.ids, dendrogram, threshold)
        return relabel(self.provisional, compose(self.graph.canonical, self.graph.fragments.ids, segments))


def segment(
    affinities: np.ndarray,
    block: Sequence[int],
    low: int,
    high: int,
    mask: np.ndarray | None = None,
    smoothing: object = None,
    seed: int = 0,
    absorbing: int = 0,
    histograms: bool = False,
) -> Result:
    """Fragments and region graph of a volume cut into blocks, which run and are gathered in an order drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    shape = affinities.shape[1:]
    grid = BlockGrid(Box.of_shape(shape), tuple(block), halo(smoothing))  # type: ignore[arg-type]
    labels = np.zeros(shape, np.uint64)
    done = {}
    for index in rng.permutation(len(grid)):
        b = grid.block(int(index))
        found = block_fragments(
            affinities[(slice(None), *b.read.slices)],
            b.read,
            b.core,
            shape,
            low,
            high,
            None if mask is None else mask[b.read.slices],
            smoothing,  # type: ignore[arg-type]
            absorb=absorbing,
            histograms=histograms,
        )
        done[b.index] = found
        labels[b.core.slices] = done[b.index].labels()
    edges = [block.edges for block in done.values()]
    joins = [np.zeros((0, 2), np.uint64)]
    for index, axis in rng.permutation([(i, a) for i in done for a in range(3)]):
        below = grid.neighbour_below(int(index), int(axis))
        upper = done[int(index)].faces.low[axis]
        assert (below is None) == (upper is None)
        if below is not None:
            lower = done[below].faces.high[axis]
            contacts, joined = face_contacts(lower, upper, shape, histograms=histograms)
            edges.append(contacts)
            joins.append(joined)
    graph = assemble(
        ObjectTable.concatenate([block.objects for block in done.values()]),
        EdgeTable.concatenate(edges),
        np.concatenate(joins),
    )
    growth = GrowthTable.concatenate([block.growth for block in done.values()])
    return Result(labels, absorb(graph, absorbing, low, growth), grid, [done[i] for i in range(len(grid))])


def assert_same_graph(one: RegionGraph, other: RegionGraph) -> None:
    for name in ("ids", "voxels"):
        np.testing.assert_array_equal(getattr(one.fragments, name), getattr(other.fragments, name), err_msg=name)
    for name in (*COLUMNS, HISTOGRAM):
        np.testing.assert_array_equal(getattr(one.edges, name), getattr(other.edges, name), err_msg=name)
