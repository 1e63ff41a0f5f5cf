"""``axonloom tools``: what one does to volumes besides segmenting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.jobs import run_job
from cli.options import On, Overrides, with_place
from cli.running import configuration_of

tools_app = typer.Typer(
    help="Work on volumes, block by block: coarser scales, overlapping files and back.", no_args_is_help=True
)

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
    _run("downsample", {"layer": layer}, config, overrides, on)


def _run(tool: str, typed: dict[str, str], config: Path | None, overrides: list[str] | None, on: str | None) -> None:
    given = [f"{tool}.{name}={json.dumps(value)}" for name, value in typed.items()]
    run_job(tool, configuration_of(config, with_place([*given, *(overrides or [])], on)))


@tools_app.command()
def split(
    source: Annotated[str, typer.Argument(help="The volume: file.h5:dataset, stack.tif, array.zarr, precomputed://…")],
    folder: Annotated[str, typer.Argument(help="The folder that gets the files.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Cut a volume into overlapping TIFF or HDF5 files in one folder, with an index.

    --set split.block=[128,512,512], --set split.overlap=[8,32,32], --set split.format=h5.
    """
    _run("split", {"source": source, "target": folder}, config, overrides, on)


@tools_app.command()
def predict(
    source: Annotated[str, typer.Argument(help="A folder of blocks, by `axonloom tools split` or with PyTC's names.")],
    folder: Annotated[str, typer.Argument(help="The folder that gets an HDF5 file for each.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Run a network over each file of a folder; what infer.* says holds. `axonloom infer` does without files, and without seams."""
    _run("predict", {"source": source, "target": folder}, config, overrides, on)


@tools_app.command()
def join(
    folder: Annotated[str, typer.Argument(help="A folder of overlapping blocks.")],
    target: Annotated[
        str, typer.Argument(help="The volume to write: precomputed://FOLDER, NAME.zarr, NAME.h5, NAME.tif.")
    ],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Put a folder of overlapping blocks together: blended, or with --set join.how=crop each voxel from its own block."""
    _run("join", {"source": folder, "target": target}, config, overrides, on)
