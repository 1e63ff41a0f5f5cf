"""What orchestration costs when a block takes a second.

    python -m benchmarks.orchestration [--blocks 120] [--workers 2] [--json]

Runs a flow over blocks that sleep for a second, through a real Prefect server on this machine, and prints how much longer that
takes than the sleeping itself, divided among the workers. Server start is printed apart.
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
def sleeping(workspace: str, blocks: int, compute: ComputeSettings) -> None:
    """One stage of sleeping blocks."""
    grid = BlockGrid(Box.of_shape((1, 1, blocks)), (1, 1, 1))
    with Workers(compute) as workers:
        run_stage(StagePlan("sleep", 1, {}, {}, grid, Path(workspace)), workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        begin = time.perf_counter()
        with prefect_server():
            server = time.perf_counter() - begin
            cpu = resource.getrusage(resource.RUSAGE_SELF)
            begin = time.perf_counter()
            sleeping(workspace, args.blocks, ComputeSettings(workers=args.workers))
            wall = time.perf_counter() - begin
            after = resource.getrusage(resource.RUSAGE_SELF)
    ideal = args.blocks / args.workers
    result = {
        "blocks": args.blocks,
        "workers": args.workers,
        "wall_s": round(wall, 2),
        "blocks_alone_s": ideal,
        "overhead_percent": round(100 * (wall / ideal - 1), 2),
        "client_cpu_s": round(after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime, 2),
        "server_start_s": round(server, 1),
    }
    print(json.dumps(result) if args.json else "\n".join(f"{k:>18}  {v}" for k, v in result.items()))


if __name__ == "__main__":
    # Run as the module that workers import, not as __main__.
    from benchmarks.orchestration import main as run

    run()
