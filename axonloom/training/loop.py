"""Training, in stretches that end at a checkpoint and go on from it bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from axonloom.config.train import TrainSettings
from axonloom.geometry import Box
from axonloom.models.named import checkpoint_folder
from axonloom.networks.checkpoint import PREFIX, Checkpoint
from axonloom.networks.checkpoint_folder import BEST, LAST, linked, newest_good, point, prune
from axonloom.representations.affinity import Affinity
from axonloom.representations.targets import Targets
from axonloom.training.errors import TrainingError
from axonloom.training.example import Example
from axonloom.training.labelled_volume import LabelledVolume, hold_out, is_isotropic, measured_normalisation
from axonloom.training.loading import in_order
from axonloom.training.loss_log import NAME, LossLog
from axonloom.training.network import chosen_network
from axonloom.training.reproducible import available_cores, chosen_device, reproducible
from axonloom.training.sampling import Sampler
from axonloom.training.scoring import SegmentationScores
from axonloom.training.session import Session
from axonloom.training.tensorboard import FOLDER, TensorBoardLog, scalars_of
from axonloom.training.tensorboard import wanted as tensorboard_wanted


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands after an iteration.

    Attributes
    ----------
    iteration, iterations : int
        Done, and wanted.
    loss, running_loss : float
        Of this iteration, and a running mean.
    validation_loss, best_validation_loss : float or None
        Of the last validation, and the lowest so far.
    scores, best_scores : SegmentationScores or None
        Of the last segmentation of what is held out, and the best so far; None without ``train.best_by`` voi or adapted_rand.
    learning_rate : float
    seconds : float
        Wall time of this stretch so far.
    scoring_seconds : float
        Of these, and of what followed this iteration, spent on segmenting and scoring.
    iterations_per_second, voxels_per_second : float
        Over this stretch, the time of scoring left out; voxels of patches.
    checkpoint : Path or None
        The folder, when this iteration wrote one.
    example : Example or None
        A sample and what the network says of it, when this iteration wrote a checkpoint.
    skipped : tuple of str
        A sentence for each damaged checkpoint that this stretch could not start from.
    """

    iteration: int
    iterations: int
    loss: float
    running_loss: float
    validation_loss: float | None
    best_validation_loss: float | None
    learning_rate: float
    seconds: float
    iterations_per_second: float
    voxels_per_second: float
    checkpoint: Path | None = None
    example: Example | None = None
    skipped: tuple[str, ...] = ()
    scores: SegmentationScores | None = None
    best_scores: SegmentationScores | None = None
    scoring_seconds: float = 0.0


@dataclass(frozen=True)
class TrainingResult:
    """How a stretch ended.

    Attributes
    ----------
    status : {'finished', 'reached', 'stopped'}
        All iterations are done, or patience has ended; the stretch's goal is reached; or ``should_stop`` said so.
    iteration, iterations : int
        Done, and wanted.
    checkpoint : Checkpoint
        Of ``iteration``.
    best : Path
        Folder of the checkpoint with the lowest validation loss, or the best scores; the last one where nothing is validated.
    best_scores : SegmentationScores or None
        The best so far, with ``train.best_by`` voi or adapted_rand.
    seconds, scoring_seconds : float
        Wall time of the stretch, and what of it segmenting and scoring took.
    """

    status: Literal["finished", "reached", "stopped"]
    iteration: int
    iterations: int
    checkpoint: Checkpoint
    best: Path
    training_loss: float | None
    validation_loss: float | None
    skipped: tuple[str, ...] = ()
    best_scores: SegmentationScores | None = None
    seconds: float = 0.0
    scoring_seconds: float = 0.0


