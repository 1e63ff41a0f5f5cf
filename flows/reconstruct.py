"""The whole product in one call: images in, a scored segmentation out."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.stages.layer_stage import require_own_layer
from flows.evaluate import evaluate
from flows.infer import infer
from flows.merge import merge
from flows.segment import segment
from tasks.job import as_job
from tasks.overview import show_overview
from tasks.report import leave_report
from tasks.samples import show_segmentation
from tasks.workers import Workers


@flow(name="reconstruct", flow_run_name="reconstruct {configuration.workspace.name}")
@as_job
def reconstruct(configuration: Configuration) -> dict[str, Any]:
    """Infer (unless affinities are given), segment, merge, and evaluate where there are labels; leaves ``report.html``."""
    chain = Chain(configuration)
    require_own_layer(chain.apply)
    jobs = [
        *([infer] if chain.infers else []),
        segment,
        merge,
        *([evaluate] if configuration.volumes.labels is not None else []),
    ]
    results: dict[str, Any] = {}
    try:
        # One set of workers for all of them: what waited in a queue is not given back between two.
        with Workers(configuration.compute):
            for job in jobs:
                results |= job(configuration)
        show_segmentation(chain)
    finally:
        show_overview(chain)
        results |= leave_report(chain)
    return results
