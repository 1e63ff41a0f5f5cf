"""What PyTorch Connectomics trains on: ``TARGET_OPT`` with its erosions, losses and weights, as ``train.targets``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.sections import within_sections
from axonloom.pytc.targets import require_affinity_version

#: Theirs -> ours, and the activation before it (``OUTPUT_ACT``) that ours has in itself.
LOSSES = {
    "WeightedBCEWithLogitsLoss": ("cross_entropy", ("none",)),
    "WeightedBCE": ("probability_cross_entropy", ("sigmoid",)),
    "WeightedBCEFocalLoss": ("focal", ("none",)),
    "WeightedCE": ("class_cross_entropy", ("none",)),
    "DiceLoss": ("dice", ("sigmoid",)),
    "WSDiceLoss": ("weighted_dice", ("sigmoid",)),
    "WeightedMSE": ("squared_error", ("tanh", "sigmoid")),
    "WeightedMAE": ("absolute_error", ("tanh", "sigmoid")),
}
BALANCES = {"0": "none", "1": "class", "1-1": "class_dilated"}
#: Parameters of ``LOSS_KWARGS_KEY``.
PARAMETERS = {
    ("cross_entropy", "eps"): "slack",
    ("dice", "power"): "power",
    ("focal", "gamma"): "focus",
    ("class_cross_entropy", "class_weight"): "class_weights",
}


def training_targets(configuration: PytcConfiguration) -> list[dict[str, Any]]:
    """The targets of a configuration, plain JSON for :class:`axonloom.representations.targets.Targets`.

    Raises
    ------
    PytcError
        A target, loss, weight or combination that axonloom does not have, by its name.
    """
    model = configuration["MODEL"]
    options = [str(each) for each in model["TARGET_OPT"]]
    erosions = _one_each(model["LABEL_EROSION"], len(options), "MODEL.LABEL_EROSION")
    dilations = _one_each(model["LABEL_DILATION"], len(options), "MODEL.LABEL_DILATION")
    found = []
    for number, option in enumerate(options):
        kind, parameters = _kind(option)
        if kind == "affinity":
            parameters["offsets"] = within_sections(configuration, parameters["offsets"])
        found.append(
            {
                "kind": kind,
                "parameters": parameters,
                "erosion": erosions[number],
                "dilation": dilations[number],
                "losses": _losses(model, number, option),
            }
        )
    return found


#: ``REGU_OPT`` -> ours.
REGULARISERS = {
    "Binary": "decided",
    "FgDT": "foreground_with_distance",
    "ContourDT": "contour_with_distance",
    "FgContour": "foreground_with_contour",
    "Nonoverlap": "apart",
}


def training_regularisers(configuration: PytcConfiguration) -> list[dict[str, Any]]:
    """``REGU_OPT``, ``REGU_TARGET`` and ``REGU_WEIGHT``, for :class:`axonloom.representations.targets.Targets`.

    Raises
    ------
    PytcError
        One that axonloom does not have, or lists of different lengths.
    """
    model = configuration["MODEL"]
    options = [str(each) for each in model["REGU_OPT"] or ()]
    for option in options:
        if option not in REGULARISERS:
            raise PytcError(f"MODEL.REGU_OPT has {option!r}; there are {', '.join(REGULARISERS)}")
    targets: list[Sequence[int]] = list(model["REGU_TARGET"] or ())
    weights: list[float] = list(model["REGU_WEIGHT"] or ())
    if not len(options) == len(targets) == len(weights):
        raise PytcError(
            f"MODEL.REGU_OPT, REGU_TARGET and REGU_WEIGHT have {len(options)}, {len(targets)} and {len(weights)} entries: they must agree"
        )
    return [
        {"kind": REGULARISERS[option], "targets": [int(n) for n in numbers], "weight": float(weight)}
        for option, numbers, weight in zip(options, targets, weights, strict=True)
    ]


def _one_each(given: Any, count: int, name: str) -> list[int]:
    if given is None:
        return [0] * count
    each = [int(given)] * count if isinstance(given, int) else [0 if n is None else int(n) for n in given]
    if len(each) != count:
        raise PytcError(f"{name} has {len(each)} entries, MODEL.TARGET_OPT {count}: one a target")
    return each


def _kind(option: str) -> tuple[str, dict[str, Any]]:
    code, *rest = option.split("-")
    try:
        match code:
            case "0":
                return "foreground", {"ids": [int(n) for n in rest]}
            case "1":
                return "polarity", {"exclusive": bool(rest) and rest[0] == "1"}
            case "2":
                return _affinity(option, rest)
            case "3":
                return "small_objects", {"voxels": int(rest[0]), "anisotropy": int(rest[1])}
            case "4":
                return "contour", {"thickness": int(rest[0]), "background": rest[1] == "1"}
            case "5":
                return "distance", _distance(rest)
            case "6":
                mode, inside, outside = rest if rest else ("2d", "8", "50")
                return "signed_distance", {
                    "across_sections": mode == "3d", "inside": float(inside), "outside": float(outside),
                }  # fmt: skip
            case "7":
                return "flow", {}
            case "8":
                return "distance", {**_distance(_after_window(option, rest)), "window": int(rest[0])}
            case "9":
                return "semantic", {"count": int(rest[0])}
            case "a":
                quantised, z, y, x = rest
                if y != x:
                    raise PytcError(f"MODEL.TARGET_OPT has {option!r}: its voxels are not square, which axonloom needs")
                return "skeleton_distance", {
                    "across_sections": True, "anisotropy": float(z) / float(x), "padding": True, "classes": quantised == "1",
                }  # fmt: skip
    except PytcError:
        raise
    except (ValueError, IndexError):
        raise PytcError(f"MODEL.TARGET_OPT has {option!r}, which lacks some of its parts or has too many") from None
    raise PytcError(f"MODEL.TARGET_OPT has {option!r}, a target that axonloom does not train on")


def _affinity(option: str, rest: Sequence[str]) -> tuple[str, dict[str, Any]]:
    z, y, x = (int(n) for n in rest[:3]) if rest else (1, 1, 1)
    if rest[3:] == ["v2"]:
        return "centred_affinity", {"reach": [z, y, x]}
    require_affinity_version(option, list(rest[3:]))
    return "affinity", {"offsets": [[z, 0, 0], [0, y, 0], [0, 0, x]]}


def _after_window(option: str, rest: Sequence[str]) -> Sequence[str]:
    """What follows ``8-d-5``."""
    if len(rest) < 2 or rest[1] != "5":
        raise PytcError(
            f"MODEL.TARGET_OPT has {option!r}; labels grown by a window d before their distance are written 8-d-5-mode-…, such as "
            "8-3-5-3d-1-0-1.0-0"
        )
    return rest[2:]


def _distance(rest: Sequence[str]) -> dict[str, Any]:
    if not rest:
        return {}
    mode, padding, quantised, anisotropy, erosion = rest
    return {
        "across_sections": mode == "3d",
        "padding": padding == "1",
        "classes": quantised == "1",
        "anisotropy": float(anisotropy),
        "erosion": int(erosion),
    }


def _losses(model: Any, number: int, option: str) -> list[dict[str, Any]]:
    columns = {name: model[name] for name in ("LOSS_OPTION", "LOSS_WEIGHT", "WEIGHT_OPT", "OUTPUT_ACT")}
    for name, rows in columns.items():
        if len(rows) != len(model["TARGET_OPT"]):
            raise PytcError(
                f"MODEL.{name} has {len(rows)} entries, MODEL.TARGET_OPT {len(model['TARGET_OPT'])}: one a target"
            )
        if len(rows[number]) != len(model["LOSS_OPTION"][number]):
            raise PytcError(f"MODEL.{name} of target {option!r} has {len(rows[number])} entries: one a loss")
    given = [columns[name][number] for name in columns]
    return [
        _loss(option, str(loss), float(weight), str(balance), str(activation), _parameters(model, number, index))
        for index, (loss, weight, balance, activation) in enumerate(zip(*given, strict=True))
    ]


def _loss(
    option: str, loss: str, weight: float, balance: str, activation: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    if loss not in LOSSES:
        raise PytcError(f"MODEL.LOSS_OPTION has {loss!r}; there are {', '.join(LOSSES)}")
    name, activations = LOSSES[loss]
    if activation not in activations:
        raise PytcError(
            f"MODEL.OUTPUT_ACT of {loss} for target {option!r} is {activation!r}; it should be {' or '.join(activations)}"
        )
    if balance.startswith("2"):
        if balance.split("-")[1:] not in ([], ["10", "5"], ["10.0", "5.0"]):
            raise PytcError(f"MODEL.WEIGHT_OPT is {balance!r}; border weights are 2-10.0-5.0 here")
        ours = "border"
    elif balance in BALANCES:
        ours = BALANCES[balance]
    else:
        raise PytcError(f"MODEL.WEIGHT_OPT has {balance!r}; there are 0, 1, 1-1 and 2")
    known = {}
    for key, value in parameters.items():
        if (name, key) not in PARAMETERS:
            raise PytcError(f"MODEL.LOSS_KWARGS_KEY has {key!r} of {loss}, which axonloom does not have")
        known[PARAMETERS[name, key]] = value
    return {"loss": name, "weight": weight, "balance": ours, "parameters": known}


def _parameters(model: Any, target: int, loss: int) -> dict[str, Any]:
    keys, values = model["LOSS_KWARGS_KEY"], model["LOSS_KWARGS_VAL"]
    if keys is None or keys[target] is None or keys[target][loss] is None:
        return {}
    return dict(zip(keys[target][loss], values[target][loss], strict=True))
