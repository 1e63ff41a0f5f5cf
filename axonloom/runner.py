"""The one way in which a block is run, on every backend.

Threads, a Dask cluster and a test that loops all come through :func:`run_block`: what it guarantees holds everywhere.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from axonloom.geometry import Block
from axonloom.ledger import LedgerWriter
from axonloom.stage import Stage
from axonloom.transient import is_full_disk, is_transient


class StoppedError(Exception):
    """Work was asked to stop between two blocks; what is done is recorded, and running again goes on from there."""


class LeaseLostError(Exception):
    """Another run holds the output now; this one may not write any more."""


@dataclass
class BatchReport:
    """What became of a batch's blocks.

    Attributes
    ----------
    computed, skipped : block indices (skipped: done before, their lines were on disk)
    failed : block index -> traceback
    seconds : time in the blocks that were computed
    """

    computed: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


def run_block(stage: Stage, block: Block, ledger: LedgerWriter, *, last_try: bool = True) -> str | None:
    """Run one block: output first, synced, then its line.

    Returns None when the block is done, else the traceback of what it raised, which is recorded. Errors that may pass
    (:mod:`axonloom.transient`) are raised instead while another try is to come, and nothing is recorded; a full disk raises
    StoppedError.
    """
    stage.permit()
    ledger.started(block.index)
    begin = time.perf_counter()
    try:
        facts = stage.process(block)
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
        trace = traceback.format_exc()
        ledger.failed(block.index, trace)
        return trace
    ledger.done(block.index, time.perf_counter() - begin, **facts)
    return None


def run_blocks(
    stage: Stage,
    blocks: Iterable[int],
    *,
    done: frozenset[int] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    last_try: bool = True,
) -> BatchReport:
    """Run those of ``blocks`` that have no line yet, one after another; a block that fails does not stop the others.

    Parameters
    ----------
    done : block indices that are known to be done
        Default: the ledger is read. A flow that has just read it for all its batches hands over what it saw, since reading
        the whole ledger in each of two thousand batches would cost more than small blocks do.

    Raises
    ------
    StoppedError
        ``should_stop()`` was true before a block.
    """
    indices = list(blocks)
    known = stage.plan.ledger.read().done if done is None else done
    missing = [b for b in indices if b not in known]
    report = BatchReport(skipped=sorted(set(indices) - set(missing)))
    with stage.plan.ledger.writer() as ledger:
        for index in missing:
            if should_stop():
                raise StoppedError(f"stopped before block {index} of {stage.name}; run again to go on")
            begin = time.perf_counter()
            trace = run_block(stage, stage.plan.grid.block(index), ledger, last_try=last_try)
            if trace is None:
                report.computed.append(index)
                report.seconds += time.perf_counter() - begin
            else:
                report.failed[index] = trace
    return report
