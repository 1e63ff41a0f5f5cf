"""Training with PyTorch Connectomics' files: what its configuration means here, and what of it has no effect."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from axonloom.config.configuration import Configuration
from axonloom.config.load import load_configuration
from axonloom.networks.pytc import OF_MONAI, network_parameters
from axonloom.networks.registry import build
from axonloom.pytc.augmentation import augmentation
from axonloom.pytc.checkpoints import import_checkpoint
from axonloom.pytc.configuration import PytcConfiguration, PytcError, names
from axonloom.pytc.images import prepared_image, prepared_labels
from axonloom.pytc.keys import REFUSED, WITHOUT_CHECKPOINT, WITHOUT_EFFECT
from axonloom.pytc.sections import require_sections
from axonloom.pytc.training_targets import training_regularisers, training_targets
from axonloom.representations.targets import Targets

#: What of a volume is scaled by which key.
SCALES = {"image": "IMAGE_SCALE", "labels": "LABEL_SCALE", "valid": "VALID_MASK_SCALE"}


@dataclass(frozen=True)
class PytcTraining:
    """What ``scripts/main.py`` without ``--inference`` means here.

    Attributes
    ----------
    configuration : Configuration
    notes : a sentence for each key that was set and has no effect, or another one
    folder : ``OUTPUT_PATH``
    """

    configuration: Configuration
    notes: tuple[str, ...]
    folder: Path


def plan_training(
    given: PytcConfiguration, checkpoint: Path | None = None, overrides: Sequence[str] = ()
) -> PytcTraining:
    """Read the sections for training, and make images and labels ready.

    Parameters
    ----------
    given : PytcConfiguration
    checkpoint : a ``.pth.tar`` whose weights the training begins with
    overrides : ``KEY=VALUE`` of axonloom's own configuration

    Raises
    ------
    PytcError
        Something that axonloom does not do, by its name; an image or checkpoint that does not fit.
    """
    folder = Path(given["DATASET"]["OUTPUT_PATH"] or ".").absolute()
    work = folder / "work"
    notes = without_effect(given)
    if checkpoint is None:
        require_grey_levels(given)
    train = {
        **training_settings(given, notes),
        "volumes": _prepared(given, training_files(given), work / "images"),
        "validation": validation_settings(given, _prepared(given, validation_files(given), work / "images")),
    }
    if checkpoint is not None:
        train["start_from"] = str(import_checkpoint(checkpoint, given, work / "imported").folder)
    settings = {"workspace": str(work), "train": train}
    words = [*(f"{key}={json.dumps(value)}" for key, value in settings.items()), *overrides]
    return PytcTraining(load_configuration(None, words), tuple(notes), folder)


def training_settings(given: PytcConfiguration, notes: list[str]) -> dict[str, Any]:
    """``train`` without its volumes; what differs from there is appended to ``notes``.

    Raises
    ------
    PytcError
        Something that axonloom does not do, by its name.
    """
    require_possible(given)
    augment, more = augmentation(given)
    notes += more
    notes += transformer_notes(given)
    architecture, parameters = require_network(given)
    return {
        "network": {
            "architecture": architecture,
            "parameters": {k: v for k, v in parameters.items() if k not in ("in_channels", "out_channels")},
        },
        "patch": list(given["MODEL"]["INPUT_SIZE"]),
        "window": list(given.for_inference()["MODEL"]["INPUT_SIZE"]),
        "targets": require_channels(given),
        "regularisers": training_regularisers(given),
        "augment": augment,
        "least_valid": given["DATASET"]["VALID_RATIO"],
        "least_labelled": 0.0,
        "loaders": max(1, int(given["SYSTEM"]["NUM_CPUS"])),
        "keep_checkpoints": 1_000_000,  # all are kept there
        # There it is float16, which needs a GPU; this has the same range as float32.
        "precision": "bfloat16" if given["MODEL"]["MIXED_PRECESION"] else "float32",
        **solver_settings(given),
    }


def require_possible(given: PytcConfiguration) -> None:
    """Raise PytcError for a key that would give another network in silence."""
    for key, allowed in REFUSED.items():
        if _value_of(given, key) not in allowed:
            raise PytcError(f"{key} is {_value_of(given, key)!r}: axonloom does not train with it; leave it out")
    require_sections(given)
    for key in SCALES.values():
        said = key if given["DATASET"][key] is not None else "DATA_SCALE"
        _three_numbers(given["DATASET"][said], f"DATASET.{said}")
    for name in ("INPUT_SIZE", "OUTPUT_SIZE"):
        size = given["MODEL"][name]
        if not isinstance(size, list) or len(size) != 3:
            raise PytcError(f"MODEL.{name} is {size!r}; it is three numbers (z, y, x)")
    if given["MODEL"]["INPUT_SIZE"] != given["MODEL"]["OUTPUT_SIZE"]:
        raise PytcError("MODEL.OUTPUT_SIZE is not MODEL.INPUT_SIZE, and axonloom's networks keep the size")


def require_grey_levels(given: PytcConfiguration) -> None:
    """Raise PytcError where grey levels would become other numbers than they do in a training that begins anew."""
    for key, allowed in WITHOUT_CHECKPOINT.items():
        if _value_of(given, key) not in allowed:
            raise PytcError(
                f"{key} is {_value_of(given, key)!r}: here grey levels become -1..1 (MEAN 0.5, STD 0.5, MATCH_ACT none) unless a "
                "checkpoint is gone on from"
            )


def require_network(given: PytcConfiguration) -> tuple[str, dict[str, Any]]:
    """Architecture and parameters of a network that can be built.

    Raises
    ------
    NetworkError
        It cannot, and why.
    """
    architecture, parameters = network_parameters(given["MODEL"], isotropic=bool(given["DATASET"]["IS_ISOTROPIC"]))
    # Shapes without weights: a large network takes no time. One of MONAI's reads a number back as it is built.
    with nullcontext() if architecture == "swinunetr" else torch.device("meta"), torch.random.fork_rng(devices=[]):
        build(architecture, **parameters)
    return architecture, parameters


def require_channels(given: PytcConfiguration) -> list[dict[str, Any]]:
    """The targets of ``MODEL.TARGET_OPT``.

    Raises
    ------
    PytcError
        One that there is not, or other channels than ``MODEL.OUT_PLANES``.
    """
    targets = training_targets(given)
    channels = len(Targets(targets).channels)
    if channels != given["MODEL"]["OUT_PLANES"]:
        raise PytcError(
            f"MODEL.TARGET_OPT {given['MODEL']['TARGET_OPT']} has {channels} channels, and MODEL.OUT_PLANES is "
            f"{given['MODEL']['OUT_PLANES']}: they must agree"
        )
    return targets


def without_effect(given: PytcConfiguration) -> list[str]:
    """A sentence for each key that was set to something that has no effect."""
    return [
        f"{key} {_value_of(given, key)!r} has no effect: {why}"
        for key, (quiet, why) in WITHOUT_EFFECT.items()
        if key in given.said and _value_of(given, key) not in quiet
    ]


def transformer_notes(given: PytcConfiguration) -> list[str]:
    """A sentence for each key that has no effect with a transformer, where there is one."""
    name = given["MODEL"]["ARCHITECTURE"]
    if name not in OF_MONAI:
        return []
    notes = [f"MODEL.ARCHITECTURE {name!r} is MONAI's own network: weights of PyTorch Connectomics' do not fit it"]
    others = ("FILTERS", "BLOCK_TYPE", "ISOTROPY", "PAD_MODE", "NORM_MODE", "ACT_MODE", "POOLING_LAYER")
    notes += [f"MODEL.{key} has no effect: {name} has no such choice" for key in others if f"MODEL.{key}" in given.said]
    if name == "unetr" and given["INFERENCE"]["INPUT_SIZE"] not in (None, given["MODEL"]["INPUT_SIZE"]):
        notes.append("INFERENCE.INPUT_SIZE has no effect: unetr sees windows of MODEL.INPUT_SIZE alone")
    return notes


def validation_settings(given: PytcConfiguration, volumes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``train.validation``: these volumes every ``SOLVER.ITERATION_VAL`` iterations, and nothing of those that are trained on."""
    if not volumes:
        return {"fraction": 0.0}
    return {"fraction": 0.0, "volumes": list(volumes), "every": int(given["SOLVER"]["ITERATION_VAL"])}


