"""A part of the volume merged as far as it can be without the rest: what grows into the whole, part by part.

Parts form a tree: blocks, boxes of some blocks, boxes of such boxes, the volume. Each does what absorption and agglomeration
would do in it on the whole region graph, and hands what is undecided to the part that it lies in. So the graph of the whole
volume is never in one memory, and the merges of all parts together are those of the whole, whatever the parts (the idea is
that of abiss, Lu et al. 2021; here with strict ties and with absorption).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import INDEX_BITS, EdgeTable
from axonloom.assembly.id_map import IdMap, distinct, positions
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.open_faces import OpenFaces
from axonloom.assembly.region_graph import RegionGraph, assemble
from axonloom.assembly.thresholds import FULL_SCALE, Threshold
from axonloom.assembly.union_find import canonical_positions
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
    within: Iterable[Undecided],
    outer: Sequence[Sequence[int]],
    contacts: EdgeTable,
    joins: np.ndarray,
    *,
    absorb: int,
    low: int,
    lowest: Threshold,
    percent: int | None = None,
) -> MergedPart:
    """Join the parts that make up a box, absorb, and agglomerate.

    Parameters
    ----------
    within : Undecided, one after another
        What these parts handed on. Read as they are asked for, they need not be in memory beside the graph.
    outer : sequence of sequences of int
        For each of them, which of its sides (see :func:`axonloom.assembly.open_faces.side`) are outer faces of the box.
    contacts : EdgeTable
        All contacts across the faces between two of them, under the ids that blocks wrote.
    joins : uint64 (n, 2)
        All pairs of such ids that are one fragment.
    absorb, low : int
        As in :func:`axonloom.segmentation.absorption.absorb`.
    lowest, percent
        As in :func:`axonloom.segmentation.agglomeration.agglomerate`.

    Raises
    ------
    UnknownIdError
        Contacts or joins name what is at no face.
    """
    objects: list[ObjectTable] = []
    edges: list[EdgeTable] = []
    inside: list[OpenFaces] = []
    outside: list[OpenFaces] = []
    for part, sides in zip(within, outer, strict=True):
        objects.append(part.objects)
        edges.append(part.edges)
        inside.append(part.faces)
        outside.append(part.faces.at(sides))
        del part
    names, faces = OpenFaces.concatenate(inside).names(), OpenFaces.concatenate(outside)
    edges.append(contacts.relabelled(names.ids, names.targets))
    graph = assemble(ObjectTable.concatenate(objects), _emptied(edges), names.lookup(joins))
    graph, waiting = absorb_part(graph, absorb, low, graph.canonical.lookup(faces.ids()))
    faces = faces.renamed(graph.canonical)
    # What is left of the parts would lie beside the agglomeration, which takes the most.
    del objects, inside, outside, names
    ids, ends = graph.fragments.ids, graph.ends()
    frozen = _frozen(graph, ends, faces.ids(), waiting, low)
    merges, frozen = agglomerate_part(ids, graph.edges, ends, frozen, lowest, percent)
    return MergedPart(graph.canonical, merges, _undecided(graph, ends, merges, frozen, faces))


def _emptied(tables: list[EdgeTable]) -> EdgeTable:
    """All rows of some tables, which go: the edges are the most that a part has, and not to stay in memory twice."""
    found = EdgeTable.concatenate(tables)
    tables.clear()
    return found


def _frozen(
    graph: RegionGraph, ends: tuple[np.ndarray, np.ndarray], at_faces: np.ndarray, waiting: np.ndarray, low: int
) -> np.ndarray:
    """Which objects (bool) the rest of the volume may change: those at faces, those that wait for absorption, and what these
    may still join or be joined by, for their strongest contact is at least ``low``.
    """
    ids = graph.fragments.ids
    frozen, waits = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.bool_)
    frozen[positions(ids, at_faces, "the part")] = True
    waits[positions(ids, waiting, "the part")] = True
    able = FULL_SCALE - (graph.edges.best >> np.uint64(INDEX_BITS)).view(np.int64) >= low
    for one, other in (ends, ends[::-1]):
        frozen[other[able & waits[one]]] = True
    return frozen | waits


def _undecided(
    graph: RegionGraph,
    ends: tuple[np.ndarray, np.ndarray],
    merges: Dendrogram,
    frozen: np.ndarray,
    faces: OpenFaces,
) -> Undecided:
    """The frozen objects of a graph after some merges, and the edges between them, added up."""
    ids = graph.fragments.ids
    first = _first_of(ids, merges.a, merges.b)
    goes_on = frozen[first]
    both = goes_on[ends[0]] & goes_on[ends[1]]
    # Positions sort faster than ids, and in the same order.
    a, b = (first[end[both]].view(np.uint64) for end in ends)
    edges = graph.edges.taken(both).joined(a, b)
    return Undecided(
        ObjectTable.summed(ids[first[goes_on]], graph.fragments.voxels[goes_on]),
        edges.named(ids),
        faces,
    )


def _first_of(ids: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each of some ids (ascending) the position of the smallest that merges make one with it (int64)."""
    return canonical_positions(len(ids), positions(ids, a, "the part"), positions(ids, b, "the part"))


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
    ids = distinct(fragments.targets)
    first = _first_of(ids, merges.a[:n], merges.b[:n])
    # Of an object that was handed on, what holds together at this threshold holds its smallest fragment, or is whole.
    name = ids.copy()
    handed_on = positions(ids, above.ids, "the part")
    name[handed_on] = above.targets
    is_whole = first == np.arange(len(ids))
    is_whole[handed_on] = False
    return IdMap(fragments.ids, IdMap(ids, name[first]).lookup(fragments.targets)), ids[is_whole]
