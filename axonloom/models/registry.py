"""Models by name, each in a folder of its own, whole or not there:

    models/
      fib25-small/
        card.yaml           what it is, for people
        model.safetensors   the weights
        model.json          how to build the network (axonloom/networks/checkpoint.py)

The folder of a model is a checkpoint without the state for training on. Nothing here is imported that takes seconds: also a
configuration that names no model is looked through.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path

from axonloom.models.card import (
    CARD,
    ImageFacts,
    ModelCard,
    ModelError,
    NetworkFacts,
    OutputFacts,
    TrainingFacts,
    read_card,
)
from axonloom.models.whole_folder import whole_folder

if TYPE_CHECKING:
    from axonloom.networks.checkpoint import Checkpoint

#: Names the folder of models; without it they lie in the user's data folder.
VARIABLE = "AXONLOOM_MODELS"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RegisteredModel:
    """A model and its card."""

    folder: Path
    card: ModelCard

    @property
    def bytes(self) -> int:
        """On disk."""
        return sum(each.stat().st_size for each in self.folder.iterdir())

    def damage(self) -> list[str]:
        """Reads all files; a sentence for each that is not as it was when the model was registered."""
        found = []
        for name, expected in self.card.files.items():
            path = self.folder / name
            if not path.is_file():
                found.append(f"{path} is missing")
            elif (sha256 := file_sha256(path)) != expected:
                found.append(f"{path} is not what was registered: its sha256 is {sha256}, and the card says {expected}")
        return found

    def checkpoint(self) -> Checkpoint:
        """The model, with its weights verified; raises CheckpointError."""
        from axonloom.networks.checkpoint import Checkpoint

        return Checkpoint.open(self.folder)


@dataclass(frozen=True)
class ModelRegistry:
    """A folder of models.

    Attributes
    ----------
    folder : Path
        Need not be there.
    """

    folder: Path

    @classmethod
    def of_user(cls) -> ModelRegistry:
        """The folder that ``AXONLOOM_MODELS`` names, else ``models`` in axonloom's part of the user's data folder."""
        given = os.environ.get(VARIABLE)
        return cls(Path(given).expanduser().absolute() if given else user_data_path("axonloom") / "models")

    def names(self) -> list[str]:
        """Models that are there, sorted, damaged ones included."""
        if not self.folder.is_dir():
            return []
        return sorted(each.name for each in self.folder.iterdir() if self.has(each.name))

    def has(self, name: str) -> bool:
        return _NAME.fullmatch(name) is not None and (self.folder / name / CARD).is_file()

    def get(self, name: str) -> RegisteredModel:
        """The model called ``name``.

        Raises
        ------
        ModelError
            None is called so (those that are there are named), or its card cannot be read.
        """
        if not self.has(name):
            there = ", ".join(self.names())
            hint = f"there are {there}" if there else "there is none yet, `axonloom models register` makes one"
            raise ModelError(f"no model {name!r} in {self.folder}; {hint} ({VARIABLE} names another folder)")
        return RegisteredModel(self.folder / name, read_card(self.folder / name))

    def register(
        self,
        path: str | Path,
        name: str,
        *,
        description: str | None = None,
        licence: str | None = None,
        scores: Mapping[str, float] | None = None,
        replace: bool = False,
    ) -> RegisteredModel:
        """Copy a checkpoint here, with a card.

        What a card that lies beside the checkpoint says of description, licence, training data and scores is taken over, where
        nothing else is given: an exported model brings its own.

        Parameters
        ----------
        path
            A checkpoint folder, the link ``best`` or ``last`` to one, or an exported model.
        name : str
            Letters, digits, dots, dashes and underscores.
        replace : bool
            Whether a model of that name may be there, and goes.

        Raises
        ------
        ModelError
            The name cannot be one, or is taken.
        CheckpointError
            There is no whole checkpoint.
        """
        if _NAME.fullmatch(name) is None:
            raise ModelError(
                f"{name!r} cannot be a model's name: letters, digits, dots, dashes and underscores, at most 100, no dot first"
            )
        target = self.folder / name
        if target.exists() and not replace:
            raise ModelError(_taken(name, self.folder))
        # Only here: torch takes seconds to import.
        from axonloom.networks.checkpoint import Checkpoint, copy_weights

        checkpoint = Checkpoint.open(path)
        before = read_card(checkpoint.folder) if (checkpoint.folder / CARD).is_file() else None
        try:
            with whole_folder(target, replace=replace) as folder:
                copy_weights(checkpoint, folder)
                card = ModelCard(
                    name=name,
                    description=description or (before.description if before is not None else None),
                    licence=licence or (before.licence if before is not None else None),
                    registered=datetime.now(UTC).isoformat(timespec="seconds"),
                    network=_network_facts(checkpoint),
                    images=_image_facts(checkpoint),
                    output=_output_facts(checkpoint),
                    training=before.training if before is not None else _training_facts(checkpoint, folder),
                    scores=dict(scores or (before.scores if before is not None else {})),
                    identity=checkpoint.identity(),
                    files={each.name: file_sha256(each) for each in sorted(folder.iterdir())},
                )
                (folder / CARD).write_text(card.to_yaml(), encoding="utf-8")
        except FileExistsError:
            raise ModelError(_taken(name, self.folder)) from None
        return RegisteredModel(target, card)


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_AT_ONCE):
            digest.update(piece)
    return digest.hexdigest()


def _taken(name: str, folder: Path) -> str:
    return f"there is a model {name!r} in {folder} already: choose another name, or say --replace"


def _network_facts(checkpoint: Checkpoint) -> NetworkFacts:
    about = checkpoint.description
    return NetworkFacts(
        architecture=about.architecture,
        parameters=about.to_dict()["parameters"],
        weights=sum(prod(each.shape) for each in checkpoint.weights().values()),
        patch=about.patch,
        window=about.window,
    )


def _image_facts(checkpoint: Checkpoint) -> ImageFacts:
    about = checkpoint.description
    return ImageFacts(
        dtype=about.image_dtype,
        voxel_size=about.voxel_size,
        mean=about.normalisation.mean,
        std=about.normalisation.std,
    )


def _output_facts(checkpoint: Checkpoint) -> OutputFacts:
    about = checkpoint.description
    return OutputFacts(
        representation=about.representation,
        parameters=about.to_dict()["representation_parameters"],
        channels=about.channels,
    )


def _training_facts(checkpoint: Checkpoint, copy: Path) -> TrainingFacts:
    from axonloom.networks.checkpoint import DESCRIPTION

    about = checkpoint.description
    state: dict[str, Any] = checkpoint.training_state() if checkpoint.training_sha256 is not None else {}
    stored = json.loads((copy / DESCRIPTION).read_bytes())
    return TrainingFacts(
        iterations=about.iteration,
        data=state.get("sources"),
        running_loss=about.training_loss,
        validation_loss=about.validation_loss,
        best_validation_loss=state.get("best_loss"),
        best_iteration=state.get("best_iteration"),
        software={"axonloom": stored["axonloom_version"], "torch": stored["torch_version"]},
    )
