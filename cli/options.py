"""Arguments that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG]",
        help="YAML file, by default axonloom.yaml of this folder; `axonloom init DIR` writes one.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a value, such as merge.threshold=0.4. Any number of times."
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="local|dask|slurm|block/NAME",
        help="Where batches run: compute.on, or settings saved with `axonloom compute save NAME`.",
        show_default=False,
    ),
]
FromCheckpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="PATH",
        help="The network: a checkpoint folder, or model:NAME of a registered model; with --pytc-config a .pth.tar. Training begins with "
        "its weights.",
        show_default=False,
    ),
]
PytcBase = Annotated[
    Path | None,
    typer.Option(
        "--pytc-base", metavar="FILE", help="PyTorch Connectomics v1's base configuration.", show_default=False
    ),
]
PytcConfig = Annotated[
    Path | None,
    typer.Option("--pytc-config", metavar="FILE", help="PyTorch Connectomics v1's configuration.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def with_place(overrides: list[str] | None, on: str | None) -> list[str]:
    """``--on`` is short for ``--set compute.on=``; ``--on block/NAME`` for ``--set compute.block=``."""
    if on is None:
        return overrides or []
    return [*(overrides or []), f"compute.block={on.removeprefix('block/')}" if "/" in on else f"compute.on={on}"]
