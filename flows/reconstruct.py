"""The whole product in one call: images in, a scored segmentation out."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from flows.evaluate import evaluate
from flows.infer import infer
from flows.merge import merge
from flows.segment import segment
from tasks.job import as_job


@flow(name="reconstruct", flow_run_name="reconstruct {configuration.workspace.name}")
@as_job
def reconstruct(configuration: Configuration) -> dict[str, Any]:
    """Infer (unless affinities are given), segment, merge, and evaluate where there are labels."""
    results: dict[str, Any] = {}
    if Chain(configuration).infers:
        results |= infer(configuration)
    results |= segment(configuration)
    results |= merge(configuration)
    if configuration.volumes.labels is not None:
        results |= evaluate(configuration)
    return results
