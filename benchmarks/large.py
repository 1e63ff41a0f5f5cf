"""A large volume through `axonloom run`: how long, how much memory, and whether kills or other parts change a byte.

    python -m benchmarks.large --shape 1024x1024x1024 [--grain 0.3] [--kills 3] [--whole-graph] [--affinities FOLDER] [--scratch DIR]

Affinities of a phantom are written block by block. Then the command runs on them with two workers, from affinities to the written
segmentation; the start of its own Prefect server counts. With ``--kills``, a second workspace is made by a run that is killed
(SIGKILL, its server with it) that often and run again. With ``--whole-graph``, another is made with the volume as one part, so that
the region graph lies in one memory. All must hold the same voxels as the first.

``--grain`` is the strength of the noise (0..1): 1 is far worse than a network's; basins a megavoxel are printed, to compare.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from axonloom.chain import Chain
from axonloom.geometry import BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.phantom import Phantom
from axonloom.volumes import create_volume, open_volume
from benchmarks.chain_alone import make_chain

#: Seconds between two looks at a running command's memory.
EVERY = 0.5


def write_affinities(folder: Path, shape: Zyx, block: Zyx, grain: float) -> None:
    """Write ``affinities.zarr`` (uint8, (3, z, y, x)) with two processes."""
    create_volume(
        str(folder / "affinities.zarr"),
        shape=shape,
        dtype=np.uint8,
        channels=3,
        voxel_size=(8, 8, 8),
        chunk=chunk_for_blocks(block, shape),  # as inference writes them
    ).close()
    grid = BlockGrid(Box.of_shape(shape), block)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_write_block, [(folder, shape, block, grain, i) for i in range(len(grid))], chunksize=4)


def _write_block(folder: Path, shape: Zyx, block: Zyx, grain: float, index: int) -> None:
    core = BlockGrid(Box.of_shape(shape), block).block(index).core
    found = Phantom(seed=3, shape=shape).degraded_affinities(core, grain=grain)
    open_volume(str(folder / "affinities.zarr")).write(core, found)


def run(chain: Chain, stop_after: Sequence[float] = ()) -> tuple[dict[str, Any], list[tuple[float, int]]]:
    """Run the command to its end, killed after each of these seconds before.

    Returns
    -------
    dict
        Wall seconds, and the largest memory seen, of all runs.
    list
        Moments (seconds since 1970) and the command's resident bytes then.
    """
    config = chain.workspace.with_name(f"{chain.workspace.name}.yaml")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PREFECT_HOME": home}
        environment.pop("PREFECT_API_URL", None)
        log = config.with_suffix(".log")
        wall, looks, server = [], [], 0
        for limit in (*stop_after, math.inf):
            begin = time.monotonic()
            with log.open("a") as output:
                process = psutil.Popen(
                    [sys.executable, "-m", "axonloom", "run", str(config)],
                    env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                )  # fmt: skip
            while process.poll() is None:
                time.sleep(EVERY)
                own, others = _resident(process)
                looks.append((time.time(), own))
                server = max(server, others)
                if time.monotonic() - begin > limit:
                    for each in (*process.children(recursive=True), process):
                        each.send_signal(signal.SIGKILL)
                    process.wait()
                    break
            wall.append(round(time.monotonic() - begin, 1))
            if process.returncode not in (0, -signal.SIGKILL):
                raise SystemExit(f"`axonloom run` ended with {process.returncode}; its output is in {log}")
    largest = max(memory for _, memory in looks)
    return {"wall_s": wall, "resident_bytes": largest, "server_resident_bytes": server}, looks


def _resident(process: psutil.Popen) -> tuple[int, int]:
    """Resident bytes of a process, and of all that descend from it (its Prefect server)."""
    try:
        others = sum(child.memory_info().rss for child in process.children(recursive=True))
        return process.memory_info().rss, others
    except psutil.NoSuchProcess:
        return 0, 0


def voxels_of(chain: Chain, block: Zyx) -> int:
    """A checksum of the segmentation's voxels in the order of its blocks."""
    volume, found = open_volume(chain.layer), 0
    for each in BlockGrid(volume.box, block):
        found = zlib.crc32(volume.read(each.core).tobytes(), found)
    return found


def stages_of(chain: Chain, looks: Sequence[tuple[float, int]]) -> list[dict[str, Any]]:
    """Blocks, seconds of all workers, resident bytes while it ran, and what the ledgers count, by stage."""
    found = []
    for plan in chain.stages():
        lines = [
            json.loads(line) for path in plan.ledger.folder.glob("*.jsonl") for line in path.read_text().splitlines()
        ]
        done = [line for line in lines if line.get("state") == "done"]
        row: dict[str, Any] = {"stage": plan.title, "blocks": len(plan.grid)}
        row["seconds"] = round(sum(line.get("seconds", 0.0) for line in done), 1)
        moments = [line["at"] for line in lines if line.get("state") in ("started", "done")]
        during = [memory for at, memory in looks if moments and min(moments) <= at <= max(moments)]
        row["resident_bytes"] = max(during, default=None)
        for name in ("basins", "fragments", "edges", "undecided_edges"):
            counts = [line[name] for line in done if name in line]
            if counts:
                row[name] = sum(counts)
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shape", default="1024x1024x1024", help="voxels, ZxYxX; of given affinities, the corner that is taken"
    )
    parser.add_argument("--block", type=int, default=128)
    parser.add_argument("--grain", type=float, default=1.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--whole-graph", action="store_true")
    parser.add_argument("--affinities", help="a volume of affinities instead of a phantom's; --grain is not for it")
    parser.add_argument("--scratch", type=Path, help="a folder on the disk to work on")
    args = parser.parse_args()
    z, y, x = map(int, args.shape.split("x"))
    shape, block = (z, y, x), (args.block,) * 3
    folder = Path(tempfile.mkdtemp(dir=args.scratch))
    try:
        result: dict[str, Any] = {}
        if args.affinities is None:
            write_affinities(folder, shape, block, args.grain)
            result["grain"] = args.grain
        affinities = "affinities.zarr" if args.affinities is None else str(Path(args.affinities).absolute())
        result["voxels"] = voxels = math.prod(shape)

        def made(name: str, stop_after: Sequence[float] = (), **more: Any) -> dict[str, Any]:
            chain = make_chain(folder, affinities, block, shape, workspace=name, compute={"workers": 2}, **more)
            shutil.move(folder / "axonloom.yaml", folder / f"{name}.yaml")
            found, looks = run(chain, stop_after)
            found |= {"voxels_crc32": voxels_of(chain, block), "stages": stages_of(chain, looks)}
            shutil.rmtree(chain.workspace)
            print(json.dumps({name: found}), flush=True)
            return found

        first = made("undisturbed")
        others = {}
        if args.kills:
            each = first["wall_s"][0] / (args.kills + 1)
            others["killed"] = made("killed", [each] * args.kills)
        if args.whole_graph:
            others["whole_graph"] = made("whole_graph", merge={"part": str(2 * voxels // 10**6 + 1)})
        result["same_voxels"] = {name: found["voxels_crc32"] == first["voxels_crc32"] for name, found in others.items()}
        print(json.dumps(result))
        if not all(result["same_voxels"].values()):
            raise SystemExit("the voxels differ")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
