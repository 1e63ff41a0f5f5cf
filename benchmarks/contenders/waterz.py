"""waterz: the whole volume at once in memory, or block by block with nothing between the blocks."""

from __future__ import annotations

from decimal import Decimal
from multiprocessing import get_context
from typing import Any

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.report import score
from axonloom.geometry import BlockGrid, Box
from axonloom.volumes import create_volume, open_volume
from benchmarks.contenders.job import Job, counted, scored
from benchmarks.resources import Measured


class WaterzWhole:
    """Reads the stored affinities, and ends with the segmentation in memory; one thread, for it holds Python's lock."""

    def __init__(self, score: str) -> None:
        self.score = score

    def tune(self, job: Job, thresholds: list[Decimal]) -> dict[Decimal, float]:
        found = _segmentations(job.affinities.read(), thresholds, self.score, job.queue)
        labels = job.labels.read()
        return {t: score(ContingencyTable.of(s, labels)).voi for t, s in zip(thresholds, found, strict=True)}

    def measure(self, job: Job, threshold: Decimal) -> dict[str, Any]:
        _segmentations(np.zeros((3, 8, 8, 8), np.uint8), [threshold], self.score, job.queue)
        with Measured() as measured:
            (found,) = _segmentations(job.affinities.read(), [threshold], self.score, job.queue)
        return {
            **measured.rates(job.voxels),
            "workers": 1,
            "score": self.score,
            "queue": job.queue,
            **scored(ContingencyTable.of(found, job.labels.read())),
        }


class WaterzBlocks:
    """Each block for itself, in as many processes as there are workers, from disk to disk. Ids are made unique; objects end
    at the faces of blocks."""

    def __init__(self, score: str) -> None:
        self.score = score

    def tune(self, job: Job, thresholds: list[Decimal]) -> dict[Decimal, float]:
        grid = BlockGrid(job.labels.box, job.large_blocks)
        tables: dict[Decimal, list[ContingencyTable]] = {t: [] for t in thresholds}
        for block in grid:
            affinities = job.affinities.read(block.core)
            labels = job.labels.read(block.core)
            found = _segmentations(affinities, thresholds, self.score, job.queue)
            for t, each in zip(thresholds, found, strict=True):
                tables[t].append(ContingencyTable.of(_unique(each, block.index, job), labels))
        return {t: score(ContingencyTable.summed(tables[t])).voi for t in thresholds}

    def measure(self, job: Job, threshold: Decimal) -> dict[str, Any]:
        uri = str(job.scratch / "segmentation.zarr")
        out = create_volume(uri, shape=job.labels.shape, dtype=np.uint64, chunk=job.blocks)
        blocks = [
            (job, threshold, self.score, block.core, block.index) for block in BlockGrid(out.box, job.large_blocks)
        ]
        tiny = Box.of_shape((8, 8, 8))
        with get_context("spawn").Pool(job.workers) as pool:
            # Every worker imports and loads before the clock runs.
            pool.map(_warm, [(job, threshold, self.score, tiny)] * 4 * job.workers, chunksize=1)
            with Measured() as measured:
                pool.map(_segment_block, blocks, chunksize=1)
        return {
            **measured.rates(job.voxels),
            "workers": job.workers,
            "score": self.score,
            "queue": job.queue,
            "block": list(job.large_blocks),
            **scored(counted(open_volume(uri), job.labels)),
        }


def _segmentations(affinities: np.ndarray, thresholds: list[Decimal], score: str, queue: int) -> list[np.ndarray]:
    from axonloom.segmentation.waterz_backend import waterz_segmentations

    return waterz_segmentations(affinities, thresholds, score=score, queue=queue)


def _unique(labels: np.ndarray, index: int, job: Job) -> np.ndarray:
    offset = np.uint64(index * int(np.prod(job.large_blocks)))
    return np.where(labels == 0, np.uint64(0), labels + offset)


def _warm(task: tuple[Job, Decimal, str, Box]) -> None:
    job, threshold, score, box = task
    (found,) = _segmentations(job.affinities.read(box), [threshold], score, job.queue)
    _unique(found, 0, job)


def _segment_block(task: tuple[Job, Decimal, str, Box, int]) -> None:
    job, threshold, score, box, index = task
    (found,) = _segmentations(job.affinities.read(box), [threshold], score, job.queue)
    open_volume(str(job.scratch / "segmentation.zarr")).write(box, _unique(found, index, job))
