"""Peak memory of segment and merge against the size of the volume.

    python -m benchmarks.memory [--block 64] [--sizes 64x128x128 128x128x128 256x128x128] [--json]

For each size a fresh process runs every stage from affinities to the written segmentation, block by block, on one thread, and
reports the peak of its resident memory above what the imports alone take. Affinities are those of a phantom with mistakes, so
that the graph is one of real fragments. The graph grows with the volume; what must not is the rest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEASURE = """
import json, sys
from pathlib import Path
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from benchmarks.chain_alone import import_stages, run_stages
from benchmarks.resources import peak_bytes

chain = Chain(load_configuration(Path(sys.argv[1])))
import_stages(chain)
base, peaks = peak_bytes(), {}
for plan in run_stages(chain):
    peaks[plan.title] = max(peaks.get(plan.title, 0), peak_bytes() - base)
undecided = [sum(line.get("undecided_edges", 0) for line in plan.ledger.facts()) for plan in chain.agglomerate]
print(json.dumps({"base": base, "peaks": peaks, "undecided": undecided}))
"""


def measure(shape: tuple[int, int, int], block: int) -> dict[str, Any]:
    """Peaks (bytes above the imports) after each stage for one volume."""
    from axonloom.geometry import BlockGrid, Box
    from axonloom.phantom import Phantom
    from axonloom.volumes import create_volume
    from benchmarks.chain_alone import make_chain

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantom = Phantom(seed=3, shape=shape)
        volume = create_volume(
            str(folder / "affinities.zarr"), shape=shape, dtype="uint8", channels=3, chunk=(block,) * 3,
            voxel_size=phantom.voxel_size,
        )  # fmt: skip
        for each in BlockGrid(Box.of_shape(shape), (block,) * 3):
            volume.write(each.core, phantom.degraded_affinities(each.core))
        make_chain(folder, "affinities.zarr", (block,) * 3)
        config = folder / "axonloom.yaml"
        done = subprocess.run([sys.executable, "-c", MEASURE, str(config)], check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--sizes", nargs="+", default=["64x128x128", "128x128x128", "256x128x128", "256x256x256"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for size in args.sizes:
        z, y, x = map(int, size.split("x"))
        found = measure((z, y, x), args.block)
        rows.append({"shape": [z, y, x], "megavoxels": z * y * x / 1e6, **found})
        if not args.json:
            peaks = ", ".join(f"{stage} {peak / 2**20:.0f}" for stage, peak in found["peaks"].items())
            print(
                f"{size:>12}  {z * y * x / 1e6:6.1f} Mvox  edges left by level {found['undecided']}  MiB after: {peaks}",
                flush=True,
            )
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
