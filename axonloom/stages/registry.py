"""Stages by name, so that a worker can open one from its folder."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from axonloom.stage import Stage, StageError, StagePlan

# Modules are named, not imported: a worker that relabels blocks should not wait for torch.
STAGES: dict[str, str] = {
    "infer": "axonloom.stages.infer:InferStage",
    "fragment": "axonloom.stages.fragment:FragmentStage",
    "waterz": "axonloom.stages.waterz:WaterzStage",
    "mutex": "axonloom.stages.mutex:MutexStage",
    "join": "axonloom.stages.join:JoinStage",
    "graph": "axonloom.stages.graph:GraphStage",
    "agglomerate": "axonloom.stages.agglomerate:AgglomerateStage",
    "multicut": "axonloom.stages.multicut:MulticutStage",
    "pool": "axonloom.stages.pool:PoolStage",
    "overlap": "axonloom.stages.overlap:OverlapStage",
    "stitch": "axonloom.stages.stitch:StitchStage",
    "apply": "axonloom.stages.apply:ApplyStage",
    "segments": "axonloom.stages.segments:SegmentsStage",
    "pyramid": "axonloom.stages.pyramid:PyramidStage",
    "downsample": "axonloom.stages.downsample:DownsampleStage",
    "split": "axonloom.stages.split:SplitStage",
    "predict": "axonloom.stages.predict:PredictStage",
    "assemble": "axonloom.stages.join_files:JoinFilesStage",
    "convert": "axonloom.stages.convert:ConvertStage",
    "resize": "axonloom.stages.resize:ResizeStage",
    "foreground": "axonloom.stages.foreground:ForegroundStage",
    "pieces": "axonloom.stages.sieve:PiecesStage",
    "touches": "axonloom.stages.sieve:TouchesStage",
    "small": "axonloom.stages.sieve:SmallStage",
    "sieve": "axonloom.stages.sieve:SieveStage",
    "apply-mask": "axonloom.stages.apply_mask:ApplyMaskStage",
    "contingency": "axonloom.stages.contingency:ContingencyStage",
}


def stage_class(name: str) -> type[Stage]:
    """The class of a stage.

    Raises
    ------
    StageError
        No stage has this name.
    """
    try:
        module, attribute = STAGES[name].split(":")
    except KeyError:
        raise StageError(f"no stage is called {name!r}; there are {', '.join(STAGES)}") from None
    return getattr(import_module(module), attribute)


def open_stage(folder: Path) -> Stage:
    """The stage whose plan lies in ``folder``, ready to run."""
    plan = StagePlan.load(folder)
    return stage_class(plan.stage)(plan)