def train(
    settings: TrainSettings,
    volumes: Sequence[LabelledVolume],
    folder: str | Path,
    *,
    until: int | None = None,
    on_progress: Callable[[TrainingState], None] = lambda state: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainingResult:
    """Train in ``folder``, from its newest good checkpoint or from the beginning, and leave a checkpoint.

    On a CPU the weights at an iteration are the same bytes however often training was stopped, killed or split into
    stretches before it, for the same settings, data, number of threads and version of torch.

    Parameters
    ----------
    settings : TrainSettings
    volumes : sequence of LabelledVolume
        Without a held-out part of their own they get the one that ``settings.validation`` describes.
    folder : path
        Holds ``iteration_<number>``, the links ``best`` and ``last``, and ``loss.jsonl``. One process at a time.
    until : int, optional
        End this stretch after that many iterations (counted from the very first), with a checkpoint.
    on_progress : callable
        Called after every iteration, in this thread.
    should_stop : callable
        Asked after every iteration; true ends the stretch with a checkpoint.

    Raises
    ------
    TrainingError
        The data or settings do not go together, or the loss is not finite.
    CheckpointError
        ``settings.start_from`` is no whole checkpoint.
    ModelError
        It names a model that is not registered.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    goal = settings.iterations if until is None else min(until, settings.iterations)
    device = chosen_device(settings.device)
    with reproducible(settings.threads or available_cores(), device):
        start = Checkpoint.open(checkpoint_folder(settings.start_from)) if settings.start_from is not None else None
        session = Session(settings, make_sampler(settings, volumes, start), device, start)
        found = newest_good(folder)
        if found.checkpoint is not None:
            session.restore(found.checkpoint)
        return _Stretch(settings, session, folder, found.checkpoint, found.skipped, on_progress).run(goal, should_stop)


def make_sampler(
    settings: TrainSettings, volumes: Sequence[LabelledVolume], start: Checkpoint | None = None
) -> Sampler:
    """The samples that a training with these settings draws from these volumes, also for looking at them."""
    shown = [volume for volume in volumes if not volume.only_validates]
    isotropic = bool(shown) and all(is_isotropic(volume.image.voxel_size) for volume in shown)
    kind = (
        Targets(
            [each.model_dump(mode="json") for each in settings.targets],
            [each.model_dump(mode="json") for each in settings.regularisers],
            pytc_compat=settings.pytc_compat,
        )
        if settings.targets
        else Affinity(
            # FIB-25, 150 iterations of "small": VOI 1.37 on unseen sections without erosion, 1.89 with.
            erosion=settings.erosion if settings.erosion is not None else 0 if isotropic else 1,
            erosion_across_sections=settings.erosion_across_sections,
            ignore_zero=settings.ignore_zero,
            dice=settings.dice,
        )
    )
    patch = chosen_network(settings).patch
    low, high = kind.margin
    needed = (patch[0] + low[0] + high[0], patch[1] + low[1] + high[1], patch[2] + low[2] + high[2])
    region = settings.validation.region
    split = []
    for number, volume in enumerate(volumes):
        if volume.held_out is not None:
            split.append(volume)
        elif region is not None:
            kept = Box(start=region.start, end=region.stop)
            split.append(replace(volume, held_out=kept) if number == 0 else volume)
        elif settings.validation.fraction > 0:
            split.append(hold_out(volume, settings.validation.fraction, needed))
        else:
            split.append(volume)
    for volume in split:
        if volume.only_validates and shown and (volume.image.dtype == np.uint8) != (shown[0].image.dtype == np.uint8):
            raise TrainingError(
                f"{volume.image.uri}, to validate on, holds {volume.image.dtype}, and {shown[0].image.uri}, to train on, "
                f"{shown[0].image.dtype}: their grey levels would mean different things; convert one of them"
            )
    # A network that is trained further must see grey levels as before.
    normalisation = start.normalisation if start is not None else measured_normalisation(shown) if shown else None
    return Sampler(
        split,
        kind,
        patch,
        normalisation=normalisation,
        augment=settings.augment,
        seed=settings.seed,
        least_labelled=settings.least_labelled,
        least_valid=settings.least_valid,
        cache=int(settings.cache * 1e9),
    )


class _Stretch:
    """The loop, with its log, its checkpoints and its clock."""

    def __init__(
        self,
        settings: TrainSettings,
        session: Session,
        folder: Path,
        checkpoint: Checkpoint | None,
        skipped: tuple[str, ...],
        on_progress: Callable[[TrainingState], None],
    ) -> None:
        self.settings = settings
        self.session = session
        self.folder = folder
        self.checkpoint = checkpoint
        self.skipped = skipped
        self.on_progress = on_progress
        self.scoring_seconds = 0.0
        self.validates = any(volume.held_out is not None for volume in session.sampler.volumes)
        self.log = LossLog(folder / NAME, session.iteration)
        self.board = (
            TensorBoardLog(folder / FOLDER, session.iteration) if tensorboard_wanted(settings.tensorboard) else None
        )
        if checkpoint is not None:
            self._link()  # the process may have died between the checkpoint and its links

    def run(self, goal: int, should_stop: Callable[[], bool]) -> TrainingResult:
        session = self.session
        stopped = False
        samples = in_order(
            session.sampler.sample,
            session.iteration * session.drawn,
            max(goal, session.iteration) * session.drawn,
            self.settings.loaders,
            ahead=2 * self.settings.batch,
        )
        began, first = time.perf_counter(), session.iteration
        try:
            if self.checkpoint is None:
                self._save()  # iteration 0: so that a stretch always has something to return to
            while session.iteration < goal and not stopped and not session.out_of_patience:
                loss = session.step(list(islice(samples, session.drawn)))
                stopped = should_stop()
                self._after(loss, first, time.perf_counter() - began, last=stopped or session.iteration == goal)
        finally:
            samples.close()
            self.log.close()
            if self.board is not None:
                self.board.close()
        assert self.checkpoint is not None
        finished = session.iteration >= self.settings.iterations or session.out_of_patience
        return TrainingResult(
            status="finished" if finished else "stopped" if stopped else "reached",
            iteration=session.iteration,
            iterations=self.settings.iterations,
            checkpoint=self.checkpoint,
            best=linked(self.folder, BEST) or self.checkpoint.folder,
            training_loss=session.running_loss,
            validation_loss=session.validation_loss,
            skipped=self.skipped,
            best_scores=session.best_scores,
            seconds=time.perf_counter() - began,
            scoring_seconds=self.scoring_seconds,
        )

    def _after(self, loss: float, first: int, seconds: float, *, last: bool) -> None:
        """Log, validate, save and report the iteration just done."""
        session, settings = self.session, self.settings
        rate = session.optimizer.param_groups[0]["lr"]
        entry: dict[str, Any] = {
            "iteration": session.iteration,
            "loss": loss,
            "learning_rate": rate,
            "seconds": round(seconds, 3),
        }
        is_best = False
        training_seconds = seconds - self.scoring_seconds
        if self.validates and (
            session.iteration % settings.validation.every == 0 or session.iteration == settings.iterations
        ):
            entry["validation_loss"] = session.validate()
            if session.is_to_be_scored:
                entry["scores"] = self._scores()
            is_best = session.best_iteration == session.iteration
        if self.scoring_seconds:
            entry["scoring_seconds"] = round(self.scoring_seconds, 3)
        self.log.append(entry)
        saved = last or is_best or session.out_of_patience or session.iteration % settings.checkpoint_every == 0
        example = None
        if saved:
            self._save()
            example = session.example()
        if self.board is not None:
            self.board.scalars(
                session.iteration,
                {
                    "loss": loss,
                    "loss, running mean": session.running_loss,
                    "validation loss": entry.get("validation_loss"),
                    "learning rate": rate,
                    **scalars_of(entry.get("scores")),
                },
            )
            if example is not None:
                self.board.example(session.iteration, example)
                self.board.flush()
        speed = (session.iteration - first) / max(training_seconds, 1e-9)
        z, y, x = session.sampler.patch
        self.on_progress(
            TrainingState(
                iteration=session.iteration,
                iterations=settings.iterations,
                loss=loss,
                running_loss=session.running_loss or loss,
                validation_loss=session.validation_loss,
                best_validation_loss=session.best_loss,
                learning_rate=rate,
                seconds=seconds,
                iterations_per_second=speed,
                voxels_per_second=speed * session.drawn * z * y * x,
                checkpoint=self.checkpoint.folder if saved and self.checkpoint is not None else None,
                example=example,
                skipped=self.skipped,
                scores=session.scores,
                best_scores=session.best_scores,
                scoring_seconds=self.scoring_seconds,
            )
        )

    def _scores(self) -> dict[str, Any]:
        began = time.perf_counter()
        scores = self.session.score()
        self.scoring_seconds += time.perf_counter() - began
        return scores.as_dict()

    def _save(self) -> None:
        self.log.sync()
        self.checkpoint = self.session.save(self.folder)
        self._link()
        prune(self.folder, self.settings.keep_checkpoints)

    def _link(self) -> None:
        """Let ``last`` and ``best`` lead to the newest good checkpoint and to the best of those that are there."""
        assert self.checkpoint is not None
        point(self.folder, LAST, self.checkpoint.folder)
        if self.session.best_iteration is not None:
            best = self.folder / f"{PREFIX}{self.session.best_iteration:08d}"
        else:
            best = self.checkpoint.folder
        if best.is_dir():
            point(self.folder, BEST, best)
