"""PyTorch Connectomics' configuration as one of axonloom's: for reading, changing and keeping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from axonloom.bad_input import BadInputError
from axonloom.config.load import check_configuration
from axonloom.pytc.augmentation import augmentation
from axonloom.pytc.configuration import PytcConfiguration
from axonloom.pytc.keys import not_in_file
from axonloom.pytc.training import (
    SCALES,
    require_channels,
    require_grey_levels,
    require_network,
    require_possible,
    solver_settings,
    training_files,
    training_settings,
    validation_files,
    validation_settings,
    without_effect,
)
from axonloom.pytc.training_targets import training_regularisers


@dataclass(frozen=True)
class Imported:
    """What became of a configuration.

    Attributes
    ----------
    settings : axonloom's configuration, plain JSON; empty where something is refused
    mapped : keys that were set and are in it
    notes : a sentence for each that has no effect, or another one
    refused : a sentence for each that axonloom does not do
    """

    settings: dict[str, Any]
    mapped: tuple[str, ...]
    notes: tuple[str, ...]
    refused: tuple[str, ...]


def import_configuration(given: PytcConfiguration) -> Imported:
    """Read all sections; no image is opened. Every part that is refused is named, not the first alone."""
    parts: tuple[Callable[[], object], ...] = (
        lambda: require_possible(given),
        lambda: require_grey_levels(given),
        lambda: require_network(given),
        lambda: require_channels(given),
        lambda: training_regularisers(given),
        lambda: augmentation(given),
        lambda: solver_settings(given),
        lambda: training_files(given),
        lambda: validation_files(given),
    )
    refused = list(dict.fromkeys(sentence for sentence in map(_refusal, parts) if sentence is not None))
    notes = without_effect(given)
    if refused:
        return Imported({}, (), tuple(notes), tuple(refused))
    dataset = given["DATASET"]
    for key in ("DATA_SCALE", *SCALES.values()):
        if dataset[key] is not None and any(float(n) != 1 for n in dataset[key]):
            notes.append(
                f"DATASET.{key} {dataset[key]!r} is not in it: zoom images and labels first, or use `axonloom train --pytc-config`"
            )
    notes += [note for key in sorted(given.said) if (note := not_in_file(key)) is not None]
    trained, judged = (
        [{name: {"path": path} for name, path in each.items()} for each in files]
        for files in (training_files(given), validation_files(given))
    )
    settings = {
        "workspace": str(dataset["OUTPUT_PATH"] or "work"),
        "train": {
            **training_settings(given, notes),
            "volumes": trained,
            "validation": validation_settings(given, judged),
        },
        "infer": _infer(given),
    }
    checked = check_configuration(settings, "PyTorch Connectomics' configuration")
    said = {note.split()[0] for note in notes}
    mapped = tuple(sorted(key for key in given.said if key not in said))
    return Imported(checked.model_dump(mode="json", exclude_unset=True), mapped, tuple(notes), ())


def _infer(given: PytcConfiguration) -> dict[str, Any]:
    inference = given["INFERENCE"]
    return {
        "window": list(given.for_inference()["MODEL"]["INPUT_SIZE"]),
        "stride": list(inference["STRIDE"]),
        "margin": list(inference["PAD_SIZE"] or given["DATASET"]["PAD_SIZE"]),
        "blending": inference["BLENDING"],
        "views": inference["AUG_NUM"] or 1,
        "merge_views": inference["AUG_MODE"],
    }


def _refusal(part: Callable[[], object]) -> str | None:
    try:
        part()
    except BadInputError as error:
        return str(error)
    return None
