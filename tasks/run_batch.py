"""The Prefect task that runs a batch of blocks, wherever the task runner puts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.context import TaskRunContext
from prefect.runtime import task_run

from axonloom.block_sets import shown
from axonloom.config.failures import FailuresSettings
from axonloom.lease import require_claim
from axonloom.runner import BatchReport, run_blocks
from axonloom.stages.registry import open_stage
from tasks.gpu_slot import gpu_slot
from tasks.retrying import JITTER, delays, may_pass
from tasks.stopping import stop_requested


class BlocksFailedError(Exception):
    """Some blocks of a batch raised; the others are done, unless the batch was given up.

    Attributes
    ----------
    stage : str
    failed : block index -> traceback
    places : where and how they died
    computed : how many blocks of the batch were finished in this try
    gave_up : why the rest was not tried, or None
    """

    def __init__(self, stage: str, failed: dict[int, str], places: set[str], computed: int, gave_up: str | None):
        self.stage, self.failed, self.places, self.computed, self.gave_up = stage, failed, places, computed, gave_up
        first = next(iter(failed.values())).strip().splitlines()[-1]
        ended = f"; given up: {gave_up}" if gave_up else ""
        super().__init__(
            f"{stage}: {len(failed)} of the batch's blocks failed: {shown(failed)}; the first with {first}{ended}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # By its parts: exceptions are otherwise rebuilt from their message, on the way back from a worker.
        return type(self), (self.stage, self.failed, self.places, self.computed, self.gave_up)


def _cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Stage fingerprint and blocks: a key of this task and these bytes, unlike Prefect's INPUTS policy."""
    return cache_key(parameters["stage"], parameters["fingerprint"], parameters["first"], parameters["last"])


def cache_key(stage: str, fingerprint: str, first: int | str, last: int | str) -> str:
    """Under which name Prefect keeps the result of a batch."""
    return f"{stage}-{fingerprint}-{first}-{last}"


@task(
    name="blocks",
    task_run_name="{stage} {batch}: blocks {first}-{last}",
    cache_key_fn=_cache_key,
    persist_result=True,
    retry_condition_fn=may_pass,
    retry_jitter_factor=JITTER,
)
def run_batch(
    folder: str,
    stage: str,
    fingerprint: str,
    batch: int,
    first: int,
    last: int,
    to_do: list[list[int]],
    failed_before: dict[int, int],
    retries: int,
    failures: FailuresSettings,
    claim: str | None,
    threads: int = 1,
) -> dict[str, Any]:
    """Run those of blocks ``first .. last`` of the stage whose plan lies in ``folder`` that the flow found to do.

    Parameters
    ----------
    to_do : runs [first, last] of blocks
        What the flow found not done when it began; what was finished since is left out.
    failed_before : block -> how often it had failed by then
    claim : the claim of the flow on the stage; the batch stops when another run has it
    threads : processor cores for each block, where there are fewer batches than cores

    Raises
    ------
    BlocksFailedError
        After all blocks were tried, or so many that the rest was given up.
    """
    chosen = [b for low, high in to_do for b in range(low, high + 1)]
    opened = open_stage(Path(folder))
    opened.threads = threads
    # A finished batch that is not in the cache comes here with nothing to do, and waits for no slot.
    with gpu_slot(opened.plan.parameters.get("device", "cpu") if chosen else "cpu"):
        report: BatchReport = run_blocks(
            opened,
            chosen,
            done=(),
            failed_before={int(b): n for b, n in failed_before.items()},
            should_stop=stop_requested,
            permit=_permit(opened.plan.lease, claim),
            last_try=(task_run.run_count or 1) > retries,
            failures=failures,
        )
    if report.failed:
        _log_failures(stage, report)
        raise BlocksFailedError(stage, report.failed, report.places, len(report.computed), report.gave_up)
    return {
        "computed": len(report.computed),
        "done before": last - first + 1 - len(report.computed),
        "seconds": round(report.seconds, 3),
    }


def _permit(lease: Path, claim: str | None) -> Callable[[], None]:
    return (lambda: require_claim(lease, claim)) if claim is not None else lambda: None


def _log_failures(stage: str, report: BatchReport) -> None:
    """Every block's traceback; where a batch was given up, one for all."""
    logger = get_run_logger()
    if report.gave_up:
        block, trace = next(iter(report.failed.items()))
        logger.error("%s: %s; the first was block %d\n%s", stage, report.gave_up, block, trace)
        return
    for block, trace in report.failed.items():
        logger.error("%s: block %d failed\n%s", stage, block, trace)


def configured(cache: Path, retries: int) -> Any:
    """:func:`run_batch` with its results kept in ``cache`` (shared by all workers) and its retries."""
    cache.mkdir(parents=True, exist_ok=True)
    return run_batch.with_options(
        result_storage=cache.absolute(),
        retries=retries,
        retry_delay_seconds=delays(retries),
    )
