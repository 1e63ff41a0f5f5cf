"""A part of the volume merged as far as it can be without the rest: what grows into the whole, part by part.

Parts form a tree: blocks, boxes of some blocks, boxes of such boxes, the volume. Each does what absorption and agglomeration
would do in it on the whole region graph, and hands what is undecided to the part that it lies in. So the graph of the whole
volume is never in one memory, and the merges of all parts together are those of the whole, whatever the parts (the idea is
that of abiss, Lu et al. 2021; here with strict ties and with absorption).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.growth_table import GrowthTable
from axonloom.assembly.id_map import IdMap, distinct, positions
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.open_faces import OpenFaces
from axonloom.assembly.thresholds import Threshold
from axonloom.assembly.union_find import canonical_positions, first_joined
from axonloom.segmentation.absorption import join_small
from axonloom.segmentation.agglomeration import agglomerate_part
from axonloom.segmentation.edge_rows import EdgeRows


@dataclass(frozen=True)
class Undecided:
    """What a part hands on: objects that the rest of the volume can still change, and all edges between two of them.

    Attributes
    ----------
    objects : ObjectTable
        Named by their smallest fragments. A block hands on all that it has.
    growth : GrowthTable
        How those grew of which the rest of the volume may ask when they were small.
    edges : EdgeTable
    faces : OpenFaces
        What of it reaches the part's outer faces.
    """

    objects: ObjectTable
    growth: GrowthTable
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
    objects: Iterable[ObjectTable],
    growth: Iterable[GrowthTable],
    faces: Sequence[OpenFaces],
    outer: Sequence[Sequence[int]],
    edges: Iterable[EdgeTable],
    contacts: Iterable[EdgeTable],
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
    objects, growth, faces, edges : of each of these parts
        What they handed on (see :class:`Undecided`). Edges are the most of it: read as they are asked for, one table after
        another, they do not lie in memory beside the graph.
    outer : sequence of sequences of int
        For each of them, which of its sides (see :func:`axonloom.assembly.open_faces.side`) are outer faces of the box.
    contacts : EdgeTable, one after another
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
    ValueError
        There are not as many of edges, of faces and of outer sides.
    """
    handed_on = ObjectTable.concatenate(list(objects))
    ids = handed_on.ids
    names = OpenFaces.concatenate(faces).names()
    joined = first_joined(ids, names.lookup(joins))

    def number(some: np.ndarray) -> np.ndarray:
        return joined[positions(ids, some, "the part")]

    def numbered() -> Iterator[tuple[EdgeTable, np.ndarray, np.ndarray]]:
        for table, _ in zip(edges, faces, strict=True):
            yield table, number(table.a), number(table.b)
        for table in contacts:
            yield table, number(names.lookup(table.a)), number(names.lookup(table.b))

    rows = EdgeRows.of(numbered())
    reaching = OpenFaces.concatenate([each.at(sides) for each, sides in zip(faces, outer, strict=True)])
    is_open = np.zeros(len(ids), np.bool_)
    is_open[number(reaching.ids())] = True
    voxels = np.zeros(len(ids), np.int64)
    np.add.at(voxels, joined, handed_on.voxels.view(np.int64))
    grown = GrowthTable.concatenate(list(growth))
    grown = replace(grown, ids=number(grown.ids).view(np.uint64))
    absorbed = join_small(*rows.ends(), rows.best, voxels, is_open, absorb, low, grown)
    rows.rename(absorbed.first)
    fragment = absorbed.first[joined]
    fragments = IdMap(ids, ids[fragment])
    # Merging may not begin with what absorption has not done with.
    found = agglomerate_part(ids, rows, is_open | absorbed.undecided, lowest, percent)
    goes_on = (fragment == np.arange(len(ids))) & found.frozen[found.first]
    return MergedPart(
        fragments,
        found.merges,
        Undecided(
            ObjectTable.summed(ids[found.first[goes_on]], voxels[goes_on].view(np.uint64)),
            absorbed.growth.named(ids),
            found.undecided.named(ids),
            reaching.renamed(fragments),
        ),
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
