"""volara (mutex watershed on affinities, then on the graph of fragments), by a Python of its own."""

from __future__ import annotations

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.report import score
from axonloom.geometry import Box
from axonloom.volumes import create_volume, open_volume
from benchmarks.contenders.job import Job, counted, scored

REPOSITORY = Path(__file__).resolve().parents[2]
#: Voxels that the long-range channels reach; its users train such channels.
FAR = 6
#: What is the same at every threshold: biases of the fragments' watershed, every how many voxels a long-range edge counts, and
#: the size in voxels below which fragments are dropped. Of six such sets the one of the lowest VOI on a part of the default
#: volume (64x256x256).
FRAGMENTS = {"near_bias": -0.1, "far_bias": -0.97, "far_strides": [4, 4, 4], "remove_debris": 20}


class Volara:
    """From disk to disk, daisy tasks in as many processes as there are workers; the threshold is minus the bias of both edge
    scores of ``GraphMWS``.

    The file holds no long-range affinities, which mutex watershed lives on. They are made of the near ones beforehand: the
    least along the straight line. So they say nothing that the other contenders do not see.
    """

    def tune(self, job: Job, thresholds: list[Decimal]) -> dict[Decimal, float]:
        self._run(job, thresholds)
        fragments = counted(open_volume(str(job.scratch / "fragments.zarr")), job.labels)
        return {t: score(_merged(fragments, job.scratch / f"{t}.npz")).voi for t in thresholds}

    def measure(self, job: Job, threshold: Decimal) -> dict[str, Any]:
        found = self._run(job, [threshold])
        segments = open_volume(str(job.scratch / "segments.zarr"))
        return {
            **found,
            "workers": job.workers,
            "block": list(job.large_blocks),
            **scored(counted(segments, job.labels)),
        }

    def _run(self, job: Job, thresholds: list[Decimal]) -> dict[str, Any]:
        assert job.volara_python is not None
        affinities = job.folder / "near_and_far.zarr"
        if not affinities.exists():
            _write_near_and_far(job, affinities)
        near = (-np.eye(3, dtype=int)).tolist()
        given = {
            "folder": str(job.scratch),
            "affinities": str(affinities),
            "offsets": [*near, *(FAR * np.array(near)).tolist()],
            "shape": list(job.labels.shape),
            "block": list(job.large_blocks),
            "workers": job.workers,
            "thresholds": [str(t) for t in thresholds],
            **FRAGMENTS,
        }
        path = job.scratch / "pipeline.json"
        path.write_text(json.dumps(given))
        done = subprocess.run(
            [job.volara_python, "-m", "benchmarks.contenders.volara_pipeline", str(path)],
            # daisy logs into the working directory.
            cwd=job.scratch,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"volara failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def farther(affinities: np.ndarray, reach: int) -> np.ndarray:
    """Affinities of voxels ``reach`` apart: the least of the ones between, uint8 (3, z, y, x) from the same.

    0 where the line leaves the volume.
    """
    far = np.zeros_like(affinities)
    for axis in range(3):
        near, out = np.moveaxis(affinities[axis], axis, 0), np.moveaxis(far[axis], axis, 0)
        n = len(near)
        if n > reach:
            out[reach:] = np.min([near[reach - step : n - step] for step in range(reach)], axis=0)
    return far


def _write_near_and_far(job: Job, path: Path) -> None:
    near = job.affinities
    out = create_volume(str(path), shape=near.shape, dtype=np.uint8, channels=6, chunk=job.blocks)
    nz, ny, nx = near.shape
    # Slabs along z, each read with the planes before it.
    for z in range(0, nz, job.blocks[0]):
        lead = min(z, FAR)
        stop = min(z + job.blocks[0], nz)
        values = near.read(Box(start=(z - lead, 0, 0), end=(stop, ny, nx)))
        both = np.concatenate([values, farther(values, FAR)])
        out.write(Box(start=(z, 0, 0), end=(stop, ny, nx)), both[:, lead:])


def _merged(fragments: ContingencyTable, lookup: Path) -> ContingencyTable:
    """The table after volara's lookup; fragments without an edge are not in it and stay."""
    with np.load(lookup) as data:
        before, after = data["fragment_segment_lut"].astype(np.uint64)
    order = np.argsort(before)
    before, after = before[order], after[order]

    def segment_of(ids: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(before, ids), len(before) - 1)
        return np.where(before[at] == ids, after[at], ids)

    return fragments.relabelled(segment_of)
