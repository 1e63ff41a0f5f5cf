"""A trained network on disk: one folder, written whole or not at all, that says what made it and checks itself.

    iteration_00000600/
        model.safetensors   the weights
        model.json          how to build the network, what its channels mean, which grey levels it expects, checksums
        training.pt         what training needs to go on as if it had not stopped (optimizer, random state)

The files are written into a hidden folder beside it and synced, then the folder is renamed and its parent synced: a folder
with the right name is complete. What happens to it later is found by the checksums.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from axonloom.bad_input import BadInputError
from axonloom.durable import sync_file, sync_folder
from axonloom.geometry import Zyx
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build
from axonloom.representations.representation import Representation, representation

FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION, TRAINING = "model.safetensors", "model.json", "training.pt"
PREFIX = "iteration_"
PARTIAL = ".partial_"


class CheckpointError(BadInputError):
    """A checkpoint that cannot be used, said in one sentence: which, why, and what would work."""


@dataclass(frozen=True)
class ModelDescription:
    """What, beside the weights, makes a prediction what it is, and where it came from.

    Attributes
    ----------
    architecture, parameters
        For :func:`axonloom.networks.registry.build`.
    representation, representation_parameters
        For :func:`axonloom.representations.representation.representation`.
    channels : tuple of str
        The names of the output's channels.
    normalisation : Normalisation
    voxel_size : (z, y, x) floats or None
        Nanometres of the training data.
    patch, window : (z, y, x)
        Voxels seen at once in training, and proposed for inference.
    iteration : int
    training_loss, validation_loss : float or None
        The first is a running mean.
    settings : dict
        The training settings, plain JSON.
    image_dtype : str or None
        Of the images that it was trained on; None where nobody noted it.
    scores : dict or None
        Of the last segmentation of what was held out: ``voi``, ``voi_split``, ``voi_merge`` (bits), ``adapted_rand_error``, and the
        ``threshold`` and ``iteration`` of it; None where none was made.
    """

    architecture: str
    parameters: dict[str, Any]
    representation: str
    representation_parameters: dict[str, Any]
    channels: tuple[str, ...]
    normalisation: Normalisation
    voxel_size: tuple[float, float, float] | None
    patch: Zyx
    window: Zyx
    iteration: int
    training_loss: float | None = None
    validation_loss: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    image_dtype: str | None = None
    scores: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps({**asdict(self), "normalisation": self.normalisation.to_dict()}))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ModelDescription:
        # What was added later may be missing; everything else must be there.
        later = ("image_dtype", "scores")
        values = {each.name: stored[each.name] for each in fields(cls) if each.name not in later}
        values |= {name: stored.get(name) for name in later}
        values["normalisation"] = Normalisation.from_dict(values["normalisation"])
        for name in ("channels", "voxel_size", "patch", "window"):
            values[name] = None if values[name] is None else tuple(values[name])
        return cls(**values)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint folder whose checksums were right when it was opened.

    Attributes
    ----------
    folder : Path
        Symbolic links resolved, so that it stays the same checkpoint when ``best`` moves on.
    description : ModelDescription
    weights_sha256 : str
    training_sha256 : str or None
        None where the checkpoint holds no state to continue training from.
    """

    folder: Path
    description: ModelDescription
    weights_sha256: str
    training_sha256: str | None

    @classmethod
    def open(cls, path: str | Path) -> Checkpoint:
        """The checkpoint in the folder ``path`` (or the link ``best`` or ``last`` to one), with its weights verified.

        Raises
        ------
        CheckpointError
            Not there, damaged, or of a newer format.
        """
        folder = Path(path).resolve()
        stored = _read_description(folder)
        checkpoint = cls(
            folder, ModelDescription.from_dict(stored), stored["weights_sha256"], stored["training_sha256"]
        )
        checkpoint._verified(WEIGHTS, checkpoint.weights_sha256)
        return checkpoint

    @property
    def iteration(self) -> int:
        return self.description.iteration

    @property
    def normalisation(self) -> Normalisation:
        return self.description.normalisation

    def representation(self) -> Representation:
        """What the channels mean, and the activation that turns logits into it."""
        return representation(self.description.representation, **self.description.representation_parameters)

    def weights(self) -> dict[str, Tensor]:
        """The network's state dict, on the CPU."""
        return safetensors.torch.load(self._verified(WEIGHTS, self.weights_sha256))

    def build_network(self) -> nn.Module:
        """A network with these weights, on the CPU, in evaluation mode; it returns logits."""
        network = build(self.description.architecture, **self.description.parameters)
        try:
            network.load_state_dict(self.weights())
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"the weights in {self.folder} do not fit network {self.description.architecture!r}: {reason}"
            ) from error
        return network.eval()

    def training_state(self) -> dict[str, Any]:
        """What :func:`write_checkpoint` was given as ``training``: tensors and plain containers."""
        if self.training_sha256 is None:
            raise CheckpointError(
                f"{self.folder} holds weights but no training state; start a new training from its weights instead"
            )
        content = self._verified(TRAINING, self.training_sha256)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    def verify(self) -> None:
        """Read every file again and compare checksums; raises CheckpointError."""
        self._verified(WEIGHTS, self.weights_sha256)
        if self.training_sha256 is not None:
            self._verified(TRAINING, self.training_sha256)

    def identity(self) -> str:
        """sha256 (hex) of all that decides a prediction: weights, architecture, normalisation, meaning of the channels.

        It does not change with the iteration's losses or with the versions of the software that wrote the files.
        """
        about = self.description.to_dict()
        decisive = ("architecture", "parameters", "representation", "representation_parameters", "normalisation")
        return _sha256(_canonical({"weights": self.weights_sha256, **{name: about[name] for name in decisive}}))

    def _verified(self, name: str, expected: str) -> bytes:
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {self.folder} lacks {name} ({error.strerror}); use another one"
            ) from error
        if _sha256(content) != expected:
            raise CheckpointError(
                f"checkpoint {self.folder} is damaged: {name} does not match its checksum; use another one or copy it again"
            )
        return content


