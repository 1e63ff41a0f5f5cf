"""PyTorch Connectomics' ``AUGMENTOR`` as ``train.augment``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axonloom.pytc.configuration import PytcConfiguration, PytcError

#: Augmentation -> its keys with what they are where nothing is said (facts of its version 1.0).
DEFAULTS: dict[str, dict[str, Any]] = {
    "ROTATE": {"ENABLED": True, "P": 1.0, "ROT90": True},
    "RESCALE": {"ENABLED": True, "P": 0.5, "FIX_ASPECT": False},
    "FLIP": {"ENABLED": True, "P": 1.0, "DO_ZTRANS": 0},
    "ELASTIC": {"ENABLED": True, "P": 0.75, "ALPHA": 16.0, "SIGMA": 4.0},
    "GRAYSCALE": {"ENABLED": True, "P": 0.75},
    "MISSINGPARTS": {"ENABLED": True, "P": 0.9, "ITER": 64},
    "MISSINGSECTION": {"ENABLED": True, "P": 0.5, "NUM_SECTION": 2},
    "MISALIGNMENT": {"ENABLED": True, "P": 0.5, "DISPLACEMENT": 16, "ROTATE_RATIO": 0.5},
    "MOTIONBLUR": {"ENABLED": True, "P": 0.5, "SECTIONS": 2, "KERNEL_SIZE": 11},
    "CUTBLUR": {
        "ENABLED": True, "P": 0.5, "LENGTH_RATIO": 0.4, "DOWN_RATIO_MIN": 2.0, "DOWN_RATIO_MAX": 8.0, "DOWNSAMPLE_Z": False,
    },
    "CUTNOISE": {"ENABLED": True, "P": 0.75, "LENGTH_RATIO": 0.4, "SCALE": 0.3},
    "COPYPASTE": {"ENABLED": False, "P": 0.8, "AUG_THRES": 0.7},
}  # fmt: skip
#: Keys beside those that change nothing here.
WITHOUT_EFFECT = ("ENABLED", "SMOOTH", "ADDITIONAL_TARGETS_NAME", "ADDITIONAL_TARGETS_TYPE")


def augmentation(configuration: PytcConfiguration) -> tuple[dict[str, Any], list[str]]:
    """Settings for :class:`axonloom.config.augment.AugmentSettings`, and a sentence for what differs from there.

    Raises
    ------
    PytcError
        An augmentation that axonloom does not have is switched on, or a key is unknown.
    """
    given = configuration["AUGMENTOR"]
    for name in given:
        if name not in DEFAULTS and name not in WITHOUT_EFFECT:
            raise PytcError(f"AUGMENTOR has no {name}; there are {', '.join(DEFAULTS)}")
    notes = []
    if given.get("SMOOTH"):
        notes.append("AUGMENTOR.SMOOTH: labels are not smoothed; they are taken from the nearest voxel")
    if not given.get("ENABLED", True):
        return {"flip": False, "transpose": "none", "intensity": 0.0, "noise": 0.0}, notes
    of = {name: _section(name, given.get(name, {}), notes) for name in DEFAULTS}
    share = {name: float(section["P"]) if section["ENABLED"] else 0.0 for name, section in of.items()}
    if share["COPYPASTE"]:
        notes.append(
            "AUGMENTOR.COPYPASTE: there what is pasted keeps the label of the background; here it has labels of its own"
        )
    if 0 < share["FLIP"] < 1:
        notes.append("AUGMENTOR.FLIP.P: mirroring and transposing are drawn for each axis in every sample")
    free_angles = share["ROTATE"] if not of["ROTATE"]["ROT90"] else 0.0
    return {
        "flip": share["FLIP"] > 0,
        "transpose": "all" if share["FLIP"] and of["FLIP"]["DO_ZTRANS"] else "xy" if share["FLIP"] or share["ROTATE"] else "none",
        "intensity": share["GRAYSCALE"], "contrast": 0.3, "brightness": 0.3, "gamma": 1.0, "noise": 0.0,
        "rotate": {"share": free_angles},
        "rescale": {"share": share["RESCALE"], "keep_aspect": bool(of["RESCALE"]["FIX_ASPECT"])},
        "elastic": {"share": share["ELASTIC"], "strength": of["ELASTIC"]["ALPHA"], "smoothness": of["ELASTIC"]["SIGMA"]},
        # There each section of the chosen samples is drawn again with the same chance, but never two in a row.
        "missing_parts": {"share": share["MISSINGPARTS"], "sections": share["MISSINGPARTS"], "width": of["MISSINGPARTS"]["ITER"]},
        "missing_section": {"share": share["MISSINGSECTION"], "sections": of["MISSINGSECTION"]["NUM_SECTION"]},
        "misalignment": {
            "share": share["MISALIGNMENT"], "displacement": of["MISALIGNMENT"]["DISPLACEMENT"], "rotate": of["MISALIGNMENT"]["ROTATE_RATIO"],
        },
        "motion_blur": {"share": share["MOTIONBLUR"], "sections": of["MOTIONBLUR"]["SECTIONS"], "length": of["MOTIONBLUR"]["KERNEL_SIZE"]},
        "cut_blur": {
            "share": share["CUTBLUR"], "size": of["CUTBLUR"]["LENGTH_RATIO"], "low": of["CUTBLUR"]["DOWN_RATIO_MIN"],
            "high": of["CUTBLUR"]["DOWN_RATIO_MAX"], "across_sections": bool(of["CUTBLUR"]["DOWNSAMPLE_Z"]),
        },
        "cut_noise": {"share": share["CUTNOISE"], "size": of["CUTNOISE"]["LENGTH_RATIO"], "strength": of["CUTNOISE"]["SCALE"]},
        "copy_paste": {"share": share["COPYPASTE"], "largest": of["COPYPASTE"]["AUG_THRES"], "new_ids": not _labels_are_classes(configuration)},
    }, notes  # fmt: skip


def _labels_are_classes(configuration: PytcConfiguration) -> bool:
    """Whether a target reads labels by their numbers: a number of its own would be another class."""
    options = [str(each).split("-") for each in configuration["MODEL"]["TARGET_OPT"]]
    return any(code == "9" or (code == "0" and bool(rest)) for code, *rest in options)


def _section(name: str, given: Any, notes: list[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise PytcError(f"AUGMENTOR.{name} is a section, and needs keys with values")
    unknown = set(given) - set(DEFAULTS[name]) - {"SKIP"}
    if unknown:
        raise PytcError(f"AUGMENTOR.{name} has no {', '.join(sorted(unknown))}; there are {', '.join(DEFAULTS[name])}")
    if given.get("SKIP"):
        notes.append(f"AUGMENTOR.{name}.SKIP: labels always follow the image, and image-only changes never touch them")
    return {**DEFAULTS[name], **given}
