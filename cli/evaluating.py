"""``axonloom evaluate``: scores of any two volumes, or of a configuration's segmentation."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from axonloom.config.load import ConfigurationError
from axonloom.volumes import open_volume
from cli.jobs import run_job
from cli.options import AsJson, ConfigFile, On, Overrides, with_place
from cli.running import complaints, configuration_of, console, sentences


def evaluate(
    config: ConfigFile = None,
    segmentation: Annotated[
        str | None, typer.Option(metavar="URI", help="Score this volume.", show_default=False)
    ] = None,
    labels: Annotated[str | None, typer.Option(metavar="URI", help="Against this one.", show_default=False)] = None,
    predicted_zero: Annotated[
        str, typer.Option(metavar="segment|singletons|drop", help="What segmentation voxels of 0 count as.")
    ] = "segment",
    as_json: AsJson = False,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Score a segmentation: VOI (bits) and adapted Rand, with label 0 ignored.

    With --segmentation and --labels any two volumes are compared, at once and without a server; with a configuration its own
    segmentation is scored by the flow, block by block, resumable, at every threshold.
    """
    if segmentation is None or labels is None:
        with sentences():
            if segmentation is not None or labels is not None:
                raise ConfigurationError("evaluate takes --segmentation URI and --labels URI, or a configuration")
        scores = run_job(
            "evaluate", configuration_of(config, with_place(overrides, on)), say=complaints if as_json else console
        )
        if as_json:
            print(json.dumps(scores))
        return
    from axonloom.evaluation.report import evaluate_volumes

    with sentences():
        if config is not None or overrides or on is not None:
            raise ConfigurationError("evaluate of two volumes takes no configuration, no --set and no --on")
        found = evaluate_volumes(
            open_volume(segmentation), open_volume(labels), predicted_zero=predicted_zero
        ).to_dict()
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        console.print(f"{name:>26}  {value:.4f}" if isinstance(value, float) else f"{name:>26}  {value}")
