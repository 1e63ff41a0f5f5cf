"""A tool: a volume to overlapping files."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="split", flow_run_name="split {configuration.workspace.name}")
@as_job
def split(configuration: Configuration) -> dict[str, Any]:
    """Cut a volume into overlapping files, each of which other programs can open."""
    stages = run_tool("split", configuration)
    return {"folder": str(configuration.split.target), "files": len(stages[0].plan.grid)}
