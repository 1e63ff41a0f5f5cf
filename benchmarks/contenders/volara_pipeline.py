"""volara's own pipeline, run by a Python that has volara (`benchmarks.contenders.volara` starts it): nothing of axonloom here.

    python -m benchmarks.contenders.volara_pipeline PIPELINE.json

Fragments by mutex watershed block by block (``ExtractFrags``), mean affinities of their edges into SQLite (``AffAgglom``),
one mutex watershed on the whole graph (``GraphMWS``), and the relabelled volume (``Relabel``), all daisy tasks with as many
workers as asked for. Prints what the run at the first threshold took as JSON; the lookup tables of the other thresholds are
made afterwards, untimed. Its relabelling compiles in every worker, which counts (``stages_s`` shows it): a kernel of parallel
threads that was loaded before does not work in the forks of daisy.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.resources import Measured


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Run the pipeline in ``given["folder"]``; leaves ``fragments.zarr``, ``segments.zarr`` and ``<threshold>.npz``."""
    begin = time.perf_counter()
    import volara
    from funlib.geometry import Coordinate, Roi
    from volara.blockwise import AffAgglom, ExtractFrags, GraphMWS, Relabel
    from volara.datasets import Affs, Labels
    from volara.dbs import SQLite
    from volara.logging import set_log_basedir
    from volara.lut import LUT

    logging.disable(logging.INFO)
    folder = Path(given["folder"])
    set_log_basedir(folder / "logs")
    imported = time.perf_counter() - begin
    offsets = [Coordinate(o) for o in given["offsets"]]
    near, far = offsets[:3], offsets[3:]
    shape, block = Coordinate(given["shape"]), Coordinate(given["block"])
    context = Coordinate([max(abs(o[axis]) for o in offsets) for axis in range(3)])
    affinities = Affs(
        store=Path(given["affinities"]),
        neighborhood=offsets,
        voxel_size=Coordinate(1, 1, 1),
        offset=Coordinate(0, 0, 0),
        axis_names=["c^", "z", "y", "x"],
        units=["", "", ""],
        writable=False,
    )
    graph = SQLite(path=folder / "graph.sqlite", edge_attrs={"near": "float", "far": "float"})
    fragments, segments = Labels(store=folder / "fragments.zarr"), Labels(store=folder / "segments.zarr")
    workers = given["workers"]

    def merging(threshold: str) -> GraphMWS:
        bias = -float(threshold)
        return GraphMWS(
            db=graph,
            lut=LUT(path=folder / f"{threshold}.npz"),
            weights={"near": (1.0, bias), "far": (1.0, bias)},
            roi=Roi((0, 0, 0), shape),
            bounded_read=False,
        )

    first, *others = given["thresholds"]
    tasks = [
        ExtractFrags(
            db=graph,
            affs_data=affinities,
            frags_data=fragments,
            block_size=block,
            context=context,
            bias=[given["near_bias"]] * len(near) + [given["far_bias"]] * len(far),
            strides=[Coordinate(1, 1, 1)] * len(near) + [Coordinate(given["far_strides"])] * len(far),
            remove_debris=given["remove_debris"],
            num_workers=workers,
        ),
        AffAgglom(
            db=graph,
            affs_data=affinities,
            frags_data=fragments,
            block_size=block,
            context=context,
            scores={"near": near, "far": far},
            num_workers=workers,
        ),
        merging(first),
        Relabel(
            frags_data=fragments,
            seg_data=segments,
            lut=LUT(path=folder / f"{first}.npz"),
            block_size=block,
            num_workers=workers,
        ),
    ]
    stages: dict[str, float] = {}
    with Measured() as measured:
        for task in tasks:
            started = time.perf_counter()
            task.run_blockwise(multiprocessing=True)
            stages[task.task_type] = round(time.perf_counter() - started, 2)
            _require_done(task)
    for threshold in others:
        merging(threshold).run_blockwise(multiprocessing=False)
    version = getattr(volara, "__version__", "")
    return {
        **measured.rates(shape[0] * shape[1] * shape[2]),
        "imports_s": imported,
        "stages_s": stages,
        "version": version,
    }


def _require_done(task: Any) -> None:
    """A run goes on, and says nothing, where blocks failed; each that is done leaves a chunk in the task's record.

    Raises
    ------
    RuntimeError
        Blocks are missing.
    """
    blocks = 1
    for extent, size in zip(task.write_roi.shape, task.write_size, strict=True):
        blocks *= -(-extent // size)
    done = sum(path.is_file() for path in (task.block_ds / "c").rglob("*"))
    if done != blocks:
        raise RuntimeError(f"{task.task_type} did {done} of {blocks} blocks; its logs are in {task.meta_dir.parent}")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
