"""Affinities to fragments and the contacts between them."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.reached_thresholds import require_reached_thresholds
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.samples import show_fragments
from tasks.workers import Workers


@flow(name="segment", flow_run_name="segment {configuration.workspace.name}")
@as_job
def segment(configuration: Configuration) -> dict[str, Any]:
    """Cut the affinities into fragments block by block, join them across blocks, and count what touches what.

    With ``segment.method`` waterz or mutex: segment each block alone, and count what neighbours share in their halos.
    """
    chain = Chain(configuration)
    require_reached_thresholds(chain)
    with Workers(configuration.compute) as workers:
        for plan in chain.segmenting:
            run_stage(plan, workers, configuration.failures)
    show_fragments(chain)
    return {"fragments": str(chain.fragment.folder), chain.segmenting[-1].stage: str(chain.segmenting[-1].folder)}
