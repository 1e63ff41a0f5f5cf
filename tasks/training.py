"""The Prefect task that trains for one stretch, from checkpoint to checkpoint, and the artifacts that show it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
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
from axonloom.training.configured import all_volumes, open_labelled_volumes
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
        for given in all_volumes(configuration)
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
    artifacts = TrainingArtifacts(configuration.workspace, Path(folder), configuration.train.best_by)

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
    if result.scoring_seconds:
        logger.info(
            "segmenting and scoring took %.0f of %.0f s%s",
            result.scoring_seconds,
            result.seconds,
            "; a smaller train.scoring.region or a larger train.scoring.every makes it less"
            if result.scoring_seconds > result.seconds / 2
            else "",
        )
    if result.status == "stopped":
        raise StoppedError(
            f"training was stopped at iteration {result.iteration} of {result.iterations}; run again to go on"
        )
    logger.info("iteration %d of %d, loss %s", result.iteration, result.iterations, result.training_loss)
    if result.status == "finished" and result.iteration < result.iterations:
        by = configuration.train.best_by
        better = "lower validation loss for train.patience validations"
        if by != "loss":
            better = f"better {FIGURES[by][1]} for train.patience scorings"
        logger.info("ended early: no %s", better)
    return {
        "iteration": result.iteration,
        "finished": result.status == "finished",
        "loss": result.training_loss,
        "validation_loss": result.validation_loss,
        "checkpoint": str(result.checkpoint.folder),
        "best": str(result.best),
        "best_scores": result.best_scores.as_dict() if result.best_scores is not None else None,
    }


def configured(cache: Path, retries: int) -> Any:
    """:func:`train_stretch` with its results kept in ``cache`` and its retries."""
    cache.mkdir(parents=True, exist_ok=True)
    return train_stretch.with_options(
        result_storage=cache.absolute(), retries=retries, retry_delay_seconds=delays(retries)
    )


#: What says which checkpoint is the best: its name among scores, and what it is called.
FIGURES = {"voi": ("voi", "VOI (bits)"), "adapted_rand": ("adapted_rand_error", "adapted Rand error")}


class TrainingArtifacts:
    """Progress, loss curve and checkpoint table of the training in a workspace; ``best_by`` is that of its settings."""

    def __init__(self, workspace: Path, folder: Path, best_by: str = "loss") -> None:
        self.folder = folder
        self.best_by = best_by
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
            scored = [e["scores"] for e in log if "scores" in e]
            name, label = FIGURES[self.best_by if scored else "voi"]
            picture = loss_curve(
                [e["iteration"] for e in log],
                [e["loss"] for e in log],
                validation,
                scores=[(each["iteration"], each[name]) for each in scored],
                scored_by=label,
            )
            text = f"# Training: iteration {iteration} of {iterations}\n\n{embedded(picture, 'Loss')}"
            if scored:
                best = min(scored, key=lambda each: each[name])
                text += f"\n\nLast segmentation: {_said(scored[-1])}.\n\nBest: {_said(best)}."
            self._loss.show(text)


def _said(scores: Mapping[str, Any]) -> str:
    return (
        f"VOI {scores['voi']:.3f} bits (split {scores['voi_split']:.3f}, merge {scores['voi_merge']:.3f}), adapted Rand error "
        f"{scores['adapted_rand_error']:.4f}, at threshold {scores['threshold']} after iteration {scores['iteration']}"
    )


def checkpoint_rows(folder: Path) -> Sequence[dict[str, Any]]:
    """One row a checkpoint: iteration, losses, scores where there are some, path, sha256; damaged ones say so."""
    best = linked(folder, BEST)
    found = {path: _opened(path) for path in checkpoint_paths(folder)}
    scored = any(isinstance(each, Checkpoint) and each.description.scores is not None for each in found.values())
    rows = []
    for path, each in found.items():
        row: dict[str, Any] = {"iteration": int(re.sub(r"\D", "", path.name)), "loss": "", "validation loss": ""}
        if scored:
            row |= {label: "" for _, label in FIGURES.values()}
        if isinstance(each, CheckpointError):
            rows.append({**row, "sha256": str(each), "path": str(path)})
            continue
        row["loss"] = _rounded(each.description.training_loss)
        row["validation loss"] = _rounded(each.description.validation_loss)
        # Scores of another iteration are those of other weights.
        own = each.description.scores
        if own is not None and own["iteration"] == each.iteration:
            row |= {label: _rounded(own[name]) for name, label in FIGURES.values()}
        row["sha256"] = each.identity()[:16]
        row["path"] = f"{path}{' (best)' if path.resolve() == best else ''}"
        rows.append(row)
    return rows


def _opened(path: Path) -> Checkpoint | CheckpointError:
    try:
        return Checkpoint.open(path)
    except CheckpointError as error:
        return error


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 5)
