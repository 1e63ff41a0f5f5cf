"""Labels of real neurons, cut into blocks and merged back: is every object one again, and nothing else?

    python -m benchmarks.cut_and_merged LABELS [--shape 256 512 512] [--blocks 64 128 100]

The affinity of two voxels is 1 where they have one label, else 0. From these the chain makes fragments in each block alone,
and puts the objects together from what it knows of contacts and faces. They are compared with the connected pieces of the
labels, which is what there is to find. A piece of a single voxel has no contact and becomes background.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from axonloom.evaluation.connected import connected_labels
from axonloom.evaluation.contingency import ContingencyTable
from axonloom.geometry import Box, Zyx
from axonloom.volumes import create_volume, open_volume
from benchmarks.chain_alone import make_chain, run_stages


def affinities_of(labels: np.ndarray) -> np.ndarray:
    """uint8 (3, z, y, x): 255 where a voxel and the one before it on an axis have one label, and it is not 0."""
    found = np.zeros((3, *labels.shape), np.uint8)
    for axis in range(3):
        after = tuple(slice(1, None) if k == axis else slice(None) for k in range(3))
        before = tuple(slice(None, -1) if k == axis else slice(None) for k in range(3))
        found[axis][after] = 255 * ((labels[after] == labels[before]) & (labels[after] != 0))
    return found


@dataclass(frozen=True)
class Recovered:
    """What became of the connected pieces of some labels.

    Attributes
    ----------
    labels, pieces : int
        Labels, and connected pieces of them of two voxels or more.
    voxels_alone : int
        Pieces of a single voxel.
    segments : int
        Segments that were made.
    pairs : int
        Pairs of a piece and a segment that share a voxel: as many as there are of either, if each piece is one segment.
    """

    labels: int
    pieces: int
    voxels_alone: int
    segments: int
    pairs: int

    @property
    def is_exact(self) -> bool:
        return self.pieces == self.segments == self.pairs


def cut_and_merged(labels: np.ndarray, blocks: Zyx, folder: Path) -> Recovered:
    """Write the affinities of ``labels`` (integers (z, y, x)) into ``folder``, segment and merge them in these blocks, and compare."""
    affinities = affinities_of(labels)
    stored = create_volume(
        str(folder / "affinities.zarr"), shape=labels.shape, dtype=np.uint8, channels=3, chunk=(64, 64, 64)
    )
    stored.write(stored.box, affinities)
    chain = make_chain(folder, str(folder / "affinities.zarr"), blocks)
    for _ in run_stages(chain):
        pass
    pieces = connected_labels(labels)
    sizes = np.bincount(pieces.ravel().view(np.int64))
    segmentation = open_volume(chain.layer).read()
    table = ContingencyTable.of(segmentation, pieces)
    of_several_voxels = sizes[table.labels.view(np.int64)] > 1
    background = table.labels == 0
    kept = np.where(background, table.segments != 0, of_several_voxels)
    segments = np.unique(table.segments)
    return Recovered(
        labels=len(np.unique(labels)) - int((labels == 0).any()),
        pieces=int((sizes[1:] > 1).sum()),
        voxels_alone=int((sizes[1:] == 1).sum()),
        segments=len(segments) - int(segments[0] == 0),
        pairs=int(kept.sum()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", help="any volume of labels, such as precomputed://FOLDER?mip=1")
    parser.add_argument("--shape", nargs=3, type=int, help="its corner of this shape (zyx); default: all of it")
    parser.add_argument("--blocks", nargs=3, type=int, default=(128, 128, 128))
    parser.add_argument("--scratch", type=Path, help="a folder with room for 3 bytes a voxel and the tables")
    args = parser.parse_args()
    volume = open_volume(args.labels)
    labels = volume.read(Box.of_shape(tuple(args.shape or volume.shape)))
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        found = cut_and_merged(labels, tuple(args.blocks), Path(folder))
    print(
        f"{labels.size / 1e6:.1f} Mvox in blocks of {tuple(args.blocks)}, {time.perf_counter() - begin:.0f} s: {found}"
    )
    print("each piece is one segment" if found.is_exact else "pieces and segments differ")
    raise SystemExit(not found.is_exact)


if __name__ == "__main__":
    main()
