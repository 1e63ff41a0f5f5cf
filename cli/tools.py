"""``axonloom tools``: what one does to volumes besides segmenting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

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


def _run(tool: str, typed: dict[str, Any], config: Path | None, overrides: list[str] | None, on: str | None) -> None:
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


@tools_app.command("to-precomputed")
def to_precomputed(
    source: Annotated[str, typer.Argument(help="The volume: file.h5:dataset, stack.tif, array.zarr, data.n5/array…")],
    layer: Annotated[str, typer.Argument(help="The new layer: precomputed://FOLDER, or the folder alone.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Write a volume as a Neuroglancer precomputed layer.

    --set to_precomputed.type=segmentation, --set to_precomputed.encoding=jpeg, --set to_precomputed.sharded=true, --set
    to_precomputed.voxel_size=[8,8,8], --set to_precomputed.offset=[0,100,100]. Coarser scales: `axonloom tools downsample`.
    """
    _run("to_precomputed", {"source": source, "target": layer}, config, overrides, on)


@tools_app.command()
def convert(
    source: Annotated[str, typer.Argument(help="The volume: file.h5:dataset, stack.tif, array.zarr, precomputed://…")],
    target: Annotated[str, typer.Argument(help="The new volume: NAME.zarr, NAME.h5, NAME.tif, precomputed://FOLDER.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Copy a volume to another format, voxel for voxel. --set convert.dtype=uint8, --set convert.voxel_size=[8,8,8]."""
    _run("convert", {"source": source, "target": target}, config, overrides, on)


@tools_app.command()
def crop(
    source: Annotated[str, typer.Argument(help="The volume: file.h5:dataset, stack.tif, array.zarr, precomputed://…")],
    target: Annotated[str, typer.Argument(help="The new volume: NAME.zarr, NAME.h5, NAME.tif, precomputed://FOLDER.")],
    start: Annotated[tuple[int, int, int], typer.Option(metavar="Z Y X", help="First voxel.")],
    stop: Annotated[tuple[int, int, int], typer.Option(metavar="Z Y X", help="One past the last voxel.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Copy a part of a volume; the copy's offset says where it lay."""
    region = {"region": {"start": start, "stop": stop}}
    _run("convert", {"source": source, "target": target, **region}, config, overrides, on)


@tools_app.command()
def resize(
    source: Annotated[str, typer.Argument(help="The volume: file.h5:dataset, stack.tif, array.zarr, precomputed://…")],
    target: Annotated[str, typer.Argument(help="The new volume: NAME.zarr, NAME.h5, NAME.tif, precomputed://FOLDER.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Bring a volume to another voxel size or shape: images interpolated, labels by the nearest.

    --set resize.voxel_size=[40,16,16] or --set resize.shape=[50,512,512]; --set resize.kind=labels, --set resize.order=3.
    """
    _run("resize", {"source": source, "target": target}, config, overrides, on)


@tools_app.command("apply-mask")
def apply_mask(
    source: Annotated[str, typer.Argument(help="The volume: precomputed://…, stack.tif, file.h5:dataset, array.zarr.")],
    mask: Annotated[str, typer.Argument(help="Nonzero where voxels are kept; of the same or another voxel size.")],
    target: Annotated[str, typer.Argument(help="The new volume: precomputed://FOLDER, NAME.tif, NAME.h5, NAME.zarr.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """Copy a volume, blank where a mask is 0; a precomputed layer with all its scales, chunks and encodings.

    --set apply_mask.outside=255, --set apply_mask.mask_voxel_size=[32,32,32].
    """
    _run("apply_mask", {"source": source, "mask": mask, "target": target}, config, overrides, on)


@tools_app.command("make-mask")
def make_mask(
    source: Annotated[str, typer.Argument(help="Affinities, or any volume of grey levels, with or without channels.")],
    target: Annotated[str, typer.Argument(help="The new volume: NAME.zarr, NAME.h5, NAME.tif, precomputed://FOLDER.")],
    config: Config = None,
    overrides: Overrides = None,
    on: On = None,
) -> None:
    """A mask of where affinities are high: 1 there, 0 elsewhere.

    --set make_mask.threshold=0.3, --set make_mask.smoothing=[1,4,4], --set make_mask.min_size=10000, --set make_mask.holes=10000.
    """
    _run("make_mask", {"source": source, "target": target}, config, overrides, on)
