"""``axonloom infer``: images to affinities, with axonloom's configuration or with PyTorch Connectomics'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError
from cli.jobs import run_job
from cli.options import FromCheckpoint, On, Overrides, PytcBase, PytcConfig, with_place
from cli.running import configuration_of, console, sentences


def infer(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG] | [KEY VALUE]...",
            help="axonloom's YAML file, by default axonloom.yaml of this folder; with --pytc-config, keys of PyTorch Connectomics "
            "and their values, such as INFERENCE.AUG_NUM 8.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    on: On = None,
    checkpoint: FromCheckpoint = None,
    pytc_base: PytcBase = None,
    pytc_config: PytcConfig = None,
    pytc_compat: Annotated[
        bool, typer.Option("--pytc-compat", help="Give its own numbers, mistakes included, to repeat old results.")
    ] = False,
) -> None:
    """Images to affinities.

    With --pytc-config: what INFERENCE says, over one image or several; the result is OUTPUT_NAME in OUTPUT_PATH.
    """
    given = with_place(overrides, on)
    if pytc_config is not None:
        _with_pytc(pytc_base, pytc_config, checkpoint, words or [], given, pytc_compat)
        return
    with sentences():
        if pytc_base is not None or pytc_compat:
            raise ConfigurationError("--pytc-base and --pytc-compat go with --pytc-config FILE")
        if len(words or []) > 1:
            raise ConfigurationError(
                f"one configuration at a time, not {' '.join(words or [])}; KEY VALUE pairs go with --pytc-config"
            )
    if checkpoint is not None:
        given = [*given, f"infer.checkpoint={checkpoint}"]
    run_job("infer", configuration_of(Path(words[0]) if words else None, given))


def _with_pytc(
    base: Path | None, file: Path, checkpoint: Path | None, words: list[str], overrides: list[str], compat: bool
) -> None:
    # Only here: it imports torch.
    from axonloom.pytc.configuration import PytcConfiguration
    from axonloom.pytc.inference import finish_inference, plan_inference

    with sentences():
        if checkpoint is None:
            raise ConfigurationError("--pytc-config needs --checkpoint FILE.pth.tar")
        planned = plan_inference(PytcConfiguration.load(base, file, words), checkpoint, overrides, compat=compat)
    for number, configuration in enumerate(planned.configurations, 1):
        if len(planned.configurations) > 1:
            console.print(f"image {number} of {len(planned.configurations)}")
        run_job("infer", configuration)
    with sentences():
        stages = [Chain(configuration).infer for configuration in planned.configurations]
        made = finish_inference(planned, [s.folder for s in stages], [s.fingerprint for s in stages])
    console.print(f"{'wrote' if made else 'unchanged:'} {planned.result}", markup=False)
