"""Images to affinities."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.samples import show_affinities
from tasks.workers import Workers


@flow(name="infer", flow_run_name="infer {configuration.workspace.name}")
@as_job
def infer(configuration: Configuration) -> dict[str, Any]:
    """Run the network over the images, block by block; the stored affinities do not depend on the blocks."""
    chain = Chain(configuration)
    with Workers(configuration.compute) as workers:
        run_stage(chain.infer, workers, configuration.failures)
    show_affinities(chain)
    return {"affinities": str(chain.infer.folder / "affinities.zarr")}
