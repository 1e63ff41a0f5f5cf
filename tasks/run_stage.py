"""A whole stage as task runs: finished batches from the cache, the others on the workers, and a report at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Any

from prefect import get_run_logger
from prefect.futures import PrefectConcurrentFuture

from axonloom.block_sets import runs
from axonloom.config.compute import ComputeSettings
from axonloom.config.failures import FailuresSettings
from axonloom.free_disk import require_room
from axonloom.lease import holding
from axonloom.ledger import LedgerState
from axonloom.runner import StoppedError, hopeless
from axonloom.stage import Stage, StagePlan
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.registry import open_stage
from tasks.artifacts import INTERVAL, StageArtifacts
from tasks.batches import Batch, fix_cut
from tasks.job import untagged
from tasks.parcels import parcels
from tasks.run_batch import BlocksFailedError, configured
from tasks.stage_report import StageFailedError, StageReport, stage_report
from tasks.stopping import clear_stop, request_stop, stop_requested
from tasks.upstream import require_inputs_done
from tasks.workers import Workers

__all__ = ["CACHE", "StageFailedError", "StageReport", "run_stage"]

#: Where Prefect keeps the results of finished batches, below the workspace.
CACHE = "cache"
#: Seconds between two snapshots of the ledger while a stage runs: what a reader of a long run need not parse again.
SNAPSHOT_INTERVAL = 120.0


def run_stage(
    plan: StagePlan,
    workers: Workers,
    failures: FailuresSettings | None = None,
    *,
    only: Collection[int] | None = None,
) -> StageReport:
    """Run a stage to its end from within a flow.

    Batches whose blocks all have ledger lines are called on the flow's own thread, where a cached result costs milliseconds
    and shows as ``Cached``; the others go to the workers, past the cache: where cache and ledger disagree, the ledger wins.

    Parameters
    ----------
    failures : when to give the stage up; default: as :class:`FailuresSettings` has it
    only : run these blocks and leave the others as they are

    Raises
    ------
    StageFailedError
        Blocks failed.
    StoppedError
        The process was asked to stop, or there is no room for what the stage writes; running again goes on.
    LeaseHeldError
        Another run computes this stage now.
    """
    begin = time.perf_counter()
    failures = failures or FailuresSettings()
    require_inputs_done(plan)
    plan.save()
    stage = open_stage(plan.folder)
    with ExitStack() as held:
        claim = None
        if isinstance(stage, LayerStage) or plan.ledger.read().missing(range(len(plan.grid))):
            # The second run of a stage is turned away here, and waits for nobody.
            claim = held.enter_context(holding(plan.lease, plan.fingerprint)).claim_id
            # Who deletes or takes back holds all leases: what was done before this one was won may not be any more.
            require_inputs_done(plan)
            stage.prepare()
        held.enter_context(untagged())
        return _run(plan, stage, workers, failures, only, claim, begin)


def _run(
    plan: StagePlan,
    stage: Stage,
    workers: Workers,
    failures: FailuresSettings,
    only: Collection[int] | None,
    claim: str | None,
    begin: float,
) -> StageReport:
    logger = get_run_logger()
    compute = workers.settings
    state = plan.ledger.read()
    done_before = state.done
    found = parcels(plan, state, only, compute.on)
    if found.to_do:
        require_room(plan, stage, len(found.to_do))
    fix_cut(plan, compute.on)
    artifacts = StageArtifacts(plan)
    logger.info(
        "%s %s: %d of %d blocks done, %d batches to run, %d finished",
        plan.stage, plan.folder.name, len(done_before), len(plan.grid), len(found.open), len(found.finished),
    )  # fmt: skip
    run_batch = configured(plan.workspace / CACHE, compute.retries)
    common = {
        "folder": str(plan.folder.absolute()),
        "stage": plan.stage,
        "fingerprint": plan.fingerprint,
        "retries": compute.retries,
        "failures": failures,
        "claim": claim,
        "threads": _threads(compute, len(found.open)),
    }
    for batch in found.finished:
        run_batch(**common, **_of_batch(batch, [], state), return_state=True)
    gave_up = None
    if found.open:
        artifacts.update(state, force=True)
        given = [{**common, **_of_batch(batch, blocks, state)} for batch, blocks in found.open]
        gave_up = _run_open(plan, given, workers, run_batch, failures, artifacts, state)
        state = plan.ledger.read()
        plan.ledger.write_snapshot(state)
    artifacts.update(state, force=True)
    report = stage_report(plan, done_before, state, found.wanted, gave_up, time.perf_counter() - begin)
    logger.info("%s", report)
    if stop_requested() and state.missing(found.wanted):
        raise StoppedError(
            f"{plan.stage} was stopped after {len(state.done)} of {len(plan.grid)} blocks; run again to go on"
        )
    if report.failed:
        raise StageFailedError(report)
    return report


def _run_open(
    plan: StagePlan,
    given: list[dict[str, Any]],
    workers: Workers,
    run_batch: Any,
    failures: FailuresSettings,
    artifacts: StageArtifacts,
    state: LedgerState,
) -> str | None:
    """Batches on the workers until all have ended; why the stage was given up, or None."""
    anew = run_batch.with_options(refresh_cache=True)
    runner = workers.runner_for(len(given), plan)
    futures = [runner.submit(anew, parameters=parameters) for parameters in given]
    waiting = list(futures)
    watch = _Watch(plan, artifacts, plan.ledger.refresh(state))
    tally = _Tally(failures, futures)
    for future in futures:
        if isinstance(future, PrefectConcurrentFuture):
            # Counted by the thread that ran it, before that begins another: this thread may be late.
            future.add_done_callback(tally.take)
    try:
        while waiting:
            still = []
            for future in waiting:
                if future.wrapped_future.done():
                    tally.take(future)
                else:
                    still.append(future)
            if tally.error is not None:
                raise tally.error
            if tally.gave_up:
                _leave(futures)
                return tally.gave_up
            if stop_requested():
                raise StoppedError(f"{plan.stage} was stopped; run again to go on")
            if len(still) == len(waiting):
                waiting[0].wait(timeout=0.25)
            waiting = still
            watch.look()
    except BaseException:
        _leave(futures)
        raise
    return None


def _threads(compute: ComputeSettings, open_batches: int) -> int:
    """Cores for each block: the workers of this machine that would have no batch. A SLURM job has the cores of its profile."""
    return 1 if compute.on == "slurm" else max(1, compute.workers // max(1, open_batches))


def _leave(futures: list[Any]) -> None:
    """The stage ends here: blocks that are running end, the others are not begun, and then this process may work again."""
    asked_before = stop_requested()
    request_stop()
    for future in futures:
        future.wrapped_future.cancel()
    wait([future.wrapped_future for future in futures if isinstance(future.wrapped_future, Future)])
    if not asked_before:
        clear_stop()


class _Tally:
    """What has become of the batches so far; where it is not worth going on, those that have not begun are withdrawn.

    Attributes
    ----------
    gave_up : why the stage has no hope, or None
    error : what ended a batch and is no fault of a block's, or None
    """

    def __init__(self, failures: FailuresSettings, futures: list[Any]) -> None:
        self.failures = failures
        self.futures = futures
        self.computed = self.failed = 0
        self.places: set[str] = set()
        self.gave_up: str | None = None
        self.error: Exception | None = None
        self._taken: set[Any] = set()
        # Withdrawing a batch ends it, which brings it here again on the same thread.
        self._lock = threading.RLock()

    def take(self, future: Any) -> None:
        """Count a batch that has ended, once."""
        with self._lock:
            if future.task_run_id in self._taken:
                return
            self._taken.add(future.task_run_id)
            if future.wrapped_future.cancelled():
                return
            self._count(future)
            if self.gave_up or self.error is not None:
                for other in self.futures:
                    other.wrapped_future.cancel()

    def _count(self, future: Any) -> None:
        future.wait()
        if future.state.is_completed():
            self.computed += 1
        error = future.state.result(raise_on_failure=False) if future.state.is_failed() else None
        if isinstance(error, BlocksFailedError):
            self.failed += len(error.failed)
            self.computed += error.computed
            self.places |= error.places
            self.gave_up = (
                self.gave_up or error.gave_up or hopeless(self.failed, self.places, self.computed, self.failures)
            )
        elif isinstance(error, Exception):
            # Not a block's fault: the plan, the ledger, the disk or the lease. The next batch would fail as well.
            self.error = self.error or error


class _Watch:
    """Keeps the artifacts and the ledger's snapshot near what is on disk, at the cost of reading what is new."""

    def __init__(self, plan: StagePlan, artifacts: StageArtifacts, state: LedgerState) -> None:
        self.plan, self.artifacts, self.state = plan, artifacts, state
        self.looked = self.saved = time.monotonic()

    def look(self) -> None:
        now = time.monotonic()
        if now - self.looked < INTERVAL:
            return
        self.state = self.plan.ledger.refresh(self.state)
        self.artifacts.update(self.state)
        if now - self.saved >= SNAPSHOT_INTERVAL:
            self.plan.ledger.write_snapshot(self.state)
            self.saved = time.monotonic()
        self.looked = time.monotonic()


def _of_batch(batch: Batch, chosen: list[int], state: LedgerState) -> dict[str, Any]:
    return {
        "batch": batch.number,
        "first": batch.first,
        "last": batch.last,
        "to_do": runs(chosen),
        "failed_before": {b: state.failures[b] for b in chosen if b in state.failures},
    }
