"""A tool: overlapping files to a volume."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="join", flow_run_name="join {configuration.workspace.name}")
@as_job
def join(configuration: Configuration) -> dict[str, Any]:
    """Put a folder of overlapping files together, blended or cropped."""
    run_tool("join", configuration)
    return {"volume": configuration.join.target}
