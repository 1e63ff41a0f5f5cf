"""``axonloom train``: images and labels to a network, with axonloom's configuration or with PyTorch Connectomics'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from axonloom.config.load import ConfigurationError
from cli.jobs import run_job
from cli.options import FromCheckpoint, On, Overrides, PytcBase, PytcConfig, with_place
from cli.running import configuration_of, console, sentences


def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG] | [KEY VALUE]...",
            help="axonloom's YAML file, by default axonloom.yaml of this folder; with --pytc-config, keys of PyTorch Connectomics "
            "and their values, such as SOLVER.BASE_LR 0.01.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    on: On = None,
    checkpoint: FromCheckpoint = None,
    pytc_base: PytcBase = None,
    pytc_config: PytcConfig = None,
) -> None:
    """Images and labels to a network. A stopped run goes on from its last checkpoint.

    With --pytc-config: what its sections for training say; the last checkpoint is also left as a .pth.tar in OUTPUT_PATH.
    """
    given = with_place(overrides, on)
    if pytc_config is not None:
        _with_pytc(pytc_base, pytc_config, checkpoint, words or [], given)
        return
    with sentences():
        if pytc_base is not None:
            raise ConfigurationError("--pytc-base goes with --pytc-config FILE")
        if len(words or []) > 1:
            raise ConfigurationError(
                f"one configuration at a time, not {' '.join(words or [])}; KEY VALUE pairs go with --pytc-config"
            )
    if checkpoint is not None:
        given = [*given, f"train.start_from={checkpoint}"]
    run_job("train", configuration_of(Path(words[0]) if words else None, given))


def _with_pytc(base: Path | None, file: Path, checkpoint: Path | None, words: list[str], overrides: list[str]) -> None:
    # Only here: it imports torch.
    from axonloom.networks.checkpoint import Checkpoint
    from axonloom.pytc.configuration import PytcConfiguration
    from axonloom.pytc.export import checkpoint_name, export_checkpoint
    from axonloom.pytc.training import plan_training

    with sentences():
        planned = plan_training(PytcConfiguration.load(base, file, words), checkpoint, overrides)
    for note in planned.notes:
        console.print(f"note: {note}", markup=False)
    run_job("train", planned.configuration)
    with sentences():
        last = Checkpoint.open(planned.configuration.workspace / "checkpoints" / "last")
        path = planned.folder / checkpoint_name(last.iteration)
        export_checkpoint(last, path)
    console.print(f"wrote {path}", markup=False)
