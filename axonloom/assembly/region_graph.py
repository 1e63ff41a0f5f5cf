"""From the tables of all blocks to one region graph of the whole volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.union_find import first_joined


@dataclass(frozen=True)
class RegionGraph:
    """The graph of all fragments, the same for any blocking except ``canonical``'s keys.

    Attributes
    ----------
    fragments : ObjectTable
        Canonical fragment ids (1 + the fragment's smallest linear voxel index), ascending, and their voxel counts.
    edges : EdgeTable
        One row a pair of fragments in contact, sorted by (a, b).
    canonical : IdMap
        From the provisional ids that the blocks wrote to canonical ones.
    """

    fragments: ObjectTable
    edges: EdgeTable
    canonical: IdMap

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Which of the fragments (uint32, by position) each edge joins."""
        ids = self.fragments.ids
        a, b = (positions(ids, ends, "the graph").astype(np.uint32) for ends in (self.edges.a, self.edges.b))
        return a, b

    def contracted(self, first: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> RegionGraph:
        """The graph in which each fragment has become part of another, voxels and contacts added up.

        Parameters
        ----------
        first : int64 (n,)
            For each of the n fragments, by position, the first of those that are now one with it.
        ends : of :meth:`ends`
        """
        ids = self.fragments.ids
        stays = first == np.arange(len(ids))
        # Numbers 0, 1, … sort faster than ids, and in the same order.
        number = (np.cumsum(stays) - 1)[first].astype(np.uint32)
        edges = self.edges.joined(number[ends[0]], number[ends[1]])
        voxels = np.zeros(np.count_nonzero(stays), np.uint64)
        np.add.at(voxels, number, self.fragments.voxels)
        return RegionGraph(
            ObjectTable(ids[stays], voxels),
            edges.named(ids[stays]),
            IdMap(self.canonical.ids, ids[first[positions(ids, self.canonical.targets, "the graph")]]),
        )


def assemble(objects: ObjectTable, edges: EdgeTable, joins: np.ndarray) -> RegionGraph:
    """Join what the block faces cut.

    Parameters
    ----------
    objects : ObjectTable
        The objects of all blocks, concatenated.
    edges : EdgeTable
        The interior edges of all blocks and the contacts across all faces, concatenated.
    joins : uint64 (n, 2)
        The joins across all faces, concatenated.
    """
    ids = objects.ids
    first = first_joined(ids, joins)
    canonical = IdMap(ids, ids[first])
    # Positions sort faster than ids, and in the same order.
    a, b = (first[positions(ids, end, "the blocks' objects")].view(np.uint64) for end in (edges.a, edges.b))
    return RegionGraph(
        fragments=ObjectTable.summed(canonical.targets, objects.voxels),
        edges=edges.joined(a, b).named(ids),
        canonical=canonical,
    )
