"""A checkpoint of PyTorch Connectomics v1 (``.pth.tar``) as one of axonloom's own."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axonloom.networks.checkpoint import PREFIX, Checkpoint, CheckpointError, ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.pytc import build_network, network_parameters
from axonloom.provenance import fingerprint
from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.targets import channel_groups
from axonloom.volumes.identity import file_identity


def read_weights(path: Path) -> tuple[dict[str, Tensor], int]:
    """State dict (on the CPU, without ``module.``) and iteration of a checkpoint. No code in it is run.

    Raises
    ------
    PytcError
        It is not there, damaged, or holds more than weights.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise PytcError(f"{path} does not exist: name a checkpoint (.pth.tar)") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise PytcError(
            f"{path} is damaged, or no checkpoint of weights alone: {(str(error) or 'it is empty').splitlines()[0]}"
        ) from None
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise PytcError(f"{path} is no checkpoint of PyTorch Connectomics: it holds no state_dict")
    weights = {str(key).removeprefix("module."): value for key, value in state.items() if key != "n_averaged"}
    iteration = content.get("iteration")
    return weights, int(iteration) if isinstance(iteration, int) else 0


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """A sentence for each tensor that is missing, unexpected, or of another shape."""
    lines = [f"{key} is missing" for key in expected if key not in found]
    lines += [f"{key} is not of this network" for key in found if key not in expected]
    lines += [
        f"{key} is {tuple(found[key].shape)} and should be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    return lines


def import_checkpoint(path: Path, configuration: PytcConfiguration, folder: Path) -> Checkpoint:
    """``path`` as a checkpoint of axonloom's below ``folder``; the weights are the same.

    Each checkpoint and meaning has a place of its own and is written there once, so that nothing is changed that somebody reads.

    Raises
    ------
    PytcError
        It cannot be read, or does not fit the network of the configuration: every tensor that differs is named.
    """
    weights, iteration = read_weights(path)
    isotropic = bool(configuration["DATASET"]["IS_ISOTROPIC"])
    architecture, parameters = network_parameters(configuration["MODEL"], isotropic=isotropic)
    found = differences(weights, build_network(configuration["MODEL"], isotropic=isotropic).state_dict())
    if found:
        more = f"; and {len(found) - 12} more" if len(found) > 12 else ""
        raise PytcError(f"{path} does not fit the network of MODEL: {'; '.join(found[:12])}{more}")
    meaning, about = _meaning(configuration)
    window = tuple(configuration["MODEL"]["INPUT_SIZE"])
    description = ModelDescription(
        architecture=architecture,
        parameters=parameters,
        representation=meaning,
        representation_parameters=about,
        channels=tuple(name for group in channel_groups(configuration) for name in group["names"]),
        normalisation=_normalisation(configuration["DATASET"]),
        voxel_size=None,
        patch=window,
        window=window,
        iteration=iteration,
        settings={"pytc": {"checkpoint": str(path)}},
        image_dtype="uint8",
    )
    name = fingerprint({"file": file_identity(path), "description": description.to_dict()})[:12]
    place = folder / f"{path.name.removesuffix('.pth.tar')}-{name}"
    with suppress(CheckpointError):
        return Checkpoint.open(place / f"{PREFIX}{iteration:08d}")
    return write_checkpoint(place, description, weights)


def _normalisation(dataset: Mapping[str, Any]) -> Normalisation:
    """Of grey levels of uint8, which is what images are made to be first."""
    match = str(dataset["MATCH_ACT"])
    if match == "sigmoid":
        return Normalisation(0.0, 255.0)
    if match == "tanh":
        return Normalisation(127.5, 127.5)
    if match != "none":
        raise PytcError(f"DATASET.MATCH_ACT is {match!r}; there are none, sigmoid and tanh")
    return Normalisation(255 * dataset["MEAN"], 255 * dataset["STD"])


def _meaning(configuration: PytcConfiguration) -> tuple[str, dict[str, Any]]:
    groups = channel_groups(configuration)
    if len(groups) == 1 and groups[0].get("offsets") is not None and groups[0]["activation"] == "sigmoid":
        return "affinity", {"offsets": groups[0]["offsets"]}
    return "channels", {"groups": groups}
