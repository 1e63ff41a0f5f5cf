"""A tool: a volume without what lies outside a mask."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="apply-mask", flow_run_name="apply-mask {configuration.workspace.name}")
@as_job
def apply_mask(configuration: Configuration) -> dict[str, Any]:
    """Copy a volume, blank where a mask is 0; of a precomputed layer every scale."""
    stages = run_tool("apply_mask", configuration)
    return {"volume": configuration.apply_mask.target, "scales": len(stages)}
