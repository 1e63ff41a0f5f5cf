"""axonloom from disk to disk: its Prefect flows ``segment`` and ``merge``, on threads, against a server that is up."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.chain import Chain
from axonloom.config.merge import MergeSettings
from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.stages.scores import ChainScores, score_chain
from axonloom.volumes import create_volume, open_volume
from benchmarks.chain_alone import make_chain, run_stages
from benchmarks.contenders.job import Job, counted, scored
from benchmarks.resources import Measured, cpu_seconds_of
from deployments.server import prefect_server

#: Of the volume on which the kernels are loaded before anything is timed; two blocks, so that faces are joined too.
WARM = (32, 32, 64)


@dataclass(frozen=True)
class AxonloomFlows:
    """Blocks are written and synced stage by stage; the end is the segmentation with its pyramid.

    Attributes
    ----------
    score : ``merge.score``; None: a multicut, whose bias (``merge.multicut.beta``) takes the place of the threshold
    """

    score: str | None = "mean"

    def tune(self, job: Job, thresholds: list[Decimal]) -> dict[Decimal, float]:
        if self.score is None:
            return {t: self._scores(job, t).segmentation.voi for t in thresholds}
        found = self._scores(job, min(thresholds), evaluate={"thresholds": [str(t) for t in thresholds]})
        return {t: s.voi for t, s in found.at.items()}

    def measure(self, job: Job, threshold: Decimal) -> dict[str, Any]:
        # As `axonloom run` does it: the server is up already and is joined.
        with prefect_server():
            return self._measured(job, threshold)

    def _measured(self, job: Job, threshold: Decimal) -> dict[str, Any]:
        begin = time.perf_counter()
        from flows.merge import merge
        from flows.segment import segment

        imported = time.perf_counter()
        warm = self._warm_chain(job).configuration
        segment(warm)
        merge(warm)
        warmed = time.perf_counter()
        chain = self._chain(job, job.scratch, threshold)
        server = cpu_seconds_of(job.server_pid)
        with Measured() as whole:
            segment(chain.configuration)
            merge(chain.configuration)
        server = cpu_seconds_of(job.server_pid) - server
        with Measured() as again:
            # Another threshold needs no new agglomeration.
            other = threshold + Decimal("0.01") if threshold < 1 else threshold - Decimal("0.01")
            merge(self._chain(job, job.scratch, other).configuration)
        merge(chain.configuration)
        return {
            **whole.rates(job.voxels),
            "workers": job.workers,
            "imports_s": round(imported - begin, 2),
            "first_run_s": round(warmed - imported, 2),
            "server_cpu_s": round(server, 2),
            "mvox_per_cpu_s_with_server": round(job.voxels / 1e6 / (whole.cpu_s + server), 3),
            "another_threshold_cpu_s": round(again.cpu_s, 2),
            "another_threshold_s": round(again.wall_s, 2),
            "stage_block_s": _block_seconds(chain),
            **scored(counted(open_volume(chain.layer), job.labels)),
        }

    def _scores(self, job: Job, threshold: Decimal, **more: Any) -> ChainScores:
        chain = self._chain(job, job.scratch, threshold, **more)
        for _ in run_stages(chain):
            pass
        return score_chain(chain)

    def _chain(self, job: Job, folder: Path, threshold: Decimal, **more: Any) -> Chain:
        return make_chain(
            folder,
            str(job.folder / "affinities.zarr"),
            job.blocks,
            volumes={"labels": {"path": str(job.folder / "labels.zarr")}},
            merge=self._merging(threshold),
            compute={"workers": job.workers},
            **more,
        )

    def _merging(self, threshold: Decimal) -> dict[str, Any]:
        if self.score is None:
            return {"method": "multicut", "multicut": {"beta": str(threshold)}}
        # Recording merges deeper changes no segmentation above.
        lowest = min(threshold, MergeSettings().lowest)
        return {"score": self.score, "threshold": str(threshold), "lowest": str(lowest)}

    def _warm_chain(self, job: Job) -> Chain:
        folder = job.scratch / "warm"
        folder.mkdir()
        phantom = Phantom(seed=3, shape=WARM)
        box = Box.of_shape(WARM)
        volume = create_volume(
            str(folder / "affinities.zarr"), shape=WARM, dtype=np.uint8, channels=3, chunk=(32, 32, 32),
            voxel_size=phantom.voxel_size,
        )  # fmt: skip
        volume.write(box, phantom.degraded_affinities(box))
        return make_chain(
            folder,
            "affinities.zarr",
            (32, 32, 32),
            merge=self._merging(Decimal("0.5")),
            compute={"workers": job.workers},
        )


def _block_seconds(chain: Chain) -> dict[str, float]:
    """Seconds that a stage's blocks took, all workers together, from the ledgers."""
    found: dict[str, float] = {}
    for plan in chain.stages():
        for path in plan.ledger.folder.glob("*.jsonl"):
            lines = map(json.loads, path.read_text().splitlines())
            seconds = sum(line.get("seconds", 0.0) for line in lines if line.get("state") == "done")
            found[plan.stage] = found.get(plan.stage, 0.0) + seconds
    return {stage: round(seconds, 2) for stage, seconds in found.items()}
