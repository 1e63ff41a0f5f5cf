"""A registered model as a file or folder that may be given away."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from axonloom.durable import replacing
from axonloom.models.card import CARD, ModelError
from axonloom.models.markdown import as_markdown
from axonloom.models.registry import RegisteredModel
from axonloom.models.whole_folder import whole_folder
from axonloom.networks.checkpoint import Checkpoint
from axonloom.pytc.export import export_checkpoint
from axonloom.representations.affinity import Affinity

README = "README.md"


def export_model(model: RegisteredModel, path: Path, format: str) -> str | None:
    """Write a model to ``path``, whole or not at all; returns what a user of it has to know, if anything.

    Parameters
    ----------
    format : {'axonloom', 'pytc', 'torchscript'}
        A folder with the checkpoint, its card and the card as Markdown; PyTorch Connectomics v1's ``.pth.tar``; or a program
        that needs no axonloom, which takes normalised float32 (n, c, z, y, x) and gives logits.

    Raises
    ------
    ModelError
        There is no such format, something is at ``path``, its name does not end as it must, or a file of the model is damaged.
    PytcError
        PyTorch Connectomics has no such network.
    """
    if format not in FORMATS:
        raise ModelError(f"--format is one of {', '.join(FORMATS)}, not {format!r}")
    ending, write = FORMATS[format]
    if ending is not None and not path.name.endswith(ending):
        raise ModelError(f"{path}: a model exported as {format} is a file whose name ends in {ending}")
    if path.exists():
        raise ModelError(f"{path} exists: name another place")
    found = model.damage()
    if found:
        raise ModelError("; ".join(found))
    return write(model, path)


def _as_folder(model: RegisteredModel, path: Path) -> None:
    try:
        with whole_folder(path) as folder:
            for name in (CARD, *model.card.files):
                shutil.copyfile(model.folder / name, folder / name)
            (folder / README).write_text(as_markdown(model.card), encoding="utf-8")
    except FileExistsError:
        raise ModelError(f"{path} exists: name another place") from None


def _as_pytc(model: RegisteredModel, path: Path) -> None:
    export_checkpoint(model.checkpoint(), path)


def _as_torchscript(model: RegisteredModel, path: Path) -> str:
    checkpoint = model.checkpoint()
    about = checkpoint.description
    example = torch.zeros(1, int(about.parameters.get("in_channels", 1)), *about.window)
    network = checkpoint.build_network()
    with warnings.catch_warnings(), torch.no_grad():
        # Sizes are compared with numbers while the network runs; and torch recommends another format, which axonloom reads as well.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.trace(network, example)
        with replacing(path) as temporary:
            torch.jit.save(program, temporary)
    return _how_to_use(checkpoint)


def _how_to_use(checkpoint: Checkpoint) -> str:
    """What ``infer.model`` has to say of the program."""
    kind, about = checkpoint.representation(), checkpoint.description
    window = list(about.window)
    if not isinstance(kind, Affinity):
        return (
            f"it takes windows of {window} voxels, (grey level - {about.normalisation.mean:g}) / {about.normalisation.std:g}, and gives "
            f"logits of {', '.join(about.channels)}"
        )
    said: dict[str, Any] = {
        "window": window,
        "offsets": [list(offset) for offset in kind.offsets],
        "activation": "sigmoid",
        "mean": about.normalisation.mean,
        "std": about.normalisation.std,
    }
    return "use it with infer.model: {" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}"


#: By name: how the path ends, where it must, and what writes it.
FORMATS: dict[str, tuple[str | None, Callable[[RegisteredModel, Path], str | None]]] = {
    "axonloom": (None, _as_folder),
    "pytc": (".pth.tar", _as_pytc),
    "torchscript": (".pt", _as_torchscript),
}
