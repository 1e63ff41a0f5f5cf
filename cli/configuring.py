"""``axonloom init`` and ``axonloom config``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from axonloom.chain import Chain
from axonloom.config.comparison import difference, settings_rows
from axonloom.config.configuration import Configuration
from axonloom.config.editing import set_value
from axonloom.config.explain import as_markdown, as_yaml, explain
from axonloom.config.load import ConfigurationError, configuration_in
from axonloom.config.template import template
from cli import exit_codes
from cli.options import AsJson, ConfigFile, Overrides
from cli.running import complaints, configuration_of, console, sentences
from cli.tables import print_table

config_app = typer.Typer(help="Look at configurations, and change them.", no_args_is_help=True)


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


@config_app.command("show")
def show(
    config: ConfigFile = None,
    overrides: Overrides = None,
    section: Annotated[
        str | None, typer.Option(metavar="SECTION", help="This one only, such as merge.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is as by default.")] = False,
    as_json: AsJson = False,
) -> None:
    """The settings as a table: those of the file, or all that there are."""
    configuration = configuration_of(config, overrides or [])
    with sentences():
        rows = settings_rows(configuration, section, everything)
    if as_json:
        print(json.dumps({row.key: row.value for row in rows}))
        return
    if not rows:
        console.print("everything is as by default; --all shows it")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("Section", "Parameter", "Value", ""):
        table.add_column(column, overflow="fold")
    last = None
    for row in rows:
        mark = "" if row.is_default else f"default: {as_yaml(row.default)}"
        table.add_row(row.section if row.section != last else "", row.parameter, as_yaml(row.value), mark)
        last = row.section
    # Texts may hold what would be markup.
    print_table(Console(markup=False, highlight=False, color_system=None), table)


@config_app.command("set")
def change(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Such as merge.threshold.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="YAML, such as 0.4 or [64, 64, 64].")],
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The file that is changed.")] = Path(
        "axonloom.yaml"
    ),
) -> None:
    """Change one setting in a file; all else in it, comments too, stays as it is."""
    with sentences():
        before = configuration_in(config)
        set_value(config, key, value)
        after = configuration_in(config)
    changed = difference(before, after)
    for each, old, new in changed:
        console.print(f"{each}: {as_yaml(old)} -> {as_yaml(new)}", markup=False)
    if not changed:
        console.print(f"{key} was so already", markup=False)


@config_app.command("explain")
def explained(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A setting or a section.", show_default=False)
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="All of them as a page.")] = False,
) -> None:
    """What settings mean, which values they take, and what they are by default."""
    if markdown:
        print(as_markdown(), end="")
        return
    with sentences():
        found = explain(key)
    plain = Console(markup=False, highlight=False, color_system=None)
    for each in found:
        plain.print(f"{each.key}{':' if each.section else ''}")
        plain.print(Padding(each.meaning, (0, 0, 0, 4)))
        if not each.section:
            plain.print(
                Padding(
                    f"{each.allowed}{f'; default {each.default}' if each.default else '; no default'}", (0, 0, 0, 4)
                )
            )


@config_app.command("diff")
def diff(
    config: ConfigFile = None,
    other: Annotated[
        Path | None, typer.Argument(metavar="[OTHER]", help="Another file; without: the defaults.", show_default=False)
    ] = None,
    overrides: Overrides = None,
) -> None:
    """What differs between two configurations, or between one and the defaults. Exit code 0 in any case."""
    first = configuration_of(config, overrides or [])
    with sentences():
        second = Configuration() if other is None else configuration_in(other)
    rows = difference(first, second)
    for key, one, two in rows:
        console.print(
            f"{key}: {as_yaml(one)} ({'by default' if other is None else f'in {other}'} {as_yaml(two)})", markup=False
        )
    if not rows:
        console.print("no setting differs")


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
