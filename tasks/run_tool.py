"""A tool's stages from within its flow."""

from __future__ import annotations

from contextlib import ExitStack

from prefect import get_run_logger

from axonloom.config.configuration import Configuration
from axonloom.lease import holding
from axonloom.stages.tool_stage import ToolStage, forget_what_is_gone, require_own_targets, tool_stage
from axonloom.tools import TOOLS
from tasks.run_stage import run_stage
from tasks.workers import GPU_STAGES, Workers, require_device_chosen


def run_tool(tool: str, configuration: Configuration) -> list[ToolStage]:
    """Run the stages of a tool to their end, holding what the user named; see :data:`axonloom.tools.TOOLS`.

    Raises
    ------
    BadInputError
        Its target was made by somebody else, or its source cannot be used.
    LeaseHeldError
        Another run writes the target.
    """
    plans = TOOLS[tool](configuration)
    with ExitStack() as held:
        # What is made on the way needs none: the target's stages come last.
        lease = tool_stage(plans[-1]).lease if plans else None
        if lease is not None:
            lease.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(holding(lease, plans[0].fingerprint))
        for plan in plans:
            plan.save()
        require_own_targets(plans)
        for plan in plans:
            if (warning := tool_stage(plan).warning()) is not None:
                get_run_logger().warning(warning)
        forget_what_is_gone(plans)
        workers = held.enter_context(Workers(configuration.compute))
        if any(plan.stage in GPU_STAGES for plan in plans):
            require_device_chosen(configuration.infer, workers.settings)
        for plan in plans:
            run_stage(plan, workers, configuration.failures)
            tool_stage(plan).finish()
    return [tool_stage(plan) for plan in plans]
