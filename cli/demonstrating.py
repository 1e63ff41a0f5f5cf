"""``axonloom demo``: from nothing to scored neurons, on a phantom or on a file of one's own."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.geometry import Zyx
from axonloom.volumes import create_volume, open_volume
from cli import exit_codes
from cli.jobs import JOBS
from cli.options import Overrides
from cli.running import complaints, console, run_flow, sentences
from cli.tables import print_table

#: Sections trained on in the phantom, and sections reconstructed; the rest of the shape is y and x.
PHANTOM_TRAINING, PHANTOM_RECONSTRUCTED = 128, 64
PHANTOM_SHAPE: Zyx = (PHANTOM_TRAINING + PHANTOM_RECONSTRUCTED, 160, 160)
PHANTOM_ITERATIONS = 140
#: Of a file of one's own, this share of the sections (the last ones) is kept from training.
HELD_OUT = 2 / 11
DATA_ITERATIONS = 700
#: Chosen on the last 48 sections trained on: of those scored there, 0.25 is the best for the phantom and 0.3 for FIB-25.
MERGE_THRESHOLD = 0.3


@dataclass(frozen=True)
class Subject:
    """What the demo works on: two volumes of one shape, and where along z training ends."""

    image: str
    labels: str
    shape: Zyx
    training: int
    iterations: int

    def region(self, *, trained_on: bool) -> dict[str, list[int]]:
        z, y, x = self.shape
        if trained_on:
            return {"start": [0, 0, 0], "stop": [self.training, y, x]}
        return {"start": [self.training, 0, 0], "stop": [z, y, x]}


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="An HDF5 file with volumes/raw and volumes/labels/neuron_ids (CREMI layout) instead of a phantom."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where everything goes. Default: demo, or demo-NAME for a file.", show_default=False),
    ] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Training iterations.", show_default=False)] = None,
    overrides: Overrides = None,
) -> None:
    """Train, reconstruct and score, and say where to look. Run again, it goes on where it stopped."""
    begin = time.monotonic()
    folder = folder or Path("demo" if data is None else f"demo-{data.stem}")
    with sentences():
        subject = _own(data) if data is not None else _phantom(folder)
        _require_same(folder / "train.yaml", subject.image)
    training, reconstruction, untrained = _configurations(folder, subject, iterations, overrides or [])

    from deployments.server import prefect_server

    with prefect_server():
        _run("train", training)
        _make_untrained(training, untrained)
        result = _run("run", reconstruction)
        console.print("the same with an untrained network, to compare:")
        baseline = _run("run", untrained)
    pictures = _draw(folder, Chain(reconstruction))
    rows = [
        _row("segmentation", result),
        _row("fragments, nothing merged", result, "fragments_"),
        _row("untrained network", baseline),
    ]
    _tell(folder, subject, rows, pictures, time.monotonic() - begin, Chain(reconstruction))
    if result["voi_split"] + result["voi_merge"] > baseline["voi_split"] + baseline["voi_merge"]:
        complaints.print("the trained network did no better than the untrained one: something is wrong")
        raise typer.Exit(exit_codes.SOME_BLOCKS_FAILED)


def _phantom(folder: Path) -> Subject:
    """Synthetic neuropil with exact labels, written once."""
    from axonloom.phantom import Phantom, fill

    place = folder / "phantom"
    if not place.exists():
        console.print(f"making a phantom of {PHANTOM_SHAPE} voxels in {place}")
        # Built under another name: a phantom that was interrupted is made again, not used.
        building = folder / "phantom.building"
        shutil.rmtree(building, ignore_errors=True)
        phantom = Phantom(seed=7, shape=PHANTOM_SHAPE)
        block = (64, 160, 160)
        volumes = [
            create_volume(
                str(building / name),
                shape=PHANTOM_SHAPE,
                dtype=kind,
                chunk=(64, 80, 80),
                voxel_size=phantom.voxel_size,
            )
            for name, kind in (("image.zarr", "uint8"), ("labels.zarr", "uint64"))
        ]
        fill(phantom, *volumes, block)
        building.rename(place)
    return Subject("phantom/image.zarr", "phantom/labels.zarr", PHANTOM_SHAPE, PHANTOM_TRAINING, PHANTOM_ITERATIONS)


def _own(path: Path) -> Subject:
    image, labels = f"{path.absolute()}:volumes/raw", f"{path.absolute()}:volumes/labels/neuron_ids"
    shape = open_volume(image).shape
    open_volume(labels)
    return Subject(image, labels, shape, shape[0] - round(shape[0] * HELD_OUT), DATA_ITERATIONS)


def _require_same(known: Path, image: str) -> None:
    """Refuse a folder that holds the demo of other images: its network and its segmentation are not those of these."""
    if known.exists():
        other = yaml.safe_load(known.read_text())["volumes"]["image"]["path"]
        if other != image:
            raise ConfigurationError(f"{known.parent} holds the demo of {other}: name another with --folder")


def _configurations(
    folder: Path, subject: Subject, iterations: int | None, overrides: list[str]
) -> tuple[Configuration, Configuration, Configuration]:
    """Write the demo's configurations and read them back, so that they can be run again by hand."""

    def content(workspace: str, *, trained_on: bool, **more: Any) -> dict[str, Any]:
        region = subject.region(trained_on=trained_on)
        volumes = {
            "image": {"path": subject.image, "region": region},
            "labels": {"path": subject.labels, "region": region},
        }
        z, y, x = (b - a for a, b in zip(region["start"], region["stop"], strict=True))
        return {
            "workspace": workspace,
            "volumes": volumes,
            "blocks": {"shape": [64, 64, 64]},
            # Two blocks for two cores: larger ones compute fewer windows twice.
            "infer": {"blocks": [z, -(-y // 2), x]},
            **more,
        }

    train = {"preset": "small", "iterations": iterations or subject.iterations}
    chosen = {
        # A network of a few minutes is at times very sure and wrong: no edge joins voxels unasked. Nothing is absorbed before
        # merging, so that what merging does is seen against the bare watershed.
        "segment": {"high": 1, "absorb": 0},
        # Such a network is unsure within neurites too.
        "merge": {"threshold": MERGE_THRESHOLD},
    }
    files = {
        "train.yaml": content("./work", trained_on=True, train=train),
        "reconstruct.yaml": content("./work", trained_on=False, **chosen),
        "untrained.yaml": content("./untrained", trained_on=False, **chosen),
    }
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, values in files.items():
        text = yaml.safe_dump(values, sort_keys=False)
        (folder / name).write_text(f"# Written by `axonloom demo`.\n{text}")
        with sentences():
            found.append(load_configuration(folder / name, overrides))
    training, reconstruction, untrained = found
    return training, reconstruction, untrained


def _make_untrained(training: Configuration, untrained: Configuration) -> None:
    """The network as it was before its first iteration."""
    from axonloom.training.configured import open_labelled_volumes
    from axonloom.training.loop import train

    train(training.train, open_labelled_volumes(training), untrained.workspace / "checkpoints", until=0)


def _run(job: str, configuration: Configuration) -> dict[str, Any]:
    from importlib import import_module

    module, stages = JOBS[job]
    return run_flow(job, getattr(import_module(f"flows.{module}"), module), configuration, stages)


def _draw(folder: Path, chain: Chain) -> list[Path]:
    """Image, affinities and segmentation side by side, in the middle plane across each axis."""
    from axonloom.pictures import panels
    from axonloom.report.sections import Section, segmentation_pictures

    made = []
    for axis, name in enumerate("zyx"):
        path = folder / "pictures" / f"across_{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(panels(*segmentation_pictures(chain, Section.middle(chain.infer.grid.region.shape, axis))))
        made.append(path)
    return made


def _row(name: str, scores: dict[str, Any], of: str = "") -> tuple[str, ...]:
    split, merge, error = (scores[f"{of}{key}"] for key in ("voi_split", "voi_merge", "adapted_rand_error"))
    return name, f"{split:.3f}", f"{merge:.3f}", f"{split + merge:.3f}", f"{error:.3f}"


def _tell(
    folder: Path,
    subject: Subject,
    rows: list[tuple[str, ...]],
    pictures: list[Path],
    seconds: float,
    chain: Chain,
) -> None:
    table = Table(title=f"sections {subject.training} to {subject.shape[0] - 1}, never trained on")
    for column in ("", "VOI split", "VOI merge", "VOI", "adapted Rand\nerror"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        table.add_row(*row)
    print_table(console, table)
    console.print(f"pictures:      {', '.join(str(p) for p in pictures)}")
    console.print(f"segmentation:  {chain.layer} (Neuroglancer precomputed)")
    console.print(
        f"configuration: {folder / 'reconstruct.yaml'}; try `axonloom merge {folder / 'reconstruct.yaml'} --set merge.threshold=0.4`"
    )
    console.print("flow runs:     `prefect server start`, then http://127.0.0.1:4200")
    console.print(f"{seconds / 60:.1f} minutes in all")
