"""``axonloom models``: networks under a name, each with a card that says what it is."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from axonloom.free_disk import readable
from axonloom.models.card import ModelCard, ModelError
from axonloom.models.markdown import as_markdown
from axonloom.models.registry import ModelRegistry, RegisteredModel
from cli import exit_codes
from cli.options import AsJson
from cli.running import complaints, console, sentences
from cli.tables import print_table

models_app = typer.Typer(
    help="Networks under a name, with what they are and how good. They lie in the folder that AXONLOOM_MODELS names, else in the "
    "user's data folder.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]


@models_app.command("list")
def listed(as_json: AsJson = False) -> None:
    """The models there are."""
    models = ModelRegistry.of_user()
    found: list[RegisteredModel] = []
    broken: list[str] = []
    for name in models.names():
        try:
            found.append(models.get(name))
        except ModelError as error:
            broken.append(str(error))
    if as_json:
        print(json.dumps({"folder": str(models.folder), "models": [_row(each) for each in found], "damaged": broken}))
    elif not found and not broken:
        console.print(
            f"there are no models in {models.folder} yet: axonloom models register CHECKPOINT --name NAME makes one",
            markup=False,
        )
    elif found:
        table = Table(box=None, pad_edge=False)
        for column in (
            "name",
            "network",
            "predicts",
            "voxels (nm)",
            "iterations",
            "validation",
            "VOI",
            "licence",
            "size",
        ):
            table.add_column(column, no_wrap=True)
        for each in found:
            table.add_row(*_cells(each))
        print_table(console, table)
    for sentence in broken:
        complaints.print(f"damaged: {sentence}", markup=False)
    if broken:
        raise typer.Exit(exit_codes.SOME_BLOCKS_FAILED)


@models_app.command("info")
def info(name: Name, as_json: AsJson = False) -> None:
    """A model's card, as Markdown. Reads its files, and compares their sha256 with the card: exit code 1 when one differs."""
    with sentences():
        model = ModelRegistry.of_user().get(name)
    damage = model.damage()
    if as_json:
        print(json.dumps({**_row(model), "damage": damage}))
    else:
        print(as_markdown(model.card))
        if not damage:
            console.print(f"all {len(model.card.files)} files in {model.folder} are as registered", markup=False)
    for sentence in damage:
        complaints.print(f"damaged: {sentence}", markup=False)
    if damage:
        raise typer.Exit(exit_codes.SOME_BLOCKS_FAILED)


@models_app.command("register")
def register(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A checkpoint folder, such as work/checkpoints/best, or a model exported as a folder.",
        ),
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What it is called from now on.")],
    description: Annotated[str | None, typer.Option(help="In words: of what tissue, for what.")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="Who may use it, such as CC-BY-4.0.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `axonloom evaluate --json` printed for a segmentation by it."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="A model of that name may be there, and goes.")] = False,
) -> None:
    """Copy a checkpoint under a name, with a card: what it predicts, for which images, from which data, how well.

    From then on infer.checkpoint and train.start_from take it as model:NAME.
    """
    with sentences():
        found = _scores(scores) if scores is not None else None
        model = ModelRegistry.of_user().register(
            path, name, description=description, licence=licence, scores=found, replace=replace
        )
    console.print(f"registered {model.folder}: use it with infer.checkpoint: model:{name}", markup=False)
    if model.card.licence is None:
        console.print("it has no licence, so that others may not use it: --licence", markup=False)


@models_app.command("export")
def export(
    name: Name,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder or file to write.")],
    format: Annotated[
        str,
        typer.Option(
            metavar="axonloom|pytc|torchscript",
            help="A folder with checkpoint, card and README.md, for `models register` elsewhere; PyTorch Connectomics v1's .pth.tar; "
            "or a TorchScript program (.pt).",
        ),
    ] = "axonloom",
) -> None:
    """Write a model so that it can be given away. Nothing is overwritten."""
    with sentences():
        model = ModelRegistry.of_user().get(name)
        # Only here: it imports torch.
        from axonloom.models.exporting import export_model

        known = export_model(model, path, format)
    console.print(f"wrote {path}", markup=False)
    if known is not None:
        console.print(known, markup=False)


def _scores(path: Path) -> dict[str, float]:
    """The numbers in a JSON file; what is none (conventions, regions) stays out."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from None
    numbers = {
        name: value
        for name, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    }
    if not numbers:
        raise ModelError(f"{path} holds no scores: `axonloom evaluate --json` prints them")
    return numbers


def _row(model: RegisteredModel) -> dict[str, Any]:
    return {"folder": str(model.folder), "bytes": model.bytes, **model.card.model_dump(mode="json")}


def _cells(model: RegisteredModel) -> tuple[str, ...]:
    card: ModelCard = model.card
    voxel_size, loss, voi = card.images.voxel_size, card.training.validation_loss, card.scores.get("voi")
    return (
        card.name,
        card.network.architecture,
        f"{card.output.representation} ({', '.join(card.output.channels)})",
        "" if voxel_size is None else " x ".join(f"{n:g}" for n in voxel_size),
        str(card.training.iterations),
        "" if loss is None else f"{loss:.4g}",
        "" if voi is None else f"{voi:.3f}",
        card.licence or "",
        readable(model.bytes),
    )
