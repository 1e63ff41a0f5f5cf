"""A part of the volume merged as far as it can be without the rest: what grows into the whole, part by part.

Parts form a tree: blocks, boxes of some blocks, boxes of such boxes, the volume. Each does what absorption and agglomeration
would do in it on the whole region graph, and hands what is undecided to the part that it lies in. So the graph of the whole
volume is never in one memory, and the merges of all parts together are those of the whole, whatever the parts (the idea is
that of abiss, Lu et al. 2021; here with strict ties and with absorption).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import INDEX_BITS, EdgeTable
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.open_faces import OpenFaces
from axonloom.assembly.region_graph import RegionGraph, assemble
from axonloom.assembly.thresholds import FULL_SCALE, Threshold
from axonloom.assembly.union_find import canonical_ids
from axonloom.segmentation.absorption import absorb_part
from axonloom.segmentation.agglomeration import agglomerate_part


@dataclass(frozen=True)
class Undecided:
    """What a part hands on: objects that the rest of the volume can still change, and all edges between two of them.

    Attributes
    ----------
    objects : ObjectTable
        Named by their smallest fragments. A block hands on all that it has.
    edges : EdgeTable
    faces : OpenFaces
        What of it reaches the part's outer faces.
    """

    objects: ObjectTable
    edges: EdgeTable
    faces: OpenFaces


@dataclass(frozen=True)
class MergedPart:
    """What became of the objects that the parts within handed on.

    Attributes
    ----------
    fragments : IdMap
        From these objects to what they are a piece of, after joining over faces and absorption.
    merges : Dendrogram
        Merges between these, in the order of their scores.
    undecided : Undecided
    """

    fragments: IdMap
    merges: Dendrogram
    undecided: Undecided


def merge_part(
    within: Sequence[Undecided],
    outer: Sequence[Sequence[int]],
    contacts: EdgeTable,
    joins: np.ndarray,
    *,
    absorb: int,
    low: int,
    lowest: Threshold,
) -> MergedPart:
    """Join the parts that make up a box, absorb, and agglomerate.

    Parameters
    ----------
    within : sequence of Undecided
        What these parts handed on.
    outer : sequence of sequences of int
        For each of them, which of its sides (see :func:`axonloom.assembly.open_faces.side`) are outer faces of the box.
    contacts : EdgeTable
        All contacts across the faces between two of them, under the ids that blocks wrote.
    joins : uint64 (n, 2)
        All pairs of such ids that are one fragment.
    absorb, low : int
        As in :func:`axonloom.segmentation.absorption.absorb`.
    lowest : decimal of 0..1
        As in :func:`axonloom.segmentation.agglomeration.agglomerate`.

    Raises
    ------
    UnknownIdError
        Contacts or joins name what is at no face.
    """
    names = OpenFaces.concatenate([part.faces for part in within]).names()
    graph = assemble(
        ObjectTable.concatenate([part.objects for part in within]),
        EdgeTable.concatenate([*(part.edges for part in within), contacts.relabelled(names.ids, names.targets)]),
        names.lookup(joins),
    )
    faces = OpenFaces.concatenate([part.faces.at(sides) for part, sides in zip(within, outer, strict=True)])
    graph, waiting = absorb_part(graph, absorb, low, graph.canonical.lookup(faces.ids()))
    faces = faces.renamed(graph.canonical)
    frozen = np.union1d(faces.ids(), np.union1d(waiting, _could_be_joined_by(waiting, graph.edges, low)))
    merges, frozen = agglomerate_part(graph.edges, frozen, lowest)
    return MergedPart(graph.canonical, merges, _undecided(graph, merges, frozen, faces))


def _could_be_joined_by(waiting: np.ndarray, edges: EdgeTable, low: int) -> np.ndarray:
    """The objects that absorption may still make one with one of ``waiting``: their strongest contact is at least ``low``."""
    able = FULL_SCALE - (edges.best >> np.uint64(INDEX_BITS)).astype(np.int64) >= low
    a, b = edges.a[able], edges.b[able]
    return np.concatenate([b[np.isin(a, waiting)], a[np.isin(b, waiting)]])


def _undecided(graph: RegionGraph, merges: Dendrogram, frozen: np.ndarray, faces: OpenFaces) -> Undecided:
    """The frozen objects of a graph after some merges, and the edges between them, added up."""
    ids = graph.fragments.ids
    objects = canonical_ids(ids, np.stack([merges.a, merges.b], axis=1))
    goes_on = np.isin(objects, frozen)
    a, b = graph.ends()
    both = goes_on[a] & goes_on[b]
    return Undecided(
        ObjectTable.summed(objects[goes_on], graph.fragments.voxels[goes_on]),
        graph.edges.taken(both).between(objects[a[both]], objects[b[both]]).aggregated(),
        faces,
    )


def segments_within(
    fragments: IdMap, merges: Dendrogram, threshold: Threshold | None, above: IdMap
) -> tuple[IdMap, np.ndarray]:
    """The segments of what the parts within handed on, named by their smallest fragments.

    Parameters
    ----------
    fragments, merges : of the part (see :class:`MergedPart`)
    threshold : decimal of 0..1, or None
        Merges of at least this mean affinity are made; None: none are.
    above : IdMap
        The segments of what this part handed on: the result for the part around it. Empty for the whole volume.

    Returns
    -------
    IdMap
        From the objects of the parts within to the smallest fragment of each one's segment, in the whole volume.
    whole : uint64, ascending
        Of these the ones that lie within this part: each segment of the volume is whole in exactly one part.

    Raises
    ------
    ThresholdError
        The threshold lies below what was recorded.
    """
    n = merges.merges_at(threshold) if threshold is not None else 0
    ids = np.unique(fragments.targets)
    # Of an object that was handed on, what holds together at this threshold holds its smallest fragment, or is whole.
    smallest = canonical_ids(ids, np.stack([merges.a[:n], merges.b[:n]], axis=1))
    goes_on = np.isin(smallest, above.ids)
    whole = np.unique(smallest[~goes_on])
    smallest[goes_on] = above.lookup(smallest[goes_on])
    return IdMap(fragments.ids, IdMap(ids, smallest).lookup(fragments.targets)), whole
