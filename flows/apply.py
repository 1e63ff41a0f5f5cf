"""The lookup table to the segmentation that people look at."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.layer_lease import holding_layer
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
    with holding_layer(chain.writing), Workers(configuration.compute) as workers:
        for plan in chain.writing:
            run_stage(plan, workers, configuration.failures)
    show_segmentation(chain)
    return {"segmentation": chain.layer}
