"""A tool: a volume to another voxel size."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="resize", flow_run_name="resize {configuration.workspace.name}")
@as_job
def resize(configuration: Configuration) -> dict[str, Any]:
    """Bring a volume to another voxel size or shape: images interpolated, labels by the nearest."""
    run_tool("resize", configuration)
    return {"volume": configuration.resize.target}
