"""What segment and merge cost against the size of the volume.

    python -m benchmarks.scaling [--sizes 256x256x256 256x512x512 512x512x512] [--block 64] [--affinities FOLDER] [--json] [--plot FILE.png]

For each size, affinities of a phantom with mistakes are written block by block, or a corner of given ones is taken. Then a fresh process
runs every stage from them to the written segmentation, on one thread and without a flow, after a tiny volume has loaded its kernels. CPU seconds and peak
memory (above what it held before) are those of the stages alone. The exponents are the slopes of the best straight lines on
logarithmic axes: 1 where a cost grows as the voxels do, 0 where it does not grow.

A shared machine changes its speed within minutes, and the largest size takes many. So every 64 blocks a small piece of work is timed,
always the same, and ``at_one_speed`` counts CPU seconds in units of it: that is what is drawn, and what the exponents are of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.alone import run_alone
from axonloom.geometry import BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.phantom import Phantom
from axonloom.segmentation.fragments import block_fragments
from axonloom.volumes import create_volume
from benchmarks.chain_alone import make_chain, planned_stages, run_stages
from benchmarks.resources import Measured

#: Of the volume on which kernels are loaded; two blocks, so that faces are joined too.
WARM: Zyx = (32, 32, 64)
#: Blocks of a stage between two looks at how fast the machine is.
BLOCKS_BETWEEN = 64


def write_phantom(folder: Path, shape: Zyx, block: Zyx) -> None:
    """Write ``affinities.zarr`` (uint8, (3, z, y, x)), block by block."""
    phantom = Phantom(seed=3, shape=shape)
    volume = create_volume(
        str(folder / "affinities.zarr"),
        shape=shape,
        dtype=np.uint8,
        channels=3,
        # As inference writes them.
        chunk=chunk_for_blocks(block, shape),
        voxel_size=phantom.voxel_size,
    )
    for each in BlockGrid(Box.of_shape(shape), block):
        volume.write(each.core, phantom.degraded_affinities(each.core))


def run_here(folder: Path, affinities: str, shape: Zyx, block: Zyx) -> dict[str, Any]:
    """The chain in this process: CPU seconds and peak bytes, in all and by stage."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        write_phantom(Path(name), WARM, (32, 32, 32))
        for _ in run_stages(make_chain(Path(name), "affinities.zarr", (32, 32, 32))):
            pass
    stages: dict[str, dict[str, float]] = {}
    reference = Reference()
    chain = make_chain(folder, affinities, block, shape)
    for plan in planned_stages(chain):
        found = stages.setdefault(plan.stage, {"cpu_s": 0.0, "at_one_speed": 0.0, "peak_bytes": 0})
        before = reference.seconds()
        for first in range(0, len(plan.grid), BLOCKS_BETWEEN):
            with Measured() as measured:
                report = run_alone(plan, range(first, min(first + BLOCKS_BETWEEN, len(plan.grid))))
            if report.failed:
                raise RuntimeError(next(iter(report.failed.values())))
            after = reference.seconds()
            found["cpu_s"] += measured.cpu_s
            found["at_one_speed"] += measured.cpu_s / ((before + after) / 2)
            found["peak_bytes"] = max(found["peak_bytes"], measured.peak_bytes)
            before = after
    return {
        **{name: round(sum(s[name] for s in stages.values()), 3) for name in ("cpu_s", "at_one_speed")},
        "peak_bytes": max(s["peak_bytes"] for s in stages.values()),
        "stages": {
            stage: {name: round(value, 3) if name != "peak_bytes" else value for name, value in found.items()}
            for stage, found in stages.items()
        },
    }


class Reference:
    """The same small piece of work again and again: how fast the machine is just now."""

    def __init__(self) -> None:
        shape = (48, 96, 96)
        self._box = Box.of_shape(shape)
        self._affinities = Phantom(seed=3, shape=shape).degraded_affinities(self._box)
        self.seconds()

    def seconds(self) -> float:
        """CPU seconds that it takes, the median of five."""
        taken = []
        for _ in range(5):
            begin = time.process_time()
            block_fragments(self._affinities, self._box, self._box, self._box.shape, 13, 252, absorb=50)
            taken.append(time.process_time() - begin)
        return sorted(taken)[2]


