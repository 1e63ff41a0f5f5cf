"""What the channels of a PyTorch Connectomics network mean, by its target options."""

from __future__ import annotations

from typing import Any

from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.sections import within_sections

#: Target option -> which of its parts says that a distance is stored as eleven classes.
QUANTISED = {"5": 2, "8": 4, "a": 0}


def require_affinity_version(target: str, version: list[str]) -> None:
    """Raise PytcError unless the last part of an affinity option says nothing, or ``v1``."""
    if version == ["pni"]:
        raise PytcError(
            f"MODEL.TARGET_OPT has {target!r}, and pni fails in PyTorch Connectomics too (a function of it is missing there): "
            f"{target.removesuffix('pni')}v1 gives the same affinities in the order z, y, x"
        )
    if version not in ([], ["v1"]):
        raise PytcError(f"MODEL.TARGET_OPT has {target!r}; of affinities there are the versions v1 and v2")


def channel_groups(configuration: PytcConfiguration) -> list[dict[str, Any]]:
    """The groups of :class:`axonloom.representations.channels.Channels`, one a target of ``MODEL.TARGET_OPT``.

    Raises
    ------
    PytcError
        Targets whose channels do not add up to ``MODEL.OUT_PLANES``, or not as many activations as targets.
    """
    model, inference = configuration["MODEL"], configuration["INFERENCE"]
    targets = [str(target) for target in model["TARGET_OPT"]]
    activations = [str(each) for each in inference["OUTPUT_ACT"]]
    if len(activations) != len(targets):
        raise PytcError(
            f"INFERENCE.OUTPUT_ACT has {len(activations)} entries, MODEL.TARGET_OPT {len(targets)}: one activation a target"
        )
    groups = [_group(target, activation) for target, activation in zip(targets, activations, strict=True)]
    for group in groups:
        if "offsets" in group:
            group["offsets"] = within_sections(configuration, group["offsets"])
            group["names"] = _names(group["offsets"])
    planes = sum(len(group["names"]) for group in groups)
    if planes != model["OUT_PLANES"]:
        raise PytcError(
            f"MODEL.TARGET_OPT {targets} has {planes} channels, and MODEL.OUT_PLANES is {model['OUT_PLANES']}: they must agree"
        )
    return groups


def _group(target: str, activation: str) -> dict[str, Any]:
    code, *rest = target.split("-")
    if code == "2":
        return _affinities(target, rest, activation)
    counts = {"0": 1, "1": 1 if rest else 3, "3": 1, "4": 1, "5": 1, "6": 1, "7": 2, "8": 1, "a": 1}
    if code == "9" and rest:
        counts["9"] = int(rest[0])
    if code == "1" and rest:
        counts["1"] = 3
    # The place of `quant`: 5-mode-pad-quant-…, 8-d-5-mode-pad-quant-…, a-quant-….
    if code in QUANTISED and rest[QUANTISED[code] :][:1] == ["1"]:
        counts[code] = 11
    if code == "I":
        counts["I"] = int(rest[0]) if rest else 1
    if code not in counts:
        raise PytcError(f"MODEL.TARGET_OPT has {target!r}, a target that axonloom does not know")
    return {"names": [f"{target}/{k}" for k in range(counts[code])], "activation": activation}


def _affinities(target: str, rest: list[str], activation: str) -> dict[str, Any]:
    if not rest:
        offsets = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    else:
        try:
            z, y, x = (int(n) for n in rest[:3])
        except ValueError:
            raise PytcError(
                f"MODEL.TARGET_OPT has {target!r}; affinities are written 2-z-y-x-v1, such as 2-1-9-9-v1"
            ) from None
        if rest[3:] == ["v2"]:
            names = [f"{axis}+-{n}" for axis, n in zip("zyx", (z, y, x), strict=True)]
            return {"names": names, "activation": activation, "reach": [z, y, x]}
        require_affinity_version(target, rest[3:])
        offsets = [[z, 0, 0], [0, y, 0], [0, 0, x]]
    return {"names": _names(offsets), "activation": activation, "offsets": offsets}


def _names(offsets: list[list[int]]) -> list[str]:
    return ["z", "y", "x"] if offsets == [[1, 0, 0], [0, 1, 0], [0, 0, 1]] else ["-".join(map(str, o)) for o in offsets]
