"""One segmentation, however the volume is cut: given affinities in blocks of several shapes, and as one block.

    python -m benchmarks.any_blocking AFFINITIES [--blocks 32 50 64] [--threshold 0.5] [--scratch FOLDER]

Each cut goes through the whole chain, with parts of merging so small that there are several levels of them; the volume as one block is
merged at once. Prints a checksum of the written voxels each; ends with 1 where two differ.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import zlib
from pathlib import Path

import numpy as np

from axonloom.geometry import Zyx
from axonloom.volumes import open_volume
from benchmarks.chain_alone import make_chain, run_stages


def segmented(folder: Path, affinities: str, block: Zyx, threshold: str) -> np.ndarray:
    """The written segmentation of ``affinities`` (3, z, y, x), computed in blocks of this shape: uint (z, y, x)."""
    # A part of the first level is a few blocks.
    part = format(4 * math.prod(block) / 1e6, ".6f")
    chain = make_chain(folder, affinities, block, merge={"threshold": threshold, "part": part})
    for _ in run_stages(chain):
        pass
    return open_volume(chain.layer).read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("affinities", help="uint8 (3, z, y, x)")
    parser.add_argument("--blocks", nargs="+", type=int, default=(32, 50, 64), help="voxels along each axis")
    parser.add_argument("--threshold", default="0.5")
    parser.add_argument("--scratch", type=Path)
    args = parser.parse_args()
    shape = open_volume(args.affinities).shape
    found = set()
    for block in (*((n,) * 3 for n in args.blocks), shape):
        with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
            voxels = segmented(Path(folder), str(open_volume(args.affinities).uri), block, args.threshold)
        found.add(zlib.crc32(np.ascontiguousarray(voxels).tobytes()))
        print(f"blocks of {block}: {voxels.max()} segments, crc32 {zlib.crc32(np.ascontiguousarray(voxels).tobytes())}")
    print("the same voxels" if len(found) == 1 else "they differ")
    raise SystemExit(len(found) > 1)


if __name__ == "__main__":
    main()
