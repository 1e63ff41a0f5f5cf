"""What tools do, planned from a configuration: each has a section of its own, and stages as a segmentation has."""

from __future__ import annotations

from collections.abc import Callable

from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError
from axonloom.models.named import checkpoint_folder
from axonloom.stage import StagePlan
from axonloom.stages.apply_mask import ApplyMaskStage
from axonloom.stages.convert import ConvertStage
from axonloom.stages.downsample import DownsampleStage
from axonloom.stages.join_files import JoinFilesStage
from axonloom.stages.split import SplitStage
from axonloom.volumes import open_volume
from axonloom.workspace import placed


def _downsample(configuration: Configuration) -> tuple[StagePlan, ...]:
    return DownsampleStage.planned(configuration.downsample, configuration.blocks.shape, configuration.workspace)


def _split(configuration: Configuration) -> tuple[StagePlan, ...]:
    return (SplitStage.planned(configuration.split, configuration.workspace),)


def _predict(configuration: Configuration) -> tuple[StagePlan, ...]:
    # Only here: torch takes seconds to import.
    from axonloom.stages.predict import PredictStage

    infer = configuration.infer
    checkpoint = checkpoint_folder(infer.checkpoint or configuration.workspace / "checkpoints" / "best")
    return (PredictStage.planned(configuration.predict, infer, checkpoint, configuration.workspace),)


def _join(configuration: Configuration) -> tuple[StagePlan, ...]:
    return (JoinFilesStage.planned(configuration.join, configuration.blocks.shape, configuration.workspace),)


def _to_precomputed(configuration: Configuration) -> tuple[StagePlan, ...]:
    return (ConvertStage.planned(configuration.to_precomputed, configuration.blocks.shape, configuration.workspace),)


def _convert(configuration: Configuration) -> tuple[StagePlan, ...]:
    return (ConvertStage.planned(configuration.convert, configuration.blocks.shape, configuration.workspace),)


def _resize(configuration: Configuration) -> tuple[StagePlan, ...]:
    # Only here: scipy's filters take a while to import.
    from axonloom.stages.resize import ResizeStage

    return (ResizeStage.planned(configuration.resize, configuration.blocks.shape, configuration.workspace),)


def _make_mask(configuration: Configuration) -> tuple[StagePlan, ...]:
    # Only here: scipy's filters take a while to import.
    from axonloom.stages.foreground import ForegroundStage
    from axonloom.stages.sieve import sieve_plans

    settings, workspace = configuration.make_mask, configuration.workspace
    if settings.source is None or settings.target is None:
        raise ConfigurationError(
            "make_mask.source and make_mask.target are not set: name both, as in `axonloom tools make-mask AFFINITIES TARGET`"
        )
    plans = [ForegroundStage.planned(settings, configuration.blocks.shape, workspace)]
    if settings.min_size > 1:
        plans += sieve_plans(plans[-1], settings.min_size, holes=False)
    if settings.holes > 1:
        plans += sieve_plans(plans[-1], settings.holes, holes=True)
    offset = open_volume(placed(settings.source, workspace), version=settings.version).offset
    return (*plans, ConvertStage.of_stage(plans[-1], "make_mask", settings.target, "uint8", offset))


def _apply_mask(configuration: Configuration) -> tuple[StagePlan, ...]:
    return ApplyMaskStage.planned(configuration.apply_mask, configuration.blocks.shape, configuration.workspace)


#: Name -> its stages, in order.
TOOLS: dict[str, Callable[[Configuration], tuple[StagePlan, ...]]] = {
    "downsample": _downsample,
    "split": _split,
    "predict": _predict,
    "join": _join,
    "to_precomputed": _to_precomputed,
    "convert": _convert,
    "resize": _resize,
    "make_mask": _make_mask,
    "apply_mask": _apply_mask,
}


def is_configured(tool: str, configuration: Configuration) -> bool:
    """Whether the section of a tool says what to work on."""
    section = getattr(configuration, tool)
    return section.layer is not None if tool == "downsample" else None not in (section.source, section.target)