def training_files(given: PytcConfiguration) -> list[dict[str, str]]:
    """``image``, ``labels`` and perhaps ``valid`` of each volume: paths as they are named.

    Raises
    ------
    PytcError
        None are named, or not as many labels as images.
    """
    found = _files(given, "")
    if not found:
        raise PytcError("DATASET.IMAGE_NAME is not set: name the images, as in DATASET.IMAGE_NAME train-input.tif")
    return found


def validation_files(given: PytcConfiguration) -> list[dict[str, str]]:
    """The same of the volumes that are validated on; none where none are named.

    Raises
    ------
    PytcError
        Not as many labels as images.
    """
    return _files(given, "VAL_")


def _files(given: PytcConfiguration, prefix: str) -> list[dict[str, str]]:
    dataset = given["DATASET"]
    columns = {
        name: [_placed(each, dataset) for each in names(dataset[f"{prefix}{name}_NAME"])]
        for name in ("IMAGE", "LABEL", "VALID_MASK")
    }
    images, labels, valid = columns["IMAGE"], columns["LABEL"], columns["VALID_MASK"]
    if not images and not prefix:
        return []
    for name, files in (("LABEL", labels), ("VALID_MASK", valid)):
        if len(files) != len(images) and not (name == "VALID_MASK" and not files):
            raise PytcError(
                f"DATASET.{prefix}{name}_NAME names {len(files)} files, DATASET.{prefix}IMAGE_NAME {len(images)}: one each"
            )
    found = [{"image": image, "labels": label} for image, label in zip(images, labels, strict=True)]
    for number, mask in enumerate(valid):
        found[number]["valid"] = mask
    return found


