"""What a model is, for people and programs: how it was made, what it sees and says, how good it is, who may use it.

After Mitchell et al. 2019, Model Cards for Model Reporting (https://doi.org/10.1145/3287560.3287596).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from axonloom.bad_input import BadInputError
from axonloom.config.yaml_1_2 import parse_yaml
from axonloom.geometry import Zyx

CARD = "card.yaml"
FORMAT_VERSION = 1


class ModelError(BadInputError):
    """A model that is not there, damaged, or cannot be made, said in one sentence."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkFacts(_Closed):
    """The network.

    Attributes
    ----------
    architecture, parameters
        For :func:`axonloom.networks.registry.build`.
    weights : int
        Numbers that were learned, running means of normalisations included.
    patch, window : (z, y, x)
        Voxels seen at once in training, and proposed for inference.
    """

    architecture: str
    parameters: dict[str, Any]
    weights: int
    patch: Zyx
    window: Zyx


class ImageFacts(_Closed):
    """The images that it was made for.

    Attributes
    ----------
    dtype : str or None
    voxel_size : (z, y, x) floats or None
        Nanometres.
    mean, std : float
        The network sees (grey level - mean) / std.
    """

    dtype: str | None
    voxel_size: tuple[float, float, float] | None
    mean: float
    std: float


class OutputFacts(_Closed):
    """What it predicts: for :func:`axonloom.representations.representation.representation`, and its channels' names."""

    representation: str
    parameters: dict[str, Any]
    channels: tuple[str, ...]


class TrainingFacts(_Closed):
    """How it was trained.

    Attributes
    ----------
    iterations : int
    data : list of dict, or None
        The volumes: ``image``, ``labels``, ``shape``, and where there are some ``valid``, ``region``, ``held_out``, ``weight``; None
        where nobody noted it.
    running_loss, validation_loss : float or None
        At this iteration.
    best_validation_loss, best_iteration
        Of the whole training, as far as it had come.
    software : dict
        Versions of axonloom and torch that wrote the weights.
    """

    iterations: int
    data: list[dict[str, Any]] | None
    running_loss: float | None
    validation_loss: float | None
    best_validation_loss: float | None
    best_iteration: int | None
    software: dict[str, str]


class ModelCard(_Closed):
    """A model card.

    Attributes
    ----------
    name : str
    description, licence : str or None
        In words; of the licence rather its SPDX identifier.
    registered : str
        Date and time, ISO 8601, UTC.
    scores : dict
        What an evaluation found, such as ``voi`` and ``adapted_rand_error``.
    identity : str
        See :meth:`axonloom.networks.checkpoint.Checkpoint.identity`.
    files : dict
        sha256 (hex) by file name.
    """

    format_version: int = FORMAT_VERSION
    name: str
    description: str | None
    licence: str | None
    registered: str
    network: NetworkFacts
    images: ImageFacts
    output: OutputFacts
    training: TrainingFacts
    scores: dict[str, float]
    identity: str
    files: dict[str, str]

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def read_card(folder: Path) -> ModelCard:
    """The card in a model's folder.

    Raises
    ------
    ModelError
        There is none, a newer axonloom wrote it, or it was changed into something else.
    """
    path = folder / CARD
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"{folder} has no {CARD}: `axonloom models register` makes one") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise ModelError(f"{path} is no model card: it has no format_version")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{path} has format {version}, but this axonloom reads up to {FORMAT_VERSION}; install a newer one"
        )
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        finding = error.errors()[0]
        where = ".".join(str(part) for part in finding["loc"])
        raise ModelError(f"{path} is no whole model card: {where}: {finding['msg']}") from None
