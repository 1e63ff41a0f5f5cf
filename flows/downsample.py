"""A tool: coarser scales for a layer that there is."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from axonloom.lease import holding
from axonloom.stages.downsample import DownsampleStage, forget_lost_scales, require_own_scales, scales_lease
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.workers import Workers


@flow(name="downsample", flow_run_name="downsample {configuration.workspace.name}")
@as_job
def downsample(configuration: Configuration) -> dict[str, Any]:
    """Add coarser scales to a precomputed layer, block by block, each made from the one before."""
    plans = DownsampleStage.planned(configuration.downsample, configuration.blocks.shape, configuration.workspace)
    require_own_scales(plans)
    with ExitStack() as held:
        lease = scales_lease(plans[0]) if plans else None
        if lease is not None:
            held.enter_context(holding(lease, plans[0].fingerprint))
        forget_lost_scales(plans)
        workers = held.enter_context(Workers(configuration.compute))
        for plan in plans:
            run_stage(plan, workers, configuration.failures)
    return {"layer": configuration.downsample.layer, "scales": len(plans)}
