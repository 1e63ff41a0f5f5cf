"""The Prefect task that trains for one stretch, from checkpoint to checkpoint, and the artifacts that show it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.context import TaskRunContext

from axonloom.config.configuration import Configuration
from axonloom.networks.checkpoint import Checkpoint, CheckpointError
from axonloom.networks.checkpoint_folder import BEST, checkpoint_paths, linked
from axonloom.pictures import loss_curve, panels
from axonloom.provenance import fingerprint
from axonloom.runner import StoppedError
from axonloom.stages.inputs import volume_input
from axonloom.training.configured import labelled_volumes, open_labelled_volumes
from axonloom.training.loop import TrainingState, train
from axonloom.training.loss_log import NAME, read_log
from axonloom.training.reproducible import chosen_device
from axonloom.training.session import FREE
from axonloom.workspace import workspace_id
from tasks.artifacts import INTERVAL, embedded
from tasks.gpu_slot import gpu_slot
from tasks.retrying import JITTER, delays, may_pass
from tasks.sending import LiveArtifact
from tasks.stopping import stop_requested


def training_fingerprint(configuration: Configuration) -> str:
    """What decides the weights at an iteration: the settings that matter, and the data."""
    files = [
        [volume_input(each)["identity"] for each in (given.image, given.labels, given.valid) if each is not None]
        for given in labelled_volumes(configuration)
    ]
    settings = configuration.train.model_dump(mode="json", exclude=FREE - {"iterations", "patience"})
    return fingerprint({"train": settings, "volumes": files})


def _cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return f"train-{parameters['identity']}-{parameters['until']}"


@task(
    name="train",
    task_run_name="train to {until}",
    cache_key_fn=_cache_key,
    persist_result=True,
    retry_condition_fn=may_pass,
    retry_jitter_factor=JITTER,
)
def train_stretch(configuration: Configuration, folder: str, identity: str, until: int) -> dict[str, Any]:
    """Train in ``folder`` to iteration ``until`` from its newest good checkpoint, and leave one there.

    Raises
    ------
    StoppedError
        The process was asked to stop; a checkpoint was written first.
    """
    logger = get_run_logger()
    artifacts = TrainingArtifacts(configuration.workspace, Path(folder))

    def show(state: TrainingState) -> None:
        artifacts.update(state)

    with gpu_slot(chosen_device(configuration.train.device).type):
        result = train(
            configuration.train,
            open_labelled_volumes(configuration),
            folder,
            until=until,
            on_progress=show,
            should_stop=stop_requested,
        )
    for sentence in result.skipped:
        logger.warning("%s", sentence)
    artifacts.finish(result.iteration, result.iterations)
    if result.status == "stopped":
        raise StoppedError(
            f"training was stopped at iteration {result.iteration} of {result.iterations}; run again to go on"
        )
    logger.info("iteration %d of %d, loss %s", result.iteration, result.iterations, result.training_loss)
    if result.status == "finished" and result.iteration < result.iterations:
        logger.info("ended early: no lower validation loss for train.patience validations")
    return {
        "iteration": result.iteration,
        "finished": result.status == "finished",
        "loss": result.training_loss,
        "validation_loss": result.validation_loss,
        "checkpoint": str(result.checkpoint.folder),
        "best": str(result.best),
    }


def configured(cache: Path, retries: int) -> Any:
    """:func:`train_stretch` with its results kept in ``cache`` and its retries."""
    cache.mkdir(parents=True, exist_ok=True)
    return train_stretch.with_options(
        result_storage=cache.absolute(), retries=retries, retry_delay_seconds=delays(retries)
    )


class TrainingArtifacts:
    """Progress, loss curve and checkpoint table of the training in a workspace."""

    def __init__(self, workspace: Path, folder: Path) -> None:
        self.folder = folder
        key = f"axonloom-{workspace_id(workspace)[:8]}-train"
        self._progress = LiveArtifact(f"{key}-progress", "iterations, percent")
        self._loss = LiveArtifact(f"{key}-loss")
        self._example = LiveArtifact(f"{key}-sample")
        self._checkpoints = LiveArtifact(f"{key}-checkpoints", "Checkpoints on disk")
        self._last = time.monotonic()

    def update(self, state: TrainingState) -> None:
        """Show the course so far, at most every few seconds."""
        if time.monotonic() - self._last < INTERVAL and state.checkpoint is None:
            return
        self._last = time.monotonic()
        self._show_course(state.iteration, state.iterations)
        if state.example is not None:
            pictures = state.example.pictures()
            png = panels(list(pictures.values()), list(pictures))
            self._example.show(f"# Sample after iteration {state.iteration}\n\n{embedded(png, 'Middle section')}")

    def finish(self, iteration: int, iterations: int) -> None:
        """The state at the end of a stretch, with the checkpoints on disk."""
        self._show_course(iteration, iterations)
        self._checkpoints.show(checkpoint_rows(self.folder))

    def _show_course(self, iteration: int, iterations: int) -> None:
        self._progress.show(100.0 * iteration / iterations)
        log = read_log(self.folder / NAME)
        if log:
            validation = [(e["iteration"], e["validation_loss"]) for e in log if "validation_loss" in e]
            picture = loss_curve([e["iteration"] for e in log], [e["loss"] for e in log], validation)
            self._loss.show(f"# Training: iteration {iteration} of {iterations}\n\n{embedded(picture, 'Loss')}")


def checkpoint_rows(folder: Path) -> Sequence[dict[str, Any]]:
    """One row a checkpoint: iteration, losses, path, sha256; damaged ones say so."""
    best = linked(folder, BEST)
    rows = []
    for path in checkpoint_paths(folder):
        iteration = int(re.sub(r"\D", "", path.name))
        try:
            found = Checkpoint.open(path)
        except CheckpointError as error:
            rows.append(
                {"iteration": iteration, "loss": "", "validation loss": "", "sha256": str(error), "path": str(path)}
            )
            continue
        rows.append(
            {
                "iteration": iteration,
                "loss": _rounded(found.description.training_loss),
                "validation loss": _rounded(found.description.validation_loss),
                "sha256": found.identity()[:16],
                "path": f"{path}{' (best)' if path.resolve() == best else ''}",
            }
        )
    return rows


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 5)
