"""Images and labels to a network."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.config.configuration import Configuration
from axonloom.lease import holding
from axonloom.networks.checkpoint_folder import newest_good
from tasks.job import as_job, untagged
from tasks.run_stage import CACHE
from tasks.training import configured, training_fingerprint


@flow(name="train", flow_run_name="train {configuration.workspace.name}")
@as_job
def train(configuration: Configuration) -> dict[str, Any]:
    """Train from checkpoint to checkpoint; one task run a stretch. A run that was killed goes on from its last good one."""
    folder = configuration.workspace / "checkpoints"
    identity = training_fingerprint(configuration)
    stretch = configured(configuration.workspace / CACHE, configuration.compute.retries)
    settings = configuration.train
    step = settings.checkpoint_every
    result: dict[str, Any] = {}
    with holding(configuration.workspace / "checkpoints.lease", identity) as lease:
        newest = newest_good(folder).checkpoint
        reached = newest.iteration if newest is not None else 0
        for until in [*range(step, settings.iterations, step), settings.iterations]:
            lease.require()
            # Checkpoints on disk are the truth: a cached stretch beyond the newest of them is trained again.
            run = stretch if until <= reached else stretch.with_options(refresh_cache=True)
            with untagged():
                result = run(configuration, str(folder.absolute()), identity, until)
            if result["finished"]:
                break
    return {
        "checkpoint": result["best"],
        "mean_loss": result["loss"],
        "last_validation_loss": result["validation_loss"],
        **{f"best_{name}": value for name, value in (result.get("best_scores") or {}).items()},
    }