def _prepared(given: PytcConfiguration, files: Sequence[Mapping[str, str]], folder: Path) -> list[dict[str, Any]]:
    """``train.volumes``, with copies where grey levels or voxels have to change."""
    dataset = given["DATASET"]

    def ready(name: str, path: str) -> str:
        scale = tuple(_scale(dataset, SCALES[name]))
        if name == "image":
            return prepared_image(path, scale, (0, 0, 0), folder, stretch=bool(dataset["NORMALIZE_RANGE"]))
        return prepared_labels(path, scale, folder)

    return [{name: {"path": ready(name, path)} for name, path in each.items()} for each in files]


def solver_settings(given: PytcConfiguration) -> dict[str, Any]:
    """The part of ``train`` that ``SOLVER`` says.

    Raises
    ------
    PytcError
        An optimizer, schedule or clipping that axonloom does not have.
    """
    solver = given["SOLVER"]
    optimizers = {"SGD": "sgd", "Adam": "adam", "AdamW": "adamw"}
    if solver["NAME"] not in optimizers:
        raise PytcError(f"SOLVER.NAME is {solver['NAME']!r}; there are {', '.join(optimizers)}")
    clip, swa, iterations = solver["CLIP_GRADIENTS"], solver["SWA"], int(solver["ITERATION_TOTAL"])
    if clip["ENABLED"] and clip["CLIP_TYPE"] not in ("value", "norm"):
        raise PytcError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clip['CLIP_TYPE']!r}; there are value and norm")
    by_norm = bool(clip["ENABLED"]) and clip["CLIP_TYPE"] == "norm"
    by_value = bool(clip["ENABLED"]) and clip["CLIP_TYPE"] == "value"
    return {
        "iterations": iterations,
        "batch": int(solver["SAMPLES_PER_BATCH"]),
        "checkpoint_every": int(solver["ITERATION_SAVE"]),
        "learning_rate": solver["BASE_LR"],
        "weight_decay": solver["WEIGHT_DECAY"],
        "gradient_norm": clip["CLIP_VALUE"] if by_norm else None,
        "gradient_value": clip["CLIP_VALUE"] if by_value else None,
        "optimizer": {
            "name": optimizers[solver["NAME"]],
            "momentum": solver["MOMENTUM"],
            "betas": list(solver["BETAS"]),
            "decay_norms": solver["WEIGHT_DECAY_NORM"],
            "decay_biases": solver["WEIGHT_DECAY_BIAS"],
            "bias_rate": solver["BIAS_LR_FACTOR"],
        },
        **_schedule(solver, iterations),
        **(
            {"average": {"kind": "equal", "start": int(swa["START_ITER"]), "every": int(swa["MERGE_ITER"])}}
            if swa["ENABLED"]
            else {}
        ),
    }


def _schedule(solver: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    warmup = min(int(solver["WARMUP_ITERS"]), iterations)
    warm = {"warmup_from": solver["WARMUP_FACTOR"], "warmup_constant": solver["WARMUP_METHOD"] == "constant"}
    steps = {"steps": [int(n) for n in solver["STEPS"]], "gamma": solver["GAMMA"]}
    match solver["LR_SCHEDULER_NAME"]:
        case "WarmupCosineLR":
            return {"warmup": warmup, "schedule": {"shape": "cosine_throughout", **warm}}
        case "WarmupMultiStepLR":
            return {"warmup": warmup, "schedule": {"shape": "steps", **warm, **steps}}
        case "MultiStepLR":
            return {"warmup": 0, "schedule": {"shape": "steps", **steps}}
        case "ReduceLROnPlateau":
            return {"warmup": 0, "schedule": {"shape": "plateau", "gamma": solver["GAMMA"], "patience": 1000}}
        case "OneCycle":
            return {"warmup": round(0.3 * iterations), "schedule": {"shape": "one_cycle"}}
    known = "WarmupCosineLR, WarmupMultiStepLR, MultiStepLR, ReduceLROnPlateau and OneCycle"
    raise PytcError(f"SOLVER.LR_SCHEDULER_NAME is {solver['LR_SCHEDULER_NAME']!r}; there are {known}")


def _scale(dataset: Mapping[str, Any], key: str) -> Any:
    return dataset[key] if dataset[key] is not None else dataset["DATA_SCALE"]


def _three_numbers(value: Any, name: str) -> None:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(n, int | float) and n > 0 for n in value):
        raise PytcError(f"{name} is {value!r}; it is three numbers above 0 (z, y, x)")


def _value_of(given: PytcConfiguration, key: str) -> Any:
    section, *rest = key.split(".")
    found: Any = given[section]
    for name in rest:
        found = found[name]
    return found


def _placed(name: str, dataset: Mapping[str, Any]) -> str:
    return name if dataset["IS_ABSOLUTE_PATH"] else os.path.join(dataset["INPUT_PATH"], name)
