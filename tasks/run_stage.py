"""A whole stage as task runs: finished batches from the cache, the others on the workers, and a report at the end."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger

from axonloom.block_sets import BlockSet, runs, shown
from axonloom.config.failures import FailuresSettings
from axonloom.free_disk import require_room
from axonloom.lease import holding
from axonloom.ledger import LedgerState
from axonloom.runner import StoppedError, hopeless
from axonloom.stage import Stage, StagePlan
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.registry import open_stage
from tasks.artifacts import INTERVAL, StageArtifacts
from tasks.batches import Batch, batches, fix_cut
from tasks.job import untagged
from tasks.run_batch import BlocksFailedError, configured
from tasks.stopping import clear_stop, request_stop, stop_requested
from tasks.upstream import require_inputs_done
from tasks.workers import Workers

#: Where Prefect keeps the results of finished batches, below the workspace.
CACHE = "cache"
#: Seconds between two snapshots of the ledger while a stage runs: what a reader of a long run need not parse again.
SNAPSHOT_INTERVAL = 120.0


@dataclass(frozen=True)
class StageReport:
    """How a stage went.

    Attributes
    ----------
    blocks, computed, done_before : numbers of blocks
    failed : block index -> traceback
    not_tried : blocks that were not tried, because the stage was given up or others were asked for
    gave_up : why the stage ended early; None when it did not
    seconds : wall time
    megavoxels_per_second : of what was computed in this run
    """

    stage: str
    fingerprint: str
    blocks: int
    computed: int
    done_before: int
    failed: Mapping[int, str] = field(default_factory=dict)
    not_tried: int = 0
    gave_up: str | None = None
    seconds: float = 0.0
    megavoxels_per_second: float = 0.0

    def __str__(self) -> str:
        rate = f", {self.megavoxels_per_second:.2f} Mvox/s" if self.computed else ""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        left = f", {self.not_tried} not tried" if self.not_tried else ""
        return (
            f"{self.stage}: {self.blocks} blocks, {self.computed} computed, {self.done_before} done before{failed}{left} "
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
        first = min(report.failed)
        last = report.failed[first].strip().splitlines()[-1]
        ended = f"; the stage was given up, because {report.gave_up}" if report.gave_up else ""
        super().__init__(
            f"{report.stage}: {len(report.failed)} of {report.blocks} blocks failed ({shown(report.failed)}); "
            f"block {first}: {last}{ended}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)

    @property
    def tracebacks(self) -> dict[int, str]:
        """Block index -> traceback, for those worth showing: the first of each kind, three at most."""
        kinds: dict[str, int] = {}
        for block in sorted(self.report.failed):
            kinds.setdefault("".join(c for c in self.report.failed[block] if not c.isdigit()), block)
        return {block: self.report.failed[block] for block in list(kinds.values())[:3]}


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
    wanted = range(len(plan.grid)) if only is None else sorted(only)
    to_do = set(state.missing(wanted))
    if to_do:
        require_room(plan, stage, len(to_do))
    all_batches = batches(plan, fix_cut(plan, compute.on))
    open_batches = [b for b in all_batches if not to_do.isdisjoint(b.blocks)]
    finished = [b for b in all_batches if not state.missing(b.blocks)] if only is None else []
    artifacts = StageArtifacts(plan)
    logger.info(
        "%s %s: %d of %d blocks done, %d batches to run, %d finished",
        plan.stage, plan.folder.name, len(done_before), len(plan.grid), len(open_batches), len(finished),
    )  # fmt: skip
    run_batch = configured(plan.workspace / CACHE, compute.retries)
    common = {
        "folder": str(plan.folder.absolute()),
        "stage": plan.stage,
        "fingerprint": plan.fingerprint,
        "retries": compute.retries,
        "failures": failures,
        "claim": claim,
    }
    for batch in finished:
        run_batch(**common, **_of_batch(batch, set(), state), return_state=True)
    gave_up = None
    if open_batches:
        artifacts.update(state, force=True)
        given = [{**common, **_of_batch(batch, to_do, state)} for batch in open_batches]
        gave_up = _run_open(plan, given, workers, run_batch, failures, artifacts, state)
        state = plan.ledger.read()
        plan.ledger.write_snapshot(state)
    artifacts.update(state, force=True)
    report = _report(plan, done_before, state, set(wanted), gave_up, time.perf_counter() - begin)
    logger.info("%s", report)
    if stop_requested() and state.missing(wanted):
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
    tally = _Tally(failures)
    try:
        while waiting:
            still = []
            for future in waiting:
                if future.wrapped_future.done():
                    tally.take(future)
                else:
                    still.append(future)
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
    """What has become of the batches so far, and whether it is worth going on."""

    def __init__(self, failures: FailuresSettings) -> None:
        self.failures = failures
        self.computed = self.failed = 0
        self.places: set[str] = set()
        self.gave_up: str | None = None

    def take(self, future: Any) -> None:
        """Count a batch that has ended; raises what is no fault of a block's."""
        if future.wrapped_future.cancelled():
            return
        future.wait()
        if future.state.is_completed():
            self.computed += 1
        error = future.state.result(raise_on_failure=False) if future.state.is_failed() else None
        if isinstance(error, BlocksFailedError):
            self.failed += len(error.failed)
            self.computed += error.computed
            self.places |= error.places
            self.gave_up = error.gave_up or hopeless(self.failed, self.places, self.computed, self.failures)
        elif isinstance(error, Exception):
            # Not a block's fault: the plan, the ledger, the disk or the lease. The next batch would fail as well.
            raise error


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


def _of_batch(batch: Batch, to_do: set[int], state: LedgerState) -> dict[str, Any]:
    chosen = [b for b in batch.blocks if b in to_do]
    return {
        "batch": batch.number,
        "first": batch.first,
        "last": batch.last,
        "to_do": runs(chosen),
        "failed_before": {b: state.failures[b] for b in chosen if b in state.failures},
    }


def _report(
    plan: StagePlan,
    done_before: BlockSet,
    state: LedgerState,
    wanted: set[int],
    gave_up: str | None,
    seconds: float,
) -> StageReport:
    n = len(plan.grid)
    computed = int((state.done.within(n) & ~done_before.within(n)).sum())
    failed = {b: trace for b, trace in state.failed.items() if b in wanted}
    open_ends = [b for b in state.missing(sorted(wanted)) if b not in failed]
    if gave_up is None:
        lost = dict.fromkeys(open_ends, "the worker was lost before the block ended, and left no traceback")
        failed |= lost
    voxels = plan.grid.region.voxels / n * computed
    return StageReport(
        stage=plan.stage,
        fingerprint=plan.fingerprint,
        blocks=n,
        computed=computed,
        done_before=len(done_before),
        failed=failed,
        not_tried=n - len(state.done) - len(failed),
        gave_up=gave_up,
        seconds=seconds,
        megavoxels_per_second=voxels / 1e6 / seconds if seconds > 0 else 0.0,
    )
