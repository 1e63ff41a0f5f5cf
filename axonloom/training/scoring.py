"""How well the network segments what is held out: predicted as inference does it, and decoded by axonloom's own chain.

A network's loss and what becomes of its affinities need not agree: a thin gap in a membrane costs no loss to speak of, and joins two
neurons. So a checkpoint can be chosen by the segmentation itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from axonloom.config.train import TrainSettings
from axonloom.evaluation.decoded import decoded_scores
from axonloom.evaluation.report import Scores
from axonloom.geometry import Box, Zyx
from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor
from axonloom.representations.nearest import nearest_channels
from axonloom.training.errors import TrainingError
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.sampling import Sampler
from axonloom.volumes import CroppedVolume

Figure = Literal["voi", "adapted_rand"]


@dataclass(frozen=True)
class SegmentationScores:
    """The segmentation of what is held out, at the best threshold.

    Attributes
    ----------
    iteration : int
        After which it was made.
    threshold : str
        Merge threshold, 0..1.
    voi_split, voi_merge : float
        Bits, 0 at best. Over several parts the mean, weighted by their labelled voxels.
    adapted_rand_error : float
        0..1, 0 at best; the mean alike.
    """

    iteration: int
    threshold: str
    voi_split: float
    voi_merge: float
    adapted_rand_error: float

    @property
    def voi(self) -> float:
        return self.voi_split + self.voi_merge

    def figure(self, by: Figure) -> float:
        """The number that says which checkpoint is better: the lower."""
        return self.voi if by == "voi" else self.adapted_rand_error

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, ``voi`` included."""
        return {"voi": self.voi, **asdict(self)}


class SegmentationScoring:
    """Segments and scores parts of what is held out.

    Parameters
    ----------
    settings : TrainSettings
        ``best_by`` is ``voi`` or ``adapted_rand``.
    sampler : Sampler
    window : (z, y, x)
        Voxels that inference feeds to the network at once; half of it is the stride.
    device : torch.device
    layout : torch.memory_format
        Of the network.

    Raises
    ------
    TrainingError
        The network predicts no affinities, nothing is held out, or no voxel of a part is labelled.
    """

    def __init__(
        self,
        settings: TrainSettings,
        sampler: Sampler,
        window: Zyx,
        device: torch.device,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.by: Figure = cast(Figure, settings.best_by)
        self.settings = settings.scoring
        self.kind, self.normalisation = sampler.representation, sampler.normalisation
        channels = nearest_channels(self.kind)
        if channels is None:
            raise TrainingError(
                f"train.best_by {self.by} segments affinities to the voxels before along z, y and x, and this network predicts "
                f"{', '.join(self.kind.channels)}: use best_by loss, or put {{kind: affinity}} among train.targets"
            )
        self.channels = channels
        self.window, self.device, self.layout = window, device, layout
        kept = [volume for volume in sampler.volumes if volume.held_out is not None]
        if not kept:
            raise TrainingError(
                f"train.best_by {self.by} scores what is held out, and nothing is: set train.validation.volumes, or a region "
                "or fraction there"
            )
        # Whole volumes first: they were brought for it.
        kept.sort(key=lambda volume: not volume.only_validates)
        self.parts = [_Part.of(volume, self.settings.region) for volume in kept[: self.settings.parts]]

    def scores(self, network: nn.Module, iteration: int) -> SegmentationScores:
        """Predict, segment and score all parts; the network is left in evaluation mode."""
        found: list[dict[Decimal, Scores]] = []
        with _switches_kept():
            predictor = Predictor(
                network,
                normalisation=self.normalisation,
                activation=self.kind.activation,
                threads=torch.get_num_threads(),
                device=str(self.device),
                channels=len(self.kind.channels),
                layout=self.layout,
            )
            for part in self.parts:
                affinities = part.predicted(predictor, self.window)[list(self.channels)]
                found.append(
                    decoded_scores(
                        affinities,
                        part.labels,
                        self.settings.thresholds,
                        low=self.settings.low,
                        high=self.settings.high,
                        absorb=self.settings.absorb,
                        score=self.settings.score,
                    )
                )
        at = [_mean([scores[t] for scores in found], t, iteration) for t in self.settings.thresholds]
        return min(at, key=lambda each: each.figure(self.by))


@dataclass(frozen=True)
class _Part:
    """A box of a held-out part, as a volume of its own, and its labels: 0 where they are not valid."""

    image: CroppedVolume
    labels: np.ndarray

    @classmethod
    def of(cls, volume: LabelledVolume, most: Zyx) -> _Part:
        """The middle of what is held out, of at most so many voxels (z, y, x)."""
        whole = cast(Box, volume.held_out)
        shape = [min(n, m) for n, m in zip(whole.shape, most, strict=True)]
        start = [o + (n - s) // 2 for o, n, s in zip(whole.origin, whole.shape, shape, strict=True)]
        box = Box(start=start, size=shape)
        labels = volume.labels.read(box)
        if labels.dtype.kind == "i":
            labels = np.maximum(labels, 0)
        if volume.valid is not None:
            labels = np.where(volume.valid.read(box) != 0, labels, 0)
        if not labels.any():
            raise TrainingError(
                f"{volume.labels.uri} has no valid labelled voxel in {box}, the part that is scored: hold out another part, "
                "or set a larger train.scoring.region"
            )
        return cls(CroppedVolume(volume.image, box), labels)

    def predicted(self, predictor: Predictor, window: Zyx) -> np.ndarray:
        """What inference would store of it: uint8 (c, z, y, x)."""
        z, y, x = (max(1, n // 2) for n in window)
        lattice = WindowLattice(self.image.shape, window, (z, y, x))
        return predict_block(self.image, self.image.box, lattice, predictor, skip_blank=True).values


def _mean(scores: Sequence[Scores], threshold: Decimal, iteration: int) -> SegmentationScores:
    # For VOI this is what one table of all parts gives: its halves are means over voxels.
    weights = [each.voxels_scored for each in scores]

    def mean(name: str) -> float:
        values = [getattr(each, name) for each in scores]
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    return SegmentationScores(
        iteration, str(threshold), mean("voi_split"), mean("voi_merge"), mean("adapted_rand_error")
    )


@contextmanager
def _switches_kept() -> Iterator[None]:
    """Put torch's switches back that a predictor on a GPU sets for the whole process: training has others."""
    strict, only_warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=only_warns)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before[:2]
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[2:]
