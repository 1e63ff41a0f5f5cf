"""A tool: a volume to a Neuroglancer precomputed layer."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="to-precomputed", flow_run_name="to-precomputed {configuration.workspace.name}")
@as_job
def to_precomputed(configuration: Configuration) -> dict[str, Any]:
    """Write a volume as a precomputed layer: encoding, sharding, voxel size and offset as asked for."""
    run_tool("to_precomputed", configuration)
    return {"layer": configuration.to_precomputed.target}