def measure(size: str, block: int, affinities: Path | None, scratch: Path | None) -> dict[str, Any]:
    """One size, in a process of its own."""
    shape = _shape(size)
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        if affinities is None:
            write_phantom(Path(name), shape, (block,) * 3)
        given = Path(name) / "affinities.zarr" if affinities is None else affinities.absolute()
        command = [sys.executable, "-m", "benchmarks.scaling", "--chain", name, "--block", str(block)]
        command += ["--affinities", str(given), "--sizes", size]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"shape": list(shape), "voxels": int(np.prod(shape)), **json.loads(done.stdout.splitlines()[-1])}


def _shape(size: str) -> Zyx:
    z, y, x = map(int, size.split("x"))
    return z, y, x


def exponent(voxels: Sequence[float], cost: Sequence[float]) -> float:
    """The power of the number of voxels with which a cost grows, by least squares of the logarithms."""
    return float(np.polyfit(np.log(voxels), np.log(np.maximum(cost, 1e-9)), 1)[0])


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of CPU time at one speed, in all and by stage; of CPU seconds as they were; and of peak memory."""
    voxels = [row["voxels"] for row in rows]
    found = {name: exponent(voxels, [row[name] for row in rows]) for name in ("at_one_speed", "cpu_s", "peak_bytes")}
    for stage in rows[0]["stages"]:
        found[stage] = exponent(voxels, [row["stages"][stage]["at_one_speed"] for row in rows])
    return {name: round(value, 3) for name, value in found.items()}


def plot(rows: Sequence[Mapping[str, Any]], slopes: Mapping[str, float], path: Path) -> None:
    """CPU seconds by stage, and peak memory, against voxels, on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    cost, memory = figure.subplots(1, 2)
    megavoxels = [row["voxels"] / 1e6 for row in rows]
    # In seconds again, at the speed that the machine had over all sizes.
    speed = sum(row["cpu_s"] for row in rows) / sum(row["at_one_speed"] for row in rows)
    whole = [row["at_one_speed"] * speed for row in rows]
    cost.plot(megavoxels, whole, "ko-", label=f"all ({slopes['at_one_speed']:.2f})")
    for stage in rows[0]["stages"]:
        seconds = [row["stages"][stage]["at_one_speed"] * speed for row in rows]
        cost.plot(megavoxels, seconds, ".-", label=f"{stage} ({slopes[stage]:.2f})")
    memory.plot(megavoxels, [row["peak_bytes"] / 2**20 for row in rows], "ko-", label=f"{slopes['peak_bytes']:.2f}")
    for axes, label in ((cost, "CPU seconds at one speed"), (memory, "peak memory above the start, MiB")):
        axes.set(xscale="log", yscale="log", xlabel="Mvox", ylabel=label)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend(title="exponent", fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["256x256x256", "256x256x512", "256x512x512"])
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument(
        "--affinities", type=Path, help="a volume of affinities instead of phantoms: sizes are corners of it"
    )
    parser.add_argument(
        "--scratch", type=Path, help="a folder on the disk to work on; the system's for temporary files"
    )
    parser.add_argument("--plot", type=Path, help="picture to write")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--chain", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chain is not None:
        print(json.dumps(run_here(args.chain, str(args.affinities), _shape(args.sizes[0]), (args.block,) * 3)))
        return
    if len(set(args.sizes)) < 2:
        parser.error("an exponent needs two sizes at least, such as --sizes 256x256x256 256x512x512")
    rows = []
    for size in args.sizes:
        row = measure(size, args.block, args.affinities, args.scratch)
        rows.append(row)
        if not args.json:
            megavoxels = row["voxels"] / 1e6
            print(
                f"{size:>14}  {megavoxels:8.1f} Mvox  {row['cpu_s']:8.1f} CPU s  {megavoxels / row['cpu_s']:6.2f} Mvox / CPU s  "
                f"{row['at_one_speed'] / megavoxels:6.2f} at one speed a Mvox  "
                f"{row['peak_bytes'] / 2**20:7.0f} MiB",
                flush=True,
            )
    slopes = exponents(rows)
    if args.plot is not None:
        plot(rows, slopes, args.plot)
    if args.json:
        print(json.dumps({"sizes": rows, "exponents": slopes}, indent=1))
    else:
        print("exponents: " + ", ".join(f"{name} {value:.2f}" for name, value in slopes.items()))


if __name__ == "__main__":
    main()
