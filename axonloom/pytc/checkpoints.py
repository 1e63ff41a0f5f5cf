"""A checkpoint of PyTorch Connectomics v1 (``.pth.tar``) as one of axonloom's own."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from axonloom.networks.checkpoint import Checkpoint, ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.pytc import build_network, network_parameters
from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.targets import channel_groups


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
    """Write ``path`` as a checkpoint of axonloom's into ``folder``; the weights are the same.

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
        # Grey levels of uint8, which is what images are made to be first.
        normalisation=Normalisation(255 * configuration["DATASET"]["MEAN"], 255 * configuration["DATASET"]["STD"]),
        voxel_size=None,
        patch=window,
        window=window,
        iteration=iteration,
        settings={"pytc": {"checkpoint": str(path)}},
    )
    return write_checkpoint(folder, description, weights)


def _meaning(configuration: PytcConfiguration) -> tuple[str, dict[str, Any]]:
    groups = channel_groups(configuration)
    if len(groups) == 1 and groups[0].get("offsets") is not None and groups[0]["activation"] == "sigmoid":
        return "affinity", {"offsets": groups[0]["offsets"]}
    return "channels", {"groups": groups}
