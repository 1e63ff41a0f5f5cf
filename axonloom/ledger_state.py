"""What the lines of a ledger come to, whatever their order.

Everything here is a count, a sum, a maximum or a set, so that lines may be read in any order and from many files. A block is
done when it was finished more often than :func:`~axonloom.ledger.LedgerWriter.undone` has declared void; it has failed when it
is not done and has raised since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from axonloom.block_sets import BlockCounts, BlockSet, fitted, runs


@dataclass
class WriterTail:
    """One file of lines, as far as it was read.

    Attributes
    ----------
    offset : bytes read: the end of the last whole line
    open : blocks that were begun in this file and not ended
    host, pid, process_started : who writes; ``process_started`` is the Unix time at which the process began, 0: not known
    """

    offset: int = 0
    open: set[int] = field(default_factory=set)
    host: str = ""
    pid: int = 0
    process_started: float = 0.0

    def name_writer(self, line: Mapping[str, Any]) -> None:
        """Take who writes from the first line of the file."""
        self.host, self.pid = str(line.get("host", "")), int(line.get("pid", 0))
        self.process_started = float(line.get("process_started", 0.0))


class LedgerState:
    """What a ledger says when it is read.

    Attributes
    ----------
    done : BlockSet
    failed : block index -> traceback of its last failure; never a block that is done
    started : block index -> how often it was begun
    completions : block index -> how often it was finished; more than once means work done twice
    failures : block index -> how often it raised
    seconds : time spent in finished blocks, summed over workers
    finished : how many times a block was finished
    finished_at : Unix times of the first and the last finished block, for people; None when there is none
    tails : file name -> WriterTail
    """

    def __init__(self) -> None:
        self.started = BlockCounts()
        self.completions = BlockCounts()
        self.failures = BlockCounts()
        self.seconds = 0.0
        self.finished_at: tuple[float, float] | None = None
        self.tails: dict[str, WriterTail] = {}
        self._void: dict[int, tuple[int, int]] = {}
        self._traces: dict[int, tuple[float, str]] = {}
        self._texts: dict[str, str] = {}
        self._done: BlockSet | None = None

    @property
    def done(self) -> BlockSet:
        if self._done is None:
            counts = self.completions.counts.copy()
            for block, (completions, _) in self._void.items():
                if block < counts.size:
                    counts[block] -= min(completions, int(counts[block]))
            self._done = BlockSet(counts > 0)
        return self._done

    @property
    def failed(self) -> dict[int, str]:
        done = self.done
        return {
            block: self._traces[block][1] if block in self._traces else ""
            for block, times in self.failures.items()
            if block not in done and times > self._void.get(block, (0, 0))[1]
        }

    @property
    def finished(self) -> int:
        return int(self.completions.counts.sum())

    def missing(self, blocks: Iterable[int]) -> list[int]:
        """Those of ``blocks`` that still have to be computed, in the order given."""
        return self.done.missing(blocks)

    def take(self, line: Mapping[str, Any], tail: WriterTail) -> None:
        """Count one line of the file of ``tail``."""
        if "block" not in line:
            if "closed" in line:
                tail.open.clear()
            else:
                tail.name_writer(line)
            return
        block, state = int(line["block"]), line["state"]
        if state == "started":
            self.started.add(block)
            tail.open.add(block)
        elif state == "done":
            self._done = None
            tail.open.discard(block)
            self.completions.add(block)
            self.seconds += float(line.get("seconds", 0.0))
            self._finished_between(float(line["at"]), float(line["at"]))
        elif state == "failed":
            tail.open.discard(block)
            self.failures.add(block)
            self._trace(block, float(line["at"]), str(line.get("error", "")))
        elif state == "undone":
            self._done = None
            self._undo(block, int(line["completions"]), int(line["failures"]))

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain JSON; :meth:`of_snapshot` reads it."""
        n = max(self.started.counts.size, self.completions.counts.size)
        started, completions = self.started.within(n), self.completions.within(n)
        # Once begun and once finished is the rule; only what differs is listed.
        return {
            "covers": {name: tail.offset for name, tail in self.tails.items()},
            "open": {
                name: [tail.host, tail.pid, tail.process_started, sorted(tail.open)]
                for name, tail in self.tails.items()
                if tail.open
            },
            "finished": runs(BlockSet(completions > 0)),
            "started": _exceptions(started, np.minimum(completions, 1)),
            "completions": _exceptions(completions, np.minimum(completions, 1)),
            "failures": {str(b): [times, *self._traces.get(b, (0.0, ""))] for b, times in self.failures.items()},
            "void": {str(b): list(counts) for b, counts in self._void.items()},
            "seconds": self.seconds,
            "finished_at": self.finished_at,
        }

    @classmethod
    def of_snapshot(cls, content: Mapping[str, Any]) -> LedgerState:
        """The state that :meth:`snapshot` described."""
        state = cls()
        found = content["finished"]
        once = np.zeros(found[-1][1] + 1 if found else 0, np.uint32)
        for first, last in found:
            once[first : last + 1] = 1
        state.completions = BlockCounts(_with_exceptions(once, content["completions"]))
        state.started = BlockCounts(_with_exceptions(once, content["started"]))
        for block, (times, at, text) in content["failures"].items():
            state.failures.add(int(block), times)
            state._trace(int(block), at, text)
        state._void = {int(b): (counts[0], counts[1]) for b, counts in content["void"].items()}
        state.seconds = float(content["seconds"])
        state.finished_at = tuple(content["finished_at"]) if content["finished_at"] else None
        for name, offset in content["covers"].items():
            state.tails[name] = WriterTail(int(offset))
        for name, (host, pid, since, blocks) in content["open"].items():
            state.tails[name] = WriterTail(state.tails[name].offset, set(blocks), host, pid, since)
        return state

    def _undo(self, block: int, completions: int, failures: int) -> None:
        before = self._void.get(block, (0, 0))
        self._void[block] = max(before[0], completions), max(before[1], failures)

    def _trace(self, block: int, at: float, text: str) -> None:
        # Thousands of blocks that die in one place carry one text.
        if block not in self._traces or at >= self._traces[block][0]:
            self._traces[block] = at, self._texts.setdefault(text, text)

    def _finished_between(self, first: float, last: float) -> None:
        low, high = self.finished_at or (first, last)
        self.finished_at = min(low, first), max(high, last)


def _exceptions(counts: np.ndarray, rule: np.ndarray) -> dict[str, int]:
    return {str(b): int(counts[b]) for b in np.flatnonzero(counts != rule).tolist()}


def _with_exceptions(rule: np.ndarray, exceptions: Mapping[str, int]) -> np.ndarray:
    counts = fitted(rule, max([rule.size, *(int(b) + 1 for b in exceptions)])).copy()
    for block, times in exceptions.items():
        counts[int(block)] = times
    return counts
