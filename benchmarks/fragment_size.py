"""What the size of fragments does to the graph and to the scores.

    python -m benchmarks.fragment_size --affinities URI --labels URI [--labels-region Z Y X Z Y X]
                                       [--smoothing 0 1.0] [--absorb 0 25 50 100 200] [--high 0.99 1] [--block 64]

For each choice of ``segment.high``, ``segment.smoothing`` and ``segment.absorb`` the chain is run, and a row says how many fragments and edges a
megavoxel agglomeration goes through, and what the segmentation scores at threshold 0.5 and at the best one tried.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

from axonloom.alone import run_alone
from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.stages.graph import EDGES, FRAGMENTS
from axonloom.stages.scores import score_chain
from benchmarks.chain_alone import make_chain, run_stages

THRESHOLDS = ["0.1", "0.15", "0.2", "0.25", "0.3", "0.4", "0.5"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--affinities", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--labels-region", nargs=6, type=int, metavar="VOXEL", help="start and stop, zyx")
    parser.add_argument("--smoothing", nargs="+", default=["0", "1.0"])
    parser.add_argument("--absorb", nargs="+", type=int, default=[0, 25, 50, 100, 200])
    parser.add_argument("--high", nargs="+", default=["0.99"])
    parser.add_argument("--block", type=int, default=64)
    args = parser.parse_args()
    labels: dict[str, object] = {"path": _absolute(args.labels)}
    if args.labels_region:
        labels["region"] = {"start": args.labels_region[:3], "stop": args.labels_region[3:]}
    print(
        "| smoothing | absorb | fragments / Mvox | edges / Mvox | VOI at 0.5 (split + merge) | best VOI |\n"
        + "|---" * 7
        + "|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for high, smoothing, absorb in product(args.high, args.smoothing, args.absorb):
            chain = make_chain(
                Path(folder),
                _absolute(args.affinities),
                (args.block,) * 3,
                volumes={"labels": labels},
                segment={"high": high, "smoothing": smoothing, "absorb": absorb},
                merge={"threshold": "0.5"},
                evaluate={"thresholds": THRESHOLDS},
            )
            for _ in run_stages(chain):
                pass
            megavoxels = chain.fragment.grid.region.voxels / 1e6
            run_alone(chain.graph)
            graph = chain.graph.folder
            fragments, edges = len(ObjectTable.read(graph / FRAGMENTS)), len(EdgeTable.read(graph / EDGES))
            scores = score_chain(chain)
            ours, best = scores.segmentation, scores.at[scores.best_threshold or chain.configuration.merge.threshold]
            print(
                f"| {high} | {smoothing} | {absorb} | {fragments / megavoxels:.0f} | {edges / megavoxels:.0f} "
                f"| {ours.voi:.3f} ({ours.voi_split:.2f} + {ours.voi_merge:.2f}) "
                f"| {best.voi:.3f} at {scores.best_threshold} |",
                flush=True,
            )


def _absolute(uri: str) -> str:
    """The project lies in a folder of its own, so paths must not be relative to it."""
    return uri if "://" in uri else str(Path(uri).absolute())


if __name__ == "__main__":
    main()
