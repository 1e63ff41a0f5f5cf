"""A tool: a network over a folder of files, each by itself."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="predict", flow_run_name="predict {configuration.workspace.name}")
@as_job
def predict(configuration: Configuration) -> dict[str, Any]:
    """Run a network over each file of a folder; files know nothing of each other, and joining them shows where they end."""
    stages = run_tool("predict", configuration)
    return {"folder": str(configuration.predict.target), "files": len(stages[0].plan.grid)}
