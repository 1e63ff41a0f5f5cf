"""Peak memory of blocked inference against the size of the volume.

    python -m benchmarks.inference_memory [--block 64] [--sizes 64x128x128 128x256x256 256x512x512] [--json]

For each size a fresh process predicts a volume of noise in blocks of one size, one after another, with a small network, and reports
the peak of its resident memory above what it held after the first block. It must not grow with the volume. The cache of stored chunks,
which fills up to a limit of its own, is left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.networks.checkpoint import ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build
from axonloom.volumes import create_volume
from benchmarks.chain_alone import make_images_chain

WINDOW = (32, 32, 32)
MEASURE = """
import sys
from pathlib import Path
from axonloom.alone import run_alone
from axonloom.stage import StagePlan
from axonloom.volumes import tensorstore_io
from benchmarks.resources import peak_bytes

tensorstore_io.CACHE_BYTES = 0

plan = StagePlan.load(Path(sys.argv[1]))
run_alone(plan, [0])  # what a process sets up once
base = peak_bytes()
report = run_alone(plan)
assert not report.failed, report.failed
print(peak_bytes() - base, base)
"""


def tiny_checkpoint(folder: Path) -> Path:
    """A network that takes next to no time and memory: what larger ones leave unused in the heap varies from run to run."""
    torch.manual_seed(0)
    parameters = {"filters": [2, 2], "isotropy": [True, True], "norm": "bn", "in_channels": 1, "out_channels": 3}
    description = ModelDescription(
        architecture="residual_unet_3d", parameters=parameters, representation="affinity", representation_parameters={},
        channels=("z", "y", "x"), normalisation=Normalisation(), voxel_size=None, patch=WINDOW, window=WINDOW, iteration=0,
    )  # fmt: skip
    return write_checkpoint(folder, description, build("residual_unet_3d", **parameters).state_dict()).folder


def measure(shape: Zyx, block: Zyx) -> dict[str, int]:
    """Bytes above the first block, and before the others, for a volume of ``shape``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = create_volume(str(folder / "em.zarr"), shape=shape, dtype=np.uint8, chunk=block, voxel_size=(8, 8, 8))
        random = np.random.default_rng(0)
        for each in BlockGrid(Box.of_shape(shape), block):
            image.write(each.core, random.integers(0, 256, each.core.shape, np.uint8))
        given = {
            "checkpoint": str(tiny_checkpoint(folder)),
            "device": "cpu",
            "blocks": list(block),
            "stride": list(WINDOW),
        }
        plan = make_images_chain(folder, str(folder / "em.zarr"), infer=given).infer
        plan.save()
        command = [sys.executable, "-c", MEASURE, str(plan.folder)]
        above, base = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        return {"blocks": len(plan.grid), "above_bytes": above, "base_bytes": base}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--sizes", nargs="+", default=["64x128x128", "128x256x256", "256x512x512"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for size in args.sizes:
        z, y, x = map(int, size.split("x"))
        rows.append({"shape": [z, y, x], **measure((z, y, x), (args.block,) * 3)})
        if not args.json:
            last = rows[-1]
            print(
                f"{size:>12}  {last['blocks']:5} blocks  {last['above_bytes'] / 2**20:6.1f} MiB above the first block",
                flush=True,
            )
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
