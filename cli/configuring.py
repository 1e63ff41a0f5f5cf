"""``axonloom init`` and ``axonloom config``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError
from axonloom.config.template import template
from cli import exit_codes
from cli.options import AsJson, ConfigFile, Overrides
from cli.running import complaints, configuration_of, console, sentences

config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the new project goes.")],
) -> None:
    """Write a commented configuration into a new project folder."""
    path = folder / "axonloom.yaml"
    if path.exists():
        complaints.print(f"[red]error:[/red] {path} exists; edit it, or name another folder")
        raise typer.Exit(exit_codes.BAD_INPUT)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(template())
    console.print(f"wrote {path}: set volumes.image.path and volumes.labels.path in it, then")
    console.print(f"  axonloom config check {path}\n  axonloom train {path}\n  axonloom run {path}")


@config_app.command("check")
def check(config: ConfigFile = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a configuration and open the volumes that it names; run nothing."""
    configuration = configuration_of(config, overrides or [])
    with sentences():
        found = _volumes(Chain(configuration))
    if as_json:
        print(json.dumps({"configuration": configuration.model_dump(mode="json"), "volumes": found}))
        return
    for name, facts in found.items():
        console.print(f"{name}: {facts['uri']} {facts['axes']} {facts['shape']} {facts['dtype']}", markup=False)
    console.print("the configuration is good")


@config_app.command("import-pytc")
def import_pytc(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="PyTorch Connectomics v1's configuration.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY VALUE]...", help="Its keys with other values.", show_default=False),
    ] = None,
    base: Annotated[Path | None, typer.Option(metavar="FILE", help="Its base configuration.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where it goes.")] = Path(
        "axonloom.yaml"
    ),
) -> None:
    """Write axonloom's configuration for one of PyTorch Connectomics, and say what became of each key."""
    import yaml

    from axonloom.pytc.configuration import PytcConfiguration
    from axonloom.pytc.importing import import_configuration

    with sentences():
        if output.exists():
            raise ConfigurationError(f"{output} exists; name another file with --output")
        found = import_configuration(PytcConfiguration.load(base, config, words or []))
    for title, lines in (("mapped", found.mapped), ("no effect", found.notes), ("refused", found.refused)):
        for line in lines:
            console.print(f"{title}: {line}", markup=False)
    if found.refused:
        raise typer.Exit(exit_codes.BAD_INPUT)
    output.write_text(yaml.safe_dump(found.settings, sort_keys=False))
    console.print(f"wrote {output}", markup=False)


def _volumes(chain: Chain) -> dict[str, dict[str, object]]:
    from axonloom.assembly.segmentation_layer import SegmentationLayer
    from axonloom.stages.inputs import open_configured, open_image

    SegmentationLayer.at(chain.layer)
    volumes = chain.configuration.volumes
    given = {"image": volumes.image, "labels": volumes.labels, "affinities": volumes.affinities, "mask": volumes.mask}
    opened = {
        name: (open_image if name == "image" else open_configured)(settings)
        for name, settings in given.items()
        if settings is not None
    }
    segmented = "image" if volumes.affinities is None else "affinities"
    for name, volume in opened.items():
        if name == "labels" and volume.channels is not None:
            raise ConfigurationError(
                f"volumes.labels ({volume.uri}) has {volume.channels} channels: labels are one object id a voxel (z, y, x)"
            )
        # Images may be there for training only, of another place than given affinities.
        if name in ("labels", "mask") and segmented in opened and volume.shape != opened[segmented].shape:
            raise ConfigurationError(
                f"volumes.{name} has {volume.shape} voxels (zyx), volumes.{segmented} has {opened[segmented].shape}: they must "
                f"agree; volumes.{name}.region and volumes.{segmented}.region can cut them"
            )
    return {name: volume.describe() for name, volume in opened.items()}
