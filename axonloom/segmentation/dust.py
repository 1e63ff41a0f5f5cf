"""Segments that are too small to be anything: joined to what they most belong to, or made background.

Both rules look at the segments of the whole volume, as the threshold (or whatever else merged them) left them. The sums of
the fragments' region graph give the sums between segments, so no voxel is read, and no block is known of.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import Threshold
from axonloom.segmentation.best_neighbour import join_best_neighbours


def without_dust(
    segments: np.ndarray,
    fragments: ObjectTable,
    edges: EdgeTable,
    *,
    join: int = 0,
    lowest: Threshold = "0",
    discard: int = 0,
) -> np.ndarray:
    """The segments after small ones have joined their best neighbours, and those still small have become background.

    Parameters
    ----------
    segments : uint64 (n,)
        The segment of each fragment, 1..m without gaps in the order of the segments' smallest fragment ids.
    fragments : ObjectTable
        The n fragments and their sizes.
    edges : EdgeTable
        Their region graph. It is looked at only when ``join`` is more than 1.
    join : int
        Segments of fewer voxels join the neighbour with which their mean affinity is highest: all at the same time, then
        statistics are added up, and again (see :func:`axonloom.segmentation.best_neighbour.join_best_neighbours`).
    lowest : decimal of 0..1
        Mean affinity below which none joins.
    discard : int
        Segments that have fewer voxels then become 0.

    Returns
    -------
    uint64 (n,)
        Segments 1, 2, … without gaps, in the same order; 0 for background.

    Raises
    ------
    ThresholdError
        ``lowest`` is not a number of 0..1.
    """
    contacts = edges.relabelled(fragments.ids, segments) if join > 1 else EdgeTable.empty()
    graph = RegionGraph(ObjectTable.summed(segments, fragments.voxels), contacts, IdMap(fragments.ids, segments))
    graph = join_best_neighbours(graph, join, lowest)
    stays = graph.fragments.voxels >= discard
    number = np.where(stays, np.cumsum(stays), 0).astype(np.uint64)
    return number[positions(graph.fragments.ids, graph.canonical.targets, "the segments")]
