"""A tool: a volume, or a part of it, to another format."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="convert", flow_run_name="convert {configuration.workspace.name}")
@as_job
def convert(configuration: Configuration) -> dict[str, Any]:
    """Copy a volume, or a region of it, to a new one of another format."""
    run_tool("convert", configuration)
    return {"volume": configuration.convert.target}
