"""One partition of a whole region graph instead of a threshold: multicut, solved by a heuristic.

Every pair of fragments in contact gets a cost: above 0 where they look like one object, below 0 where not. The partition
whose cut edges cost least is asked for (Kappes et al. 2011, Andres et al. 2012). That is NP-hard, so greedy additive edge
contraction (GAEC, Keuper et al. 2015) is run: the pair of the highest cost becomes one, costs to common neighbours are added,
and again until none is above 0. Other than a mean, a sum also counts how much speaks against a merger, which parts objects
that touch at one bad place. The solver is bioimage-cpp's, on one thread.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from bioimage_cpp.graph import UndirectedGraph
from bioimage_cpp.graph.multicut import GreedyAdditiveMulticut, MulticutObjective

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.thresholds import FULL_SCALE, Threshold, threshold_fraction

Weight = Literal["none", "root", "contacts"]

LEAST = 0.001
"""Probabilities are drawn into [LEAST, 1 - LEAST], so that no single edge decides alone."""
UNIT = 2**16
"""Costs are whole numbers of 1/UNIT: their sums are exact in any order, and the last digit of a logarithm, which may differ
between processors, has no say."""


def edge_costs(edges: EdgeTable, beta: Threshold, weight: Weight) -> np.ndarray:
    """What it costs to cut each edge.

    Parameters
    ----------
    edges : EdgeTable
    beta : decimal between 0 and 1
        Boundary bias: below 0.5 more is merged, above it less. A single pair is merged where the probability of a boundary
        is below 1 - beta.
    weight : {"none", "root", "contacts"}
        Whether each edge counts the same, or by the square root of its number of voxel pairs, or by that number.

    Returns
    -------
    float64 (n,)
        ``log((1 - p) / p) + log((1 - beta) / beta)`` times the weight, with p = 1 - mean affinity; integers in value, of
        1/65536 each.

    Raises
    ------
    ThresholdError, ValueError
        ``beta`` is not a number between 0 and 1; the weight is unknown.
    """
    bias = float(threshold_fraction(beta))
    if not 0 < bias < 1:
        raise ValueError(f"beta lies between 0 and 1, not at {beta}")
    contacts = edges.count.astype(np.float64)
    boundary = 1 - edges.sum / (contacts * FULL_SCALE)
    boundary = LEAST + (1 - 2 * LEAST) * boundary
    costs = np.rint(UNIT * (np.log((1 - boundary) / boundary) + np.log((1 - bias) / bias)))
    if weight == "root":
        costs = np.rint(costs * np.sqrt(contacts))
    elif weight == "contacts":
        costs *= contacts
    elif weight != "none":
        raise ValueError(f"the weight of an edge is none, root or contacts, not {weight!r}")
    return costs


def multicut(fragment_ids: np.ndarray, edges: EdgeTable, beta: Threshold, weight: Weight) -> IdMap:
    """The segments of a region graph by greedy additive edge contraction.

    A function of the graph alone: the graph is the same for every blocking, sorted by its ends, and the solver is given it
    in that order. Ties between costs are broken by that order.

    Parameters
    ----------
    fragment_ids : uint64 (n,)
        Ids of all fragments, ascending.
    edges : EdgeTable
        Their graph, aggregated.
    beta, weight
        See :func:`edge_costs`, which also says what is raised.

    Returns
    -------
    IdMap
        From each fragment to the smallest fragment of its segment.
    """
    if len(edges) == 0:
        return IdMap(fragment_ids, fragment_ids)
    ends = np.stack([positions(fragment_ids, end, "the fragments") for end in (edges.a, edges.b)], axis=1)
    graph = UndirectedGraph.from_unique_edges(len(fragment_ids), ends.astype(np.uint64))
    objective = MulticutObjective(graph, edge_costs(edges, beta, weight))
    labels = np.asarray(GreedyAdditiveMulticut().optimize(objective))
    _, first, member = np.unique(labels, return_index=True, return_inverse=True)
    return IdMap(fragment_ids, fragment_ids[first[member]])
