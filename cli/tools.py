"""``axonloom tools``: what one does to volumes besides segmenting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.jobs import run_job
from cli.options import On, Overrides, with_place
from cli.running import configuration_of

tools_app = typer.Typer(help="Work on volumes, block by block: coarser scales.", no_args_is_help=True)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="YAML file, by default axonloom.yaml of this folder.", show_default=False
    ),
]


@tools_app.command()
def downsample(
    layer: Annotated[str, typer.Argument(help="precomputed://FOLDER or a URL; ?mip=2 to go on from its third scale.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Add coarser scales to a precomputed layer: the mean of an image, the most frequent label of a segmentation.

    How many and how coarse: --set downsample.mips=4, --set downsample.factor=[1,2,2]. Where it notes what is done: the workspace.
    """
    typed = [f"downsample.layer={json.dumps(layer)}", *(overrides or [])]
    run_job("downsample", configuration_of(config, with_place(typed, on)))
