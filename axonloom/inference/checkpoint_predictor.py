"""From a checkpoint and the inference settings to a predictor, with every value that shapes the result written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from axonloom.config.infer import InferSettings
from axonloom.inference.predictor import PredictionError, Predictor
from axonloom.networks.checkpoint import Checkpoint


def settings_that_matter(settings: InferSettings, checkpoint: Checkpoint) -> dict[str, Any]:
    """What decides the bytes of a prediction, beside the image and the checkpoint: plain JSON, for the fingerprint.

    Defaults are resolved here: the checkpoint's window, half of it as the stride, and the device that ``auto`` finds.
    """
    window = settings.window or checkpoint.description.window
    stride = settings.stride or tuple(max(1, n // 2) for n in window)
    if any(s > w for s, w in zip(stride, window, strict=True)):
        raise PredictionError(
            f"infer.stride {tuple(stride)} is larger than the window {tuple(window)} that the checkpoint proposes and would "
            "leave gaps; set infer.window too, or leave infer.stride out"
        )
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "window": list(window),
        "stride": list(stride),
        "blending": settings.blending,
        "batch": settings.batch,
        "threads": settings.threads,
        "device": device,
        "precision": settings.precision,
        "torch": str(torch.__version__),
    }


def load_predictor(checkpoint: Checkpoint, parameters: Mapping[str, Any]) -> Predictor:
    """The network of ``checkpoint``, run as :func:`settings_that_matter` wrote down.

    Raises
    ------
    PredictionError
        This machine has another version of torch, or no device of that kind: its bytes would not fit the other blocks'.
    """
    if parameters["torch"] != str(torch.__version__):
        raise PredictionError(
            f"this prediction was begun with torch {parameters['torch']}, here is {torch.__version__}: install that version, "
            "or plan the inference anew"
        )
    return Predictor(
        checkpoint.build_network(),
        normalisation=checkpoint.normalisation,
        activation=checkpoint.representation().activation,
        batch=parameters["batch"],
        threads=parameters["threads"],
        device=parameters["device"],
        precision=parameters["precision"],
        channels=len(checkpoint.description.channels),
    )
