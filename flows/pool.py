"""The ID pool: which segment each fragment belongs to."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.reached_thresholds import require_reached_thresholds
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.workers import Workers


@flow(name="pool", flow_run_name="pool {configuration.workspace.name}")
@as_job
def pool(configuration: Configuration) -> dict[str, Any]:
    """Merge the fragments and write the table from fragment to segment. Touches no voxel.

    They are merged up to ``merge.threshold``, or into the partition of ``merge.method``; then come the rules for dust.
    """
    chain = Chain(configuration)
    require_reached_thresholds(chain)
    with Workers(configuration.compute) as workers:
        for plan in chain.pooling:
            run_stage(plan, workers, configuration.failures)
    found = {"lookup table": str(chain.pool.folder)}
    if chain.merging == "multicut":
        found["merge.threshold"] = (
            "of no effect: a multicut is one partition, found by a heuristic, and has no thresholds"
        )
    if chain.stitches:
        found["merge.threshold"] = (
            f"of no effect: blocks were segmented alone by {configuration.segment.method} and joined by overlap, approximately at "
            "seams"
        )
    return found
