"""A stage whose blocks take no time and fail on demand: what is tested is the orchestration around it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow

from axonloom.config.compute import ComputeSettings
from axonloom.config.failures import FailuresSettings
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.stage import Stage, StagePlan
from axonloom.stages.registry import STAGES
from tasks.run_stage import run_stage
from tasks.workers import Workers

STAGES["toy"] = "tests.flows.toy:ToyStage"


class ToyStage(Stage):
    """Writes ``N.begun`` and ``N.out`` with its process id for block N. A file ``poison-N`` in the workspace makes block N raise, ``flaky-N`` once, for a passing reason, and
    ``full-N`` makes it find the disk full."""

    name = "toy"
    version = 1

    @classmethod
    def planned(cls, workspace: Path, blocks: int, seconds: float = 0.0) -> StagePlan:
        return StagePlan(
            "toy", 1, {"seconds": seconds}, {}, BlockGrid(Box.of_shape((1, 1, blocks)), (1, 1, 1)), workspace
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        workspace = self.plan.workspace
        (self.plan.folder / f"{block.index}.begun").write_text(str(os.getpid()))
        time.sleep(self.plan.parameters["seconds"])
        if (workspace / f"poison-{block.index}").exists():
            raise ValueError(f"block {block.index} is poisoned")
        if (workspace / f"flaky-{block.index}").exists():
            (workspace / f"flaky-{block.index}").unlink()
            raise ConnectionResetError("the file server went away")
        if (workspace / f"full-{block.index}").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        (self.plan.folder / f"{block.index}.out").write_text(str(os.getpid()))
        return {}


@flow
def toy(
    workspace: str,
    blocks: int,
    compute: ComputeSettings,
    seconds: float = 0.0,
    failures: FailuresSettings | None = None,
    only: list[int] | None = None,
) -> dict[str, Any]:
    """Run the toy stage."""
    with Workers(compute) as workers:
        report = run_stage(ToyStage.planned(Path(workspace), blocks, seconds), workers, failures, only=only)
    return {"computed": report.computed, "done_before": report.done_before}
