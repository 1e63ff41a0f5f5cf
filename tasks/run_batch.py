"""The Prefect task that runs a batch of blocks, wherever the task runner puts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.context import TaskRunContext
from prefect.runtime import task_run

from axonloom.runner import BatchReport, run_blocks
from axonloom.stages.registry import open_stage
from tasks.retrying import JITTER, delays, may_pass
from tasks.stopping import stop_requested


class BlocksFailedError(Exception):
    """Some blocks of a batch raised; the others are done.

    Attributes
    ----------
    failed : block index -> traceback
    """

    def __init__(self, stage: str, failed: dict[int, str]) -> None:
        self.failed = failed
        first = next(iter(failed.values())).strip().splitlines()[-1]
        super().__init__(
            f"{stage}: {len(failed)} of the batch's blocks failed: {sorted(failed)}; the first with {first}"
        )


def _cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Stage fingerprint and batch: a key of this task and these bytes, unlike Prefect's INPUTS policy."""
    return f"{parameters['stage']}-{parameters['fingerprint']}-{parameters['batch']}"


@task(
    name="blocks",
    task_run_name="{stage} {batch}: blocks {first}-{last}",
    cache_key_fn=_cache_key,
    persist_result=True,
    retry_condition_fn=may_pass,
    retry_jitter_factor=JITTER,
)
def run_batch(
    folder: str, stage: str, fingerprint: str, batch: int, first: int, last: int, done: list[int], retries: int
) -> dict[str, Any]:
    """Run blocks ``first .. last`` of the stage whose plan lies in ``folder``.

    ``done`` are those that the flow saw done when it started; a further try reads the ledger anew.

    Raises
    ------
    BlocksFailedError
        After all blocks were tried.
    """
    attempt = task_run.run_count or 1
    report: BatchReport = run_blocks(
        open_stage(Path(folder)),
        range(first, last + 1),
        done=frozenset(done) if attempt == 1 else None,
        should_stop=stop_requested,
        last_try=attempt > retries,
    )
    logger = get_run_logger()
    for block, trace in report.failed.items():
        logger.error("%s: block %d failed\n%s", stage, block, trace)
    if report.failed:
        raise BlocksFailedError(stage, report.failed)
    return {
        "computed": len(report.computed),
        "done before": len(report.skipped),
        "seconds": round(report.seconds, 3),
    }


def configured(cache: Path, retries: int) -> Any:
    """:func:`run_batch` with its results kept in ``cache`` (shared by all workers) and its retries."""
    cache.mkdir(parents=True, exist_ok=True)
    return run_batch.with_options(
        result_storage=cache.absolute(),
        retries=retries,
        retry_delay_seconds=delays(retries),
    )
