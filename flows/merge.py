"""Fragments to segments, and the segments to the user's layer."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from flows.apply import apply
from flows.pool import pool
from tasks.job import as_job
from tasks.workers import Workers


@flow(name="merge", flow_run_name="merge {configuration.workspace.name}")
@as_job
def merge(configuration: Configuration) -> dict[str, Any]:
    """Agglomerate (or multicut), pool, apply. A new ``merge.threshold`` or rule for dust repeats the last two only."""
    # One set of workers for both: what waited in a queue is not given back between them.
    with Workers(configuration.compute):
        return {**pool(configuration), **apply(configuration)}
