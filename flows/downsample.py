"""A tool: coarser scales for a layer that there is."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="downsample", flow_run_name="downsample {configuration.workspace.name}")
@as_job
def downsample(configuration: Configuration) -> dict[str, Any]:
    """Add coarser scales to a precomputed layer, block by block, each made from the one before."""
    stages = run_tool("downsample", configuration)
    return {"layer": configuration.downsample.layer, "scales": len(stages)}
