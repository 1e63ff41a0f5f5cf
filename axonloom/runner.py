"""The one way in which a block is run, on every backend.

Threads, a Dask cluster and a test that loops all come through :func:`run_block`: what it guarantees holds everywhere.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from types import TracebackType
from typing import Any, TypeVar

from axonloom.checksums import files_checksum
from axonloom.config.failures import FailuresSettings
from axonloom.freed_memory import freed_memory_kept
from axonloom.geometry import Block
from axonloom.ledger import LedgerWriter
from axonloom.stage import Later, Stage
from axonloom.transient import is_full_disk, is_transient

Found = TypeVar("Found")


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

    def count(self, block: int, failure: BlockFailure | None) -> None:
        """A block that has ended, and what it died of."""
        if failure is None:
            self.computed.append(block)
        else:
            self.failed[block] = failure.trace
            self.places.add(failure.place)


@dataclass(frozen=True)
class Unfinished:
    """A block that is computed and being written.

    Attributes
    ----------
    block : Block
    ended : what :func:`run_block` returns or raises for other blocks, once its line is on disk
    """

    block: Block
    ended: Future[BlockFailure | None]


def run_block(
    stage: Stage,
    block: Block,
    ledger: LedgerWriter,
    *,
    last_try: bool = True,
    writing: Executor | None = None,
    permit: Callable[[], None] = lambda: None,
) -> BlockFailure | Unfinished | None:
    """Run one block: output first, synced, then its line.

    Returns None when the block is done, else what it raised, which is recorded. Errors that may pass
    (:mod:`axonloom.transient`) are raised instead while another try is to come, and nothing is recorded; a full disk or
    memory raises StoppedError. With an executor for the ``writing``, that of a block which leaves it for later is done there, its line
    included, so that what is written is recorded however long the next block takes. Computing may have taken long, so ``permit``
    is asked once more before.
    """
    stage.permit()
    ledger.started(block.index)
    begin = time.perf_counter()
    try:
        computed = _judged(stage, block, ledger, last_try, lambda: stage.process(block))
    except BaseException:
        stage.running.forget(block.index)
        raise
    seconds = time.perf_counter() - begin

    def finish() -> BlockFailure | None:
        begin = time.perf_counter()
        try:
            made = computed
            if isinstance(made, BlockFailure):
                return made
            facts = _judged(stage, block, ledger, last_try, lambda: _with_files(stage, block, made))
            if isinstance(facts, BlockFailure):
                return facts
            ledger.done(block.index, seconds + time.perf_counter() - begin, **facts)
            return None
        finally:
            stage.running.forget(block.index)

    def finish_later() -> BlockFailure | None:
        try:
            permit()
            stage.permit()
        except BaseException:
            stage.running.forget(block.index)
            raise
        return finish()

    if writing is None or isinstance(computed, Mapping | BlockFailure):
        return finish()
    return Unfinished(block, writing.submit(finish_later))


def _with_files(stage: Stage, block: Block, made: Mapping[str, Any] | Later) -> dict[str, Any]:
    """The facts of a block, which is written now where it was not, with the checksum of the files that it left."""
    facts = made if isinstance(made, Mapping) else made()
    files = stage.files(block)
    return {**facts, **({"files_crc32": files_checksum(files)} if files else {})}


def _judged(
    stage: Stage, block: Block, ledger: LedgerWriter, last_try: bool, work: Callable[[], Found]
) -> Found | BlockFailure:
    """What ``work()`` returns, or what the block died of."""
    try:
        return work()
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
    with (
        freed_memory_kept(),
        stage.plan.ledger.writer(first, last) as ledger,
        _Beside(stage) as beside,
    ):
        for index, following in zip_longest(missing, missing[1:]):
            if should_stop():
                raise StoppedError(f"stopped before block {index} of {stage.name}; run again to go on")
            permit()
            beside.read(following)
            begin = time.perf_counter()
            found = run_block(
                stage, stage.plan.grid.block(index), ledger, last_try=last_try, writing=beside.writing, permit=permit
            )
            if not isinstance(found, BlockFailure):
                report.seconds += time.perf_counter() - begin
            ended = list(beside.ended(index, found))
            for block, failure in ended:
                report.count(block, failure)
            if any(failure is not None for _, failure in ended):
                report.gave_up = hopeless(len(report.failed), report.places, len(report.computed), failures)
            if report.gave_up:
                break
        for block, failure in beside.ended():
            report.count(block, failure)
    return report


class _Beside:
    """What happens beside the block that is processed: the next one's pixels are read, and the former one's result is written.

    Each in a thread of its own, which is there only where a stage has use for it. A block is waited for before the next but one begins,
    so of two blocks there is what was read, and of two what was computed. At the end what was computed is written, and its line with
    it, whatever ended the batch, but for a lost lease.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.writing: Executor = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._reading: Executor = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._read: Future[None] | None = None
        self._unfinished: Unfinished | None = None

    def __enter__(self) -> _Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.shutdown(cancel_futures=True)
        try:
            deque(self.ended(), maxlen=0)
        except Exception:
            # What ended the batch is what is said; a block that has no line now is computed again.
            if error is None:
                raise
        finally:
            self.writing.shutdown()

    def read(self, block: int | None) -> None:
        """Wait for what was being read, and begin with another block."""
        if self._read is not None:
            # What went wrong the block will find again, and say.
            self._read.exception()
            self._read = None
        if block is not None and type(self._stage).ahead is not Stage.ahead:
            self._read = self._reading.submit(self._stage.ahead, self._stage.plan.grid.block(block))

    def ended(
        self, block: int | None = None, found: BlockFailure | Unfinished | None = None
    ) -> Iterator[tuple[int, BlockFailure | None]]:
        """Blocks that have ended, with what they died of, now that run_block has ``found`` this of a block (None: there is no further one)."""
        former, self._unfinished = self._unfinished, found if isinstance(found, Unfinished) else None
        if former is not None:
            yield former.block.index, former.ended.result()
        if block is not None and not isinstance(found, Unfinished):
            yield block, found


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
