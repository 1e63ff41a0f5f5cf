"""The failed blocks of all stages, and nothing else."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from prefect import flow, get_run_logger

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.lease import holding
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import LayerStage, current_state
from axonloom.stages.registry import stage_class
from axonloom.stages.tool_stage import is_tool, tool_stage
from tasks.job import as_job
from tasks.layer_lease import holding_layer
from tasks.run_stage import run_stage
from tasks.upstream import JOB_OF_STAGE
from tasks.workers import Workers


@flow(name="retry-failed", flow_run_name="retry-failed {configuration.workspace.name}")
@as_job
def retry_failed(configuration: Configuration) -> dict[str, Any]:
    """Try the blocks again that failed. Blocks that were never tried are left to the job that the result names."""
    chain = Chain(configuration)
    tried = 0
    with Workers(configuration.compute) as workers:
        for plan in chain.all_stages():
            failed = current_state(plan).failed
            if not failed:
                continue
            get_run_logger().info("%s: %d failed blocks", plan.stage, len(failed))
            with _right_to_write(chain, plan):
                run_stage(plan, workers, configuration.failures, only=failed)
                if is_tool(plan) and not current_state(plan).missing(range(len(plan.grid))):
                    tool_stage(plan).finish()
            tried += len(failed)
    return {"retried": tried, "next": what_next(chain)}


def what_next(chain: Chain) -> str:
    """The command that goes on from here."""
    for plan in chain.all_stages():
        if current_state(plan).missing(range(len(plan.grid))):
            return f"axonloom {JOB_OF_STAGE.get(plan.stage, 'run')}"
    return "nothing is left to do"


def _right_to_write(chain: Chain, plan: StagePlan) -> Any:
    if issubclass(stage_class(plan.stage), LayerStage):
        return holding_layer(chain.writing)
    lease = tool_stage(plan).lease if is_tool(plan) else None
    return holding(lease, plan.fingerprint) if lease is not None else nullcontext()