def write_checkpoint(
    parent: str | Path,
    description: ModelDescription,
    weights: Mapping[str, Tensor],
    training: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Write ``parent/iteration_<number>``; when this returns, it is whole and on disk.

    Parameters
    ----------
    parent : path
        Made if missing. A checkpoint of the same iteration there is replaced.
    weights : state dict
        On any device, in any memory format.
    training : dict, optional
        Tensors, numbers, strings, and lists, tuples and dicts of them.
    """
    import axonloom

    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    files = {WEIGHTS: safetensors.torch.save(contiguous)}
    if training is not None:
        buffer = io.BytesIO()
        torch.save(dict(training), buffer)
        files[TRAINING] = buffer.getvalue()
    about = {
        "format_version": FORMAT_VERSION,
        **description.to_dict(),
        "axonloom_version": axonloom.__version__,
        "torch_version": str(torch.__version__),
        "weights_sha256": _sha256(files[WEIGHTS]),
        "training_sha256": _sha256(files[TRAINING]) if training is not None else None,
    }
    about["description_sha256"] = _sha256(_canonical(about))
    files[DESCRIPTION] = (json.dumps(about, indent=2) + "\n").encode()

    partial = parent / f"{PARTIAL}{uuid.uuid4().hex}"
    partial.mkdir()
    for name, content in files.items():
        (partial / name).write_bytes(content)
        sync_file(partial / name)
    sync_folder(partial)
    final = parent / f"{PREFIX}{description.iteration:08d}"
    if final.exists():
        # A folder cannot be renamed onto a full one. Dying between the two renames loses this iteration only.
        replaced = parent / f"{PARTIAL}{uuid.uuid4().hex}"
        final.rename(replaced)
        partial.rename(final)
        shutil.rmtree(replaced)
    else:
        partial.rename(final)
    sync_folder(parent)
    return Checkpoint(final.resolve(), description, about["weights_sha256"], about["training_sha256"])


def copy_weights(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the checkpoint into ``folder``, without the state for training on; the weights byte for byte, nothing synced.

    What it says of the software that wrote it stays.

    Raises
    ------
    CheckpointError
        It was damaged since it was opened.
    """
    about = _read_description(checkpoint.folder)
    about["training_sha256"] = None
    about["description_sha256"] = _sha256(_canonical(about))
    (folder / WEIGHTS).write_bytes(checkpoint._verified(WEIGHTS, checkpoint.weights_sha256))
    (folder / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n")


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        if not folder.exists():
            raise CheckpointError(f"{folder} does not exist: name a checkpoint (`axonloom train` makes them)") from None
        inside = sorted(each.name for each in folder.glob("*/") if (each / DESCRIPTION).exists())
        hint = (
            f"it holds checkpoints: name one, as in {folder / inside[-1]}"
            if inside
            else "give a folder that holds one (`axonloom train` makes them)"
        )
        raise CheckpointError(f"{folder} is no checkpoint (it has no {DESCRIPTION}); {hint}") from None
    except NotADirectoryError:
        raise CheckpointError(f"{folder} is a file: a checkpoint is a folder that `axonloom train` made") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {DESCRIPTION} cannot be read ({error})") from error
    version = stored.get("format_version") if isinstance(stored, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"checkpoint {folder} is damaged: {DESCRIPTION} has no format_version")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {folder} has format {version}, but this axonloom reads up to {FORMAT_VERSION}; install a newer one"
        )
    expected = stored.pop("description_sha256", None)
    if _sha256(_canonical(stored)) != expected:
        raise CheckpointError(f"checkpoint {folder} is damaged: {DESCRIPTION} does not match its checksum")
    return stored


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
