"""One process's part of a training: the network and its optimizer, how they step, and how they are saved and restored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from axonloom.config.train import TrainSettings
from axonloom.networks.checkpoint import Checkpoint, ModelDescription, write_checkpoint
from axonloom.networks.layers import laid_out
from axonloom.networks.registry import build
from axonloom.training.average import WeightAverage
from axonloom.training.errors import TrainingError
from axonloom.training.example import Example
from axonloom.training.mixing import mixed_loss
from axonloom.training.network import chosen_network
from axonloom.training.optimizer import make_optimizer, set_learning_rate
from axonloom.training.sampling import Sample, Sampler
from axonloom.training.schedule import Plateau, learning_rate
from axonloom.training.scoring import SegmentationScores, SegmentationScoring

SMOOTHING = 0.98  # of the running loss, per iteration
# Settings that may change between stretches: they decide how long and how fast, not what is learned at an iteration.
FREE = {
    "iterations", "patience", "checkpoint_every", "keep_checkpoints", "threads", "loaders", "cache", "device", "tensorboard",
}  # fmt: skip


class Session:
    """A network in training.

    Parameters
    ----------
    settings : TrainSettings
    sampler : Sampler
    device : torch.device
    start : Checkpoint or None
        Begin with its weights (not its optimizer).
    """

    def __init__(
        self, settings: TrainSettings, sampler: Sampler, device: torch.device, start: Checkpoint | None = None
    ) -> None:
        self.settings = settings
        self.sampler = sampler
        self.device = device
        self.iteration = 0
        self.running_loss: float | None = None
        self.validation_loss: float | None = None
        self.best_loss: float | None = None
        self.scores: SegmentationScores | None = None
        self.best_scores: SegmentationScores | None = None
        self.best_iteration: int | None = None
        chosen = chosen_network(settings)
        self.architecture = chosen.architecture
        self.window = chosen.window
        self.parameters = {
            **chosen.parameters,
            "in_channels": sampler.volumes[0].image.channels or 1,
            "out_channels": len(sampler.representation.channels),
        }
        torch.manual_seed(settings.seed)
        network = build(self.architecture, **self.parameters)
        if start is not None:
            if (start.description.architecture, start.description.parameters) != (self.architecture, self.parameters):
                named = "train.network" if settings.network is not None else f"preset {settings.preset!r}"
                raise TrainingError(
                    f"{start.folder} holds another network than {named} with "
                    f"{self.parameters['in_channels']} input and {self.parameters['out_channels']} output channels; "
                    "choose the one that it was trained with"
                )
            network.load_state_dict(start.weights())
        # A CPU convolves faster where the channels of a voxel lie together: 1.25 to 1.4 times the iterations of "small".
        self.layout = torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format
        self.network = laid_out(network.to(device), self.layout)
        self.optimizer = make_optimizer(self.network, settings)
        if settings.precision == "float16" and device.type != "cuda":
            raise TrainingError("train.precision float16 is a GPU's; on a CPU use float32 or bfloat16")
        # Gradients of float16 vanish unless the loss is scaled up; where they overflow instead, a step is left out.
        self.scaler = torch.amp.GradScaler(device.type) if settings.precision == "float16" else None
        self.plateau = Plateau(settings.schedule.patience)
        self.average = WeightAverage(self.network, settings.average) if settings.average.kind != "none" else None
        self.scoring = (
            SegmentationScoring(settings, sampler, self.window, device, self.layout)
            if settings.best_by != "loss"
            else None
        )
        self._validation: list[Sample] | None = None
        self._example: Sample | None = None

    @property
    def drawn(self) -> int:
        """Samples of one iteration."""
        return self.settings.batch * self.settings.accumulate

    @property
    def judged_network(self) -> nn.Module:
        """What is validated and saved: the averaged weights, where there are some."""
        return self.network if self.average is None else self.average.network

    @property
    def out_of_patience(self) -> bool:
        """Whether the last validations (or scorings) in a row were without a better figure."""
        patience, best = self.settings.patience, self.best_iteration
        if patience is None or best is None:
            return False
        every = self.settings.validation.every * (self.settings.scoring.every if self.scoring is not None else 1)
        return self.iteration // every - best // every >= patience

    @property
    def is_to_be_scored(self) -> bool:
        """Whether the validation after this iteration is one that scores the segmentation too."""
        number = self.iteration // self.settings.validation.every
        at_end = self.iteration == self.settings.iterations
        return self.scoring is not None and (at_end or number % self.settings.scoring.every == 0)

    def step(self, samples: Sequence[Sample]) -> float:
        """One iteration; returns its loss.

        Raises
        ------
        TrainingError
            The loss or its gradient is not a finite number: nothing was changed, and the samples are named.
        """
        rate = learning_rate(
            self.iteration,
            highest=self.settings.learning_rate,
            warmup=self.settings.warmup,
            iterations=self.settings.iterations,
            schedule=self.settings.schedule,
            falls=self.plateau.falls,
        )
        set_learning_rate(self.optimizer, rate)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        value, seen = 0.0, []
        batches = [samples[k : k + self.settings.batch] for k in range(0, len(samples), self.settings.batch)]
        for batch in batches:
            logits, loss = self._judged(batch, self.network)
            scaled = loss / len(batches)
            (scaled if self.scaler is None else self.scaler.scale(scaled)).backward()
            value += float(loss.detach()) / len(batches)
            seen.extend(logits.detach())
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        length = nn.utils.get_total_norm(gradients)
        finite = bool(torch.isfinite(length))
        if not np.isfinite(value) or not (finite or self.scaler is not None):
            raise TrainingError(self._blame(samples, seen, value))
        if self.settings.gradient_value is not None:
            nn.utils.clip_grad_value_(self.network.parameters(), self.settings.gradient_value)
            length = nn.utils.get_total_norm(gradients)
        if self.settings.gradient_norm is not None:
            nn.utils.clip_grads_with_norm_(self.network.parameters(), self.settings.gradient_norm, length)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.iteration += 1
        previous = value if self.running_loss is None else self.running_loss
        self.running_loss = SMOOTHING * previous + (1 - SMOOTHING) * value
        self.plateau.see(self.running_loss)
        if self.average is not None:
            self.average.update(self.iteration)
        return value

    def validate(self) -> float:
        """Mean loss over the held-out crops, with the network as inference will use it."""
        if self._validation is None:
            self._validation = [self.sampler.validation_sample(i) for i in range(self.settings.validation.crops)]
        network = self.judged_network.eval()
        with torch.no_grad():
            losses = [float(self._judged([sample], network)[1]) for sample in self._validation]
        self.validation_loss = sum(losses) / len(losses)
        if self.best_loss is None or self.validation_loss < self.best_loss:
            self.best_loss = self.validation_loss
            if self.scoring is None:
                self.best_iteration = self.iteration
        return self.validation_loss

    def score(self) -> SegmentationScores:
        """Segment and score what is held out, with the network as inference will use it; ``best_by`` is not loss."""
        assert self.scoring is not None
        self.scores = self.scoring.scores(self.judged_network, self.iteration)
        by = self.scoring.by
        if self.best_scores is None or self.scores.figure(by) < self.best_scores.figure(by):
            self.best_scores, self.best_iteration = self.scores, self.iteration
        return self.scores

    def example(self) -> Example:
        """The middle of a held-out sample, where something is held out, with what the network says of it now."""
        if self._example is None:
            held_out = any(volume.held_out is not None for volume in self.sampler.volumes)
            self._example = self.sampler.validation_sample(0) if held_out else self.sampler.sample(0)
        sample = self._example
        with torch.no_grad():
            logits = self._logits([sample], self.judged_network.eval())
        kind, middle = self.sampler.representation, sample.image.shape[1] // 2
        prediction = kind.activation(logits)[0, :, middle].float().cpu().numpy()
        return Example(sample.image[0, middle], sample.target[:, middle], prediction, kind.channels)

    def save(self, folder: Path) -> Checkpoint:
        """Write a checkpoint of this iteration."""
        kind = self.sampler.representation
        description = ModelDescription(
            architecture=self.architecture,
            parameters=self.parameters,
            representation=kind.name,
            representation_parameters=kind.parameters(),
            channels=kind.channels,
            normalisation=self.sampler.normalisation,
            voxel_size=self.sampler.volumes[0].image.voxel_size,
            patch=self.sampler.patch,
            window=self.window,
            iteration=self.iteration,
            training_loss=self.running_loss,
            validation_loss=self.validation_loss,
            settings=self.settings.model_dump(mode="json"),
            image_dtype=str(self.sampler.volumes[0].image.dtype),
            scores=self.scores.as_dict() if self.scores is not None else None,
        )
        state = {
            "iteration": self.iteration,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "running_loss": self.running_loss,
            "validation_loss": self.validation_loss,
            "best_loss": self.best_loss,
            "best_iteration": self.best_iteration,
            "scores": asdict(self.scores) if self.scores is not None else None,
            "best_scores": asdict(self.best_scores) if self.best_scores is not None else None,
            "plateau": self.plateau.state(),
            "data": self._data(),
            "sources": [volume.source() for volume in self.sampler.volumes],
            **({"scaler": self.scaler.state_dict()} if self.scaler is not None else {}),
        }
        if self.average is not None:
            state["averaged"] = self.average.count
            state["network"] = self.network.state_dict()
        return write_checkpoint(folder, description, self.judged_network.state_dict(), state)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint that :meth:`save` wrote, as if nothing had happened in between.

        Raises
        ------
        TrainingError
            It was made with other settings or data.
        """
        self._require_same(checkpoint)
        state = checkpoint.training_state()
        weights = checkpoint.weights()
        if self.average is not None:
            self.average.restore(state["averaged"], weights)
            weights = state["network"]
        self.network.load_state_dict(weights)
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.restore(state["plateau"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        self.iteration = state["iteration"]
        self.running_loss = state["running_loss"]
        self.validation_loss = state["validation_loss"]
        self.best_loss = state["best_loss"]
        self.best_iteration = state["best_iteration"]
        self.scores, self.best_scores = (
            SegmentationScores(**state[name]) if state.get(name) is not None else None
            for name in ("scores", "best_scores")
        )

    def _data(self) -> str:
        """What the samples come from, for telling other data from the same."""
        return json.dumps([volume.identity() for volume in self.sampler.volumes], sort_keys=True)

    def _require_same(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.training_state()
        if "plateau" not in state:
            raise TrainingError(
                f"{checkpoint.folder} was made by an older axonloom, which trained in another way: train in another workspace, "
                "with train.start_from to go on from its weights"
            )
        before, now = _completed(checkpoint.description.settings), self.settings.model_dump(mode="json")
        changed = [name for name in now if name not in FREE and before.get(name) != now[name]]
        if changed:
            raise TrainingError(
                f"{checkpoint.folder} was trained with {changed[0]} = {before.get(changed[0])}, not {now[changed[0]]}; "
                "train in another workspace, with train.start_from to go on from its weights"
            )
        if state["data"] != self._data():
            raise TrainingError(
                f"{checkpoint.folder} was trained on other data (files, regions or weights differ): train in another "
                "workspace, with train.start_from to go on from its weights"
            )

    def _judged(self, samples: Sequence[Sample], network: nn.Module) -> tuple[Tensor, Tensor]:
        """What the network says of the samples, and its loss."""
        logits = self._logits(samples, network)
        target, weight = (self._stacked(samples, name) for name in ("target", "weight"))
        return logits, mixed_loss(self.sampler.representation.loss, samples, logits, target, weight)

    def _logits(self, samples: Sequence[Sample], network: nn.Module) -> Tensor:
        image = self._stacked(samples, "image").contiguous(memory_format=self.layout)
        precision = self.settings.precision
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float16
        with torch.autocast(self.device.type, dtype=kind, enabled=precision != "float32"):
            logits = network(image)
        return logits.float()

    def _stacked(self, samples: Sequence[Sample], name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sample, name) for sample in samples])).to(self.device)

    def _blame(self, samples: Sequence[Sample], logits: Sequence[Tensor], loss: float) -> str:
        """Which sample made the loss useless, if one can be told from the others."""
        # Batch normalisation carries a broken voxel into the other samples' logits, so the images are asked first.
        guilty = [sample for sample in samples if not np.isfinite(sample.image).all()]
        guilty = guilty or [s for s, own in zip(samples, logits, strict=True) if not bool(torch.isfinite(own).all())]
        guilty = guilty or list(samples)
        named = "; ".join(
            f"sample {each.index}, {each.crop.box} of {self.sampler.volumes[each.crop.volume].image.uri}"
            for sample in guilty
            for each in (sample, sample.other)
            if each is not None
        )
        return (
            f"the loss or its gradient is not a finite number at iteration {self.iteration} (loss {loss}): {named}; look "
            "for broken voxels there, or lower learning_rate; the last checkpoint is as it was"
        )


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Stored settings with what a later axonloom has added: its defaults change nothing of what is trained."""
    try:
        return TrainSettings.model_validate(settings).model_dump(mode="json")
    except ValidationError:
        return settings
