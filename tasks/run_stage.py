"""A whole stage as task runs: finished batches from the cache, the others on the workers, and a report at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger

from axonloom.config.compute import ComputeSettings
from axonloom.runner import StoppedError
from axonloom.stage import StagePlan
from axonloom.stages.registry import open_stage
from tasks.artifacts import StageArtifacts
from tasks.batches import Batch, batches
from tasks.run_batch import BlocksFailedError, configured
from tasks.stopping import clear_stop, request_stop, stop_requested
from tasks.upstream import require_inputs_done
from tasks.workers import Workers

#: Where Prefect keeps the results of finished batches, below the workspace.
CACHE = "cache"


@dataclass(frozen=True)
class StageReport:
    """How a stage went.

    Attributes
    ----------
    blocks, computed, done_before : numbers of blocks
    failed : block index -> traceback
    seconds : wall time
    megavoxels_per_second : of what was computed in this run
    """

    stage: str
    fingerprint: str
    blocks: int
    computed: int
    done_before: int
    failed: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    megavoxels_per_second: float = 0.0

    def __str__(self) -> str:
        rate = f", {self.megavoxels_per_second:.2f} Mvox/s" if self.computed else ""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return (
            f"{self.stage}: {self.blocks} blocks, {self.computed} computed, {self.done_before} done before{failed} "
            f"in {self.seconds:.1f} s{rate}"
        )


class StageFailedError(Exception):
    """Some blocks of a stage failed; all others are done, and running again does just those.

    Attributes
    ----------
    report : StageReport
    """

    def __init__(self, report: StageReport) -> None:
        self.report = report
        blocks = sorted(report.failed)
        shown = ", ".join(map(str, blocks[:10])) + (f" and {len(blocks) - 10} more" if len(blocks) > 10 else "")
        last = report.failed[blocks[0]].strip().splitlines()[-1]
        super().__init__(
            f"{report.stage}: {len(blocks)} of {report.blocks} blocks failed ({shown}); block {blocks[0]}: {last}"
        )


def run_stage(plan: StagePlan, workers: Workers) -> StageReport:
    """Run a stage to its end from within a flow.

    Batches whose blocks all have ledger lines are called on the flow's own thread, where a cached result costs milliseconds
    and shows as ``Cached``; the others go to the workers, past the cache: where cache and ledger disagree, the ledger wins.

    Raises
    ------
    StageFailedError
        Blocks failed.
    StoppedError
        The process was asked to stop; running again goes on.
    """
    logger = get_run_logger()
    compute = workers.settings
    begin = time.perf_counter()
    require_inputs_done(plan)
    plan.save()
    stage = open_stage(plan.folder)
    stage.prepare()
    before = plan.ledger.read()
    all_batches = batches(plan)
    open_batches = [b for b in all_batches if before.missing(b.blocks)]
    finished = [b for b in all_batches if not before.missing(b.blocks)]
    artifacts = StageArtifacts(plan)
    logger.info(
        "%s %s: %d of %d blocks done, %d batches to run, %d finished",
        plan.stage, plan.folder.name, len(before.done), len(plan.grid), len(open_batches), len(finished),
    )  # fmt: skip
    run_batch = configured(plan.workspace / CACHE, compute.retries)
    for batch in finished:
        run_batch(**_parameters(plan, batch, before.done, compute), return_state=True)
    if open_batches:
        artifacts.update(before, force=True)
        _run_open(plan, open_batches, before.done, workers, run_batch, artifacts)
        after = plan.ledger.read()
        plan.ledger.compact()
    else:
        after = before
    artifacts.update(after, force=True)
    report = _report(plan, before.done, after.done, after.failed, time.perf_counter() - begin)
    logger.info("%s", report)
    if stop_requested() and after.missing(range(len(plan.grid))):
        raise StoppedError(
            f"{plan.stage} was stopped after {len(after.done)} of {len(plan.grid)} blocks; run again to go on"
        )
    if report.failed:
        raise StageFailedError(report)
    return report


def _run_open(
    plan: StagePlan,
    open_batches: list[Batch],
    done: set[int],
    workers: Workers,
    run_batch: Any,
    artifacts: StageArtifacts,
) -> None:
    anew = run_batch.with_options(refresh_cache=True)
    runner = workers.runner_for(len(open_batches), plan)
    futures = [
        runner.submit(anew, parameters=_parameters(plan, batch, done, workers.settings)) for batch in open_batches
    ]
    try:
        for future in futures:
            while not future.wrapped_future.done():
                future.wait(timeout=1.0)
                if stop_requested():
                    raise StoppedError(f"{plan.stage} was stopped; run again to go on")
                artifacts.update_from(plan.ledger)
            if future.wrapped_future.cancelled():
                continue
            future.wait()
            error = future.state.result(raise_on_failure=False) if future.state.is_failed() else None
            if isinstance(error, Exception) and not isinstance(error, BlocksFailedError):
                # Not a block's fault: the plan, the ledger, the disk or the lease. The next batch would fail as well.
                raise error
    except BaseException:
        # The flow is leaving: blocks that are running end, the others are not begun, and then this process may work again.
        asked_before = stop_requested()
        request_stop()
        for future in futures:
            future.wrapped_future.cancel()
        wait([future.wrapped_future for future in futures if isinstance(future.wrapped_future, Future)])
        if not asked_before:
            clear_stop()
        raise


def _parameters(plan: StagePlan, batch: Batch, done: set[int], compute: ComputeSettings) -> dict[str, Any]:
    return {
        "folder": str(plan.folder.absolute()),
        "stage": plan.stage,
        "fingerprint": plan.fingerprint,
        "batch": batch.number,
        "first": batch.first,
        "last": batch.last,
        "done": [b for b in batch.blocks if b in done],
        "retries": compute.retries,
    }


def _report(
    plan: StagePlan, done_before: set[int], done: set[int], failed: Mapping[int, str], seconds: float
) -> StageReport:
    computed = done - done_before
    lost = {
        b: "the worker was lost before the block ended, and left no traceback"
        for b in range(len(plan.grid))
        if b not in done and b not in failed
    }
    voxels = sum(plan.grid.block(b).core.voxels for b in computed)
    return StageReport(
        stage=plan.stage,
        fingerprint=plan.fingerprint,
        blocks=len(plan.grid),
        computed=len(computed),
        done_before=len(done_before),
        failed={**failed, **lost},
        seconds=seconds,
        megavoxels_per_second=voxels / 1e6 / seconds if seconds > 0 else 0.0,
    )
