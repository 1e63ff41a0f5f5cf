"""Networks from elsewhere, as whole programs: TorchScript files (.pt, .ts) and exported programs (.pt2)."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from axonloom.config.model import ModelSettings
from axonloom.lazy import lazy
from axonloom.networks.checkpoint import Checkpoint, CheckpointError, ModelDescription
from axonloom.networks.normalisation import Normalisation
from axonloom.representations.affinity import Affinity
from axonloom.representations.representation import Representation, representation

TORCHSCRIPT, EXPORTED = (".pt", ".ts", ".torchscript"), (".pt2",)
#: torch reads one exported program at a time in a process.
_READING = threading.Lock()


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A program in a file, with what a user says of it; is asked the same as a :class:`Checkpoint`.

    Attributes
    ----------
    folder : the file
    model : what the user says
    """

    folder: Path
    model: ModelSettings

    @lazy
    def description(self) -> ModelDescription:
        name, about = self._meaning()
        return ModelDescription(
            architecture="exported program" if self.folder.suffix in EXPORTED else "TorchScript",
            parameters={},
            representation=name,
            representation_parameters=about,
            channels=representation(name, **about).channels,
            normalisation=self.normalisation,
            voxel_size=None,
            patch=self.model.window,
            window=self.model.window,
            iteration=0,
        )

    @property
    def normalisation(self) -> Normalisation:
        return Normalisation(self.model.mean, self.model.std)

    def representation(self) -> Representation:
        name, about = self._meaning()
        return representation(name, **about)

    def _meaning(self) -> tuple[str, dict[str, Any]]:
        offsets = [list(offset) for offset in self.model.offsets]
        if self.model.activation == "sigmoid":
            return "affinity", {"offsets": offsets}
        names = list(Affinity(offsets).channels)
        return "channels", {"groups": [{"names": names, "offsets": offsets, "activation": self.model.activation}]}

    def identity(self) -> str:
        """sha256 of the file and of what is said of it."""
        digest = hashlib.sha256(self.model.model_dump_json().encode())
        digest.update(self.folder.read_bytes())
        return digest.hexdigest()

    def build_network(self) -> nn.Module:
        """The program on the CPU, in evaluation mode as it was saved."""
        try:
            if self.folder.suffix in EXPORTED:
                with _READING, _weights_only():
                    return _Callable(torch.export.load(self.folder).module())
            return torch.jit.load(self.folder, map_location="cpu").eval()
        # Whatever their readers raise for a file that is damaged, or something else.
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{self.folder} cannot be loaded as a network: {reason}") from error


@contextmanager
def _weights_only() -> Iterator[None]:
    """No pickled object is built from a file: reading an exported program would otherwise fall back to that, and run its code."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class _Callable(nn.Module):
    """An exported program is in the mode that it was exported in, and refuses to be asked for another."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self._held = [program]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._held[0](x)

    def _apply(self, fn: Any, recurse: bool = True) -> _Callable:
        self._held[0]._apply(fn, recurse)
        return self


def open_checkpoint(path: Path, model: ModelSettings | None) -> Checkpoint | ForeignCheckpoint:
    """A checkpoint folder, or a program of which ``model`` says the rest.

    Raises
    ------
    CheckpointError
        A file of another kind, or a program of which nothing is said.
    """
    if not path.is_file():
        return Checkpoint.open(path)
    if path.suffix not in (*TORCHSCRIPT, *EXPORTED):
        hint = (
            "give it with --pytc-config, which says what it is"
            if path.name.endswith((".pth.tar", ".pth"))
            else f"a network's file ends in {', '.join((*TORCHSCRIPT, *EXPORTED))}"
        )
        raise CheckpointError(f"{path} is a file, and a checkpoint of axonloom's is a folder; {hint}")
    if model is None:
        raise CheckpointError(
            f"{path} does not say what its channels mean: set infer.model, at least infer.model.window, such as "
            "infer.model.window=[64, 64, 64]"
        )
    return ForeignCheckpoint(path.resolve(), model)
