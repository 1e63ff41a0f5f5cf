"""The lookup table to the segmentation that people look at."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.lease import holding
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.registry import open_stage
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.samples import show_segmentation
from tasks.upstream import require_done
from tasks.workers import Workers


@flow(name="apply", flow_run_name="apply {configuration.workspace.name}")
@as_job
def apply(configuration: Configuration) -> dict[str, Any]:
    """Write the segmentation as a Neuroglancer precomputed layer, with its coarser scales."""
    chain = Chain(configuration)
    require_done(chain.pool)
    plans = (chain.apply, *chain.pyramid)
    chain.apply.save()
    first = open_stage(chain.apply.folder)
    assert isinstance(first, LayerStage)
    with holding(first.layer.lease, chain.apply.fingerprint) as lease:
        replaced = first.layer.replaces(chain.apply.fingerprint, chain.workspace)
        if replaced:
            get_run_logger().warning(replaced)
        with Workers(configuration.compute) as workers:
            for plan in plans:
                plan.save()
                stage = open_stage(plan.folder)
                assert isinstance(stage, LayerStage)
                stage.hold(lease)
                run_stage(plan, workers)
    show_segmentation(chain)
    return {"segmentation": chain.layer}
