"""How well affinities segment: axonloom's own chain over a volume in memory, scored at many thresholds.

Fragments, region graph and agglomeration are the functions that the stages call, with the volume as one block, so that the scores are
those that ``axonloom evaluate`` gives of the same affinities, number for number.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.region_graph import assemble
from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.assembly.union_find import canonical_positions
from axonloom.config.merge import percent_of
from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.report import Scores
from axonloom.evaluation.thresholds import score_thresholds
from axonloom.geometry import Box
from axonloom.segmentation.absorption import absorb as absorbed
from axonloom.segmentation.agglomeration import agglomerate
from axonloom.segmentation.fragments import block_fragments


def decoded_scores(
    affinities: np.ndarray,
    labels: np.ndarray,
    thresholds: Sequence[Decimal],
    *,
    low: Decimal,
    high: Decimal,
    absorb: int = 0,
    score: str = "mean",
) -> dict[Decimal, Scores]:
    """The scores of the segmentation at each threshold; all come from one agglomeration.

    Parameters
    ----------
    affinities : uint8 (3, z, y, x)
        Of each voxel and the one before it along z, y and x.
    labels : integers (z, y, x)
        An object id a voxel; 0 is not scored.
    thresholds : sequence of Decimal
        0..1; the order of the result.
    low, high : Decimal
        Affinities (0..1), as ``segment.low`` and ``segment.high``.
    absorb : int
        Voxels, as ``segment.absorb``.
    score : str
        As ``merge.score``.

    Raises
    ------
    EvaluationError
        No voxel is labelled.
    """
    shape = affinities.shape[1:]
    whole = Box.of_shape(shape)
    percent, lowest_edge = percent_of(score), threshold_to_uint8(low)
    found = block_fragments(
        affinities,
        whole,
        whole,
        (shape[0], shape[1], shape[2]),
        lowest_edge,
        threshold_to_uint8(high),
        absorb=absorb,
        histograms=percent is not None,
    )
    graph = assemble(found.objects, found.edges, np.zeros((0, 2), np.uint64))
    graph = absorbed(graph, absorb, lowest_edge, found.growth)
    merges = agglomerate(graph.edges, min(thresholds), percent)
    ids = graph.fragments.ids
    a, b = (positions(ids, ends, "the fragments") for ends in (merges.a, merges.b))

    def segments_at(threshold: Decimal) -> IdMap:
        n = merges.merges_at(threshold)
        return IdMap(ids, ids[canonical_positions(len(ids), a[:n], b[:n])])

    fragments = ContingencyTable.of(found.labels(), labels).relabelled(graph.canonical.lookup)
    return score_thresholds(fragments, thresholds, lambda threshold: segments_at(threshold).lookup)
