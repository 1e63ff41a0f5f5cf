"""A stage run in this process, block after block: no flow, no server, no retries. For scripts, measurements and tests."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from axonloom.lease import holding
from axonloom.runner import BatchReport, run_blocks
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.registry import open_stage


def run_alone(plan: StagePlan, blocks: Iterable[int] | None = None) -> BatchReport:
    """Run those of ``blocks`` (default: all of the stage) that are not done, and record them in the stage's ledger.

    The stages before must be done. A block that raises is in the report; the others are run.

    Raises
    ------
    LeaseHeldError
        Another run is writing the layer.
    """
    plan.save()
    stage = open_stage(plan.folder)
    with ExitStack() as held:
        if isinstance(stage, LayerStage):
            stage.hold(held.enter_context(holding(stage.layer.lease, plan.fingerprint)))
        stage.prepare()
        return run_blocks(stage, range(len(plan.grid)) if blocks is None else blocks)
