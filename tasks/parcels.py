"""What a run of a stage has to do, batch by batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from axonloom.ledger import LedgerState
from axonloom.stage import StagePlan
from tasks.batches import Batch, batches, cut_of


@dataclass(frozen=True)
class Parcels:
    """A stage cut into batches, as its ledger stands.

    Attributes
    ----------
    wanted : block indices that this run is for
    to_do : those that are not done
    open : batches with what is to do of each
    finished : batches of which all is done; none where only some blocks are wanted
    """

    wanted: Sequence[int]
    to_do: list[int]
    open: list[tuple[Batch, list[int]]]
    finished: list[Batch]


def parcels(plan: StagePlan, state: LedgerState, only: Collection[int] | None, on: str) -> Parcels:
    """What a run has to do. Writes nothing."""
    wanted = range(len(plan.grid)) if only is None else sorted(only)
    to_do = np.asarray(state.missing(wanted), np.int64)
    open_batches: list[tuple[Batch, list[int]]] = []
    finished: list[Batch] = []
    for batch in batches(plan, cut_of(plan, on)):
        chosen = _between(to_do, batch)
        if chosen.size:
            open_batches.append((batch, chosen.tolist()))
        elif only is None:
            finished.append(batch)
    return Parcels(wanted, to_do.tolist(), open_batches, finished)


def _between(blocks: np.ndarray, batch: Batch) -> np.ndarray:
    """Those of the sorted ``blocks`` that belong to a batch."""
    low, high = np.searchsorted(blocks, (batch.first, batch.last + 1))
    return blocks[low:high]
