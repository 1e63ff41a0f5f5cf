"""Stages that must be finished before another one may read them."""

from __future__ import annotations

from axonloom.stage import PLAN, StageError, StagePlan
from axonloom.stages.inputs import stage_folder
from axonloom.stages.layer_stage import current_state

#: The job of the command line that runs each stage.
JOB_OF_STAGE = {
    "infer": "infer",
    "fragment": "segment",
    "waterz": "segment",
    "mutex": "segment",
    "overlap": "segment",
    "join": "segment",
    "graph": "segment",
    "agglomerate": "pool",
    "multicut": "pool",
    "pool": "pool",
    "stitch": "pool",
    "apply": "apply",
    "segments": "apply",
    "pyramid": "apply",
    "downsample": "tools downsample",
    "split": "tools split",
    "predict": "tools predict",
    "assemble": "tools join",
    "convert": "tools convert",
    "resize": "tools resize",
    "apply-mask": "tools apply-mask",
    **dict.fromkeys(("foreground", "pieces", "touches", "small", "sieve"), "tools make-mask"),
}


def require_done(plan: StagePlan) -> None:
    """Raise StageError, naming the job to run, unless all blocks of a stage are done."""
    missing = current_state(plan).missing(range(len(plan.grid)))
    if missing:
        raise StageError(
            f"the {plan.stage} stage of this configuration is not done ({len(missing)} of {len(plan.grid)} blocks are "
            f"missing in {plan.folder}): run `axonloom {JOB_OF_STAGE.get(plan.stage, plan.stage)}` first"
        )


def require_inputs_done(plan: StagePlan) -> None:
    """The same for every stage that ``plan`` reads: what is half there must never be taken for whole.

    Blocks that were not computed read as zeros, so nothing further down would notice.
    """
    for given in plan.inputs.values():
        if given["kind"] != "stage":
            continue
        folder = stage_folder(given, plan.workspace)
        if not (folder / PLAN).exists():
            job = JOB_OF_STAGE.get(folder.parent.name, folder.parent.name)
            raise StageError(
                f"{plan.stage} reads the {folder.parent.name} stage, which has not run with these settings: run "
                f"`axonloom {job}` first"
            )
        require_done(StagePlan.load(folder))
