"""What orchestration costs when a block takes a second.

    python -m benchmarks.orchestration [--blocks 2000] [--workers 16] [--on local|dask] [--json]

Runs a flow over blocks that sleep for a second, through a real Prefect server on this machine, in the batches that `plan` chooses
for blocks of a second, and prints how much longer that takes than the sleeping itself, divided among the workers. Starting the
server and the cluster is printed apart; that workers import what they need counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow

from axonloom.config.compute import ComputeSettings
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.stage import Stage, StagePlan
from axonloom.stages.registry import STAGES
from deployments.server import prefect_server
from tasks.batches import batches, cut_of
from tasks.run_stage import run_stage
from tasks.workers import Workers

STAGES["sleep"] = "benchmarks.orchestration:SleepStage"


class SleepStage(Stage):
    """Blocks that take a second and leave nothing."""

    name = "sleep"
    version = 1
    voxels_per_second = 1.0

    def process(self, block: Block) -> Mapping[str, Any]:
        time.sleep(1.0)
        return {}


@flow
def sleeping(workspace: str, blocks: int, compute: ComputeSettings) -> dict[str, float]:
    """One stage of sleeping blocks; seconds of the cluster's start and of the stage, and its number of batches."""
    plan = StagePlan("sleep", 1, {}, {}, BlockGrid(Box.of_shape((1, 1, blocks)), (1, 1, 1)), Path(workspace))
    count = len(batches(plan, cut_of(plan, compute.on)))
    with Workers(compute) as workers:
        begin = time.perf_counter()
        runner = workers.runner_for(count, plan)
        # Prefect brings a Dask cluster up when its client is first asked for.
        getattr(runner, "client", None)
        started = time.perf_counter()
        run_stage(plan, workers)
        return {"start": started - begin, "wall": time.perf_counter() - started, "batches": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--on", choices=("local", "dask"), default="local")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        begin = time.perf_counter()
        with prefect_server():
            server = time.perf_counter() - begin
            cpu = resource.getrusage(resource.RUSAGE_SELF)
            found = sleeping(workspace, args.blocks, ComputeSettings(on=args.on, workers=args.workers))
            wall = found["wall"]
            after = resource.getrusage(resource.RUSAGE_SELF)
    ideal = args.blocks / args.workers
    result = {
        "blocks": args.blocks,
        "on": args.on,
        "workers": args.workers,
        "batches": int(found["batches"]),
        "wall_s": round(wall, 2),
        "blocks_alone_s": ideal,
        "overhead_percent": round(100 * (wall / ideal - 1), 2),
        "client_cpu_s": round(after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime, 2),
        "server_start_s": round(server, 1),
        "workers_start_s": round(found["start"], 1),
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k:>18}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    # Run as the module that workers import, not as __main__.
    from benchmarks.orchestration import main as run

    run()
