"""A tool: a mask of affinities or grey levels."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from tasks.job import as_job
from tasks.run_tool import run_tool


@flow(name="make-mask", flow_run_name="make-mask {configuration.workspace.name}")
@as_job
def make_mask(configuration: Configuration) -> dict[str, Any]:
    """A mask of where affinities or grey levels are high, without small pieces and holes."""
    run_tool("make_mask", configuration)
    return {"volume": configuration.make_mask.target}
