"""The one way in which a block is run, on every backend.

Threads, a Dask cluster and a test that loops all come through :func:`run_block`: what it guarantees holds everywhere.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from axonloom.checksums import files_checksum
from axonloom.config.failures import FailuresSettings
from axonloom.freed_memory import freed_memory_kept
from axonloom.geometry import Block
from axonloom.ledger import LedgerWriter
from axonloom.stage import Stage
from axonloom.transient import is_full_disk, is_transient


class StoppedError(Exception):
    """Work was asked to stop between two blocks; what is done is recorded, and running again goes on from there."""


class LeaseLostError(Exception):
    """Another run holds the output now; this one may not write any more."""


@dataclass(frozen=True)
class BlockFailure:
    """What a block raised.

    Attributes
    ----------
    trace : the traceback
    place : type of the error, file and line: the same for blocks that die in the same way
    """

    trace: str
    place: str

    @classmethod
    def of(cls, error: BaseException) -> BlockFailure:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        trace = "".join(traceback.format_exception(error))
        return cls(trace, f"{type(error).__name__}{where}")


@dataclass
class BatchReport:
    """What became of a batch's blocks.

    Attributes
    ----------
    computed, skipped : block indices (skipped: done before, their lines were on disk)
    failed : block index -> traceback
    places : where and how those died (:attr:`BlockFailure.place`) that were tried just now
    gave_up : why the rest of the batch was not tried; None when all of it was
    seconds : time in the blocks that were computed
    """

    computed: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    places: set[str] = field(default_factory=set)
    gave_up: str | None = None
    seconds: float = 0.0


def run_block(stage: Stage, block: Block, ledger: LedgerWriter, *, last_try: bool = True) -> BlockFailure | None:
    """Run one block: output first, synced, then its line.

    Returns None when the block is done, else what it raised, which is recorded. Errors that may pass
    (:mod:`axonloom.transient`) are raised instead while another try is to come, and nothing is recorded; a full disk or
    memory raises StoppedError.
    """
    stage.permit()
    ledger.started(block.index)
    begin = time.perf_counter()
    try:
        try:
            facts = dict(stage.process(block))
        finally:
            stage.running.forget(block.index)
        files = stage.files(block)
        if files:
            facts["files_crc32"] = files_checksum(files)
    except (StoppedError, LeaseLostError):
        raise
    except Exception as error:
        if is_transient(error) and not last_try:
            raise
        if is_full_disk(error):
            # No fault of the block's: the next one would fail as well.
            raise StoppedError(
                f"the disk is full ({error}): make room and run again, which goes on with block {block.index} of {stage.name}"
            ) from error
        if isinstance(error, MemoryError):
            # Nor is this one: the next has as many voxels.
            raise StoppedError(
                f"there is not enough memory for block {block.index} of {stage.name} ({str(error) or 'MemoryError'}): make room, or "
                "change what is said there, and run again"
            ) from error
        failure = BlockFailure.of(error)
        ledger.failed(block.index, failure.trace)
        return failure
    ledger.done(block.index, time.perf_counter() - begin, **facts)
    return None


def run_blocks(
    stage: Stage,
    blocks: Iterable[int],
    *,
    done: Iterable[int] | None = None,
    failed_before: Mapping[int, int] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    permit: Callable[[], None] = lambda: None,
    last_try: bool = True,
    failures: FailuresSettings | None = None,
) -> BatchReport:
    """Run those of ``blocks`` that have no line yet, one after another; a block that fails does not stop the others.

    Parameters
    ----------
    done : block indices that are known to be done
        Default: the whole ledger is read. A flow that has just read it for all its batches hands over what it saw; what was
        finished since stands in the few files of these blocks, which are read here (a worker that was lost, and whose batch
        another one takes over, may have finished some).
    failed_before : block index -> how often it had failed when the run began
        Blocks that have failed more often than that failed in this run, were recorded, and are not tried again.
        Default: all are tried.
    permit : raises when this run may not write any more; asked before every block
    failures : when to give the rest up

    Raises
    ------
    StoppedError
        ``should_stop()`` was true before a block.
    LeaseLostError
        From ``permit``.
    """
    indices = list(blocks)
    report = BatchReport()
    if not indices:
        return report
    first, last = min(indices), max(indices)
    state = stage.plan.ledger.read() if done is None else stage.plan.ledger.read_blocks(first, last)
    wanted = set(indices)
    known = set(done or ()) | (wanted & state.done)
    report.skipped = [b for b in indices if b in known]
    if failed_before is not None:
        report.failed = {
            b: trace for b, trace in state.failed.items() if b in wanted and state.failures[b] > failed_before.get(b, 0)
        }
    missing = [b for b in indices if b not in known and b not in report.failed]
    with freed_memory_kept(), stage.plan.ledger.writer(first, last) as ledger:
        for index in missing:
            if should_stop():
                raise StoppedError(f"stopped before block {index} of {stage.name}; run again to go on")
            permit()
            begin = time.perf_counter()
            failure = run_block(stage, stage.plan.grid.block(index), ledger, last_try=last_try)
            if failure is None:
                report.computed.append(index)
                report.seconds += time.perf_counter() - begin
            else:
                report.failed[index] = failure.trace
                report.places.add(failure.place)
                report.gave_up = hopeless(len(report.failed), report.places, len(report.computed), failures)
                if report.gave_up:
                    break
    return report


def hopeless(failed: int, places: set[str], computed: int, failures: FailuresSettings | None) -> str | None:
    """Why to give up after this many blocks failed and were computed; None: go on."""
    if failures is None:
        return None
    if failures.max_failed_blocks is not None and failed >= failures.max_failed_blocks:
        return f"{failed} blocks failed, and failures.max_failed_blocks is {failures.max_failed_blocks}"
    alike = len(places) == 1 and not computed
    if failures.give_up_after is not None and failed >= failures.give_up_after and alike:
        (place,) = places
        return f"{failed} blocks in a row failed with the same {place}, and none was finished"
    return None
