"""From affinities to segmentations: axonloom beside waterz on the same file, in one run.

    python -m benchmarks.against_waterz [AFFINITIES.h5] [--block 64] [--thresholds 0.3 0.5 0.7] [--crop 128 512 512]
                                        [--smoothing 0]

The file holds ``affinities`` (uint8, (3, z, y, x), the edge to the voxel before) and ``labels``; without one, a phantom with
mistakes is made. Each contender has a process of its own and reports CPU seconds (user and system), peak resident memory
above its imports, and scores at every threshold. axonloom reads from disk, works in blocks and leaves every stage, the
segmentation and its pyramid on disk; other thresholds then come from its dendrogram. waterz holds the whole volume in
memory and writes nothing. Smoothing (``segment.smoothing``) is off unless it is asked for, since waterz has none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

PHANTOM = (96, 192, 192)
CONTENDERS = ("axonloom", "waterz, exact queue", "waterz, 256 bins", "waterz aff50_his256")


def make_data(folder: Path, source: Path | None, crop: tuple[int, int, int] | None, block: int) -> tuple[int, int, int]:
    """Write ``affinities.zarr`` and ``labels.zarr`` into ``folder``; returns their shape."""
    from axonloom.geometry import Box
    from axonloom.phantom import Phantom
    from axonloom.volumes import create_volume, open_volume

    if source is None:
        phantom = Phantom(seed=3, shape=crop or PHANTOM)
        box = Box.of_shape(phantom.shape)
        arrays = {"affinities": phantom.degraded_affinities(box), "labels": phantom.labels(box)}
    else:
        arrays = {}
        for name in ("affinities", "labels"):
            volume = open_volume(f"{source}:{name}")
            arrays[name] = volume.read(Box.of_shape(crop) if crop else volume.box)
    for name, array in arrays.items():
        volume = create_volume(
            str(folder / f"{name}.zarr"),
            shape=array.shape[-3:],
            dtype=array.dtype,
            channels=3 if array.ndim == 4 else None,
            chunk=(block,) * 3,
            voxel_size=(8, 8, 8),
        )
        volume.write(volume.box, array)
    z, y, x = arrays["labels"].shape
    return z, y, x


def contend(name: str, folder: Path, block: int, thresholds: list[Decimal], smoothing: str) -> dict[str, Any]:
    """Run one contender in this process."""
    from axonloom.volumes import open_volume

    labels = open_volume(folder / "labels.zarr").read()
    if name == "axonloom":
        return _axonloom(folder, block, thresholds, smoothing, labels)
    return _waterz(name, folder, thresholds, labels)


def _axonloom(
    folder: Path, block: int, thresholds: list[Decimal], smoothing: str, labels: np.ndarray
) -> dict[str, Any]:
    from axonloom.assembly.dendrogram import Dendrogram
    from axonloom.assembly.id_map import IdMap
    from axonloom.assembly.lookup_table import pool
    from axonloom.assembly.object_table import ObjectTable
    from axonloom.evaluation.contingency import ContingencyTable
    from axonloom.evaluation.thresholds import score_thresholds
    from axonloom.stages.agglomerate import DENDROGRAM
    from axonloom.stages.graph import CANONICAL, FRAGMENTS
    from axonloom.volumes import open_volume
    from benchmarks.chain_alone import import_stages, make_chain, run_stages

    with tempfile.TemporaryDirectory() as warm:
        # Kernels compile in a run of their own: they are cached on a user's machine too.
        small = make_data(Path(warm), None, (32, 32, 32), 32)
        list(run_stages(make_chain(Path(warm), "affinities.zarr", small)))
    chain = make_chain(folder, "affinities.zarr", (block,) * 3, segment={"smoothing": smoothing})
    import_stages(chain)
    measured, stages = _Measure(), {}
    for plan in run_stages(chain):
        stages[plan.stage] = stages.get(plan.stage, 0.0) + measured.lap()
    whole = measured.so_far()
    ids = ObjectTable.read(chain.graph.folder / FRAGMENTS).ids
    dendrogram = Dendrogram.read(chain.agglomerate.folder / DENDROGRAM)
    tables = {t: IdMap(ids, pool(ids, dendrogram, t).astype(np.uint64)) for t in thresholds}
    again = measured.lap() / len(thresholds)
    provisional = open_volume(chain.fragment.folder / "fragments.zarr").read()
    canonical = IdMap.read(chain.graph.folder / CANONICAL)
    counts = ContingencyTable.of(provisional, labels).relabelled(canonical.lookup)
    scores = score_thresholds(counts, thresholds, lambda t: tables[t].lookup)
    return {
        **whole,
        "stages": stages,
        "another threshold": again,
        "fragments": len(ids),
        "scores": {str(t): (s.voi_split, s.voi_merge, s.adapted_rand_error) for t, s in scores.items()},
    }


def _waterz(name: str, folder: Path, thresholds: list[Decimal], labels: np.ndarray) -> dict[str, Any]:
    from axonloom.evaluation.contingency import ContingencyTable
    from axonloom.evaluation.report import score
    from axonloom.segmentation.waterz_backend import waterz_segmentations
    from axonloom.volumes import open_volume

    measured = _Measure()
    affinities = open_volume(folder / "affinities.zarr").read()
    found = waterz_segmentations(
        affinities,
        thresholds,
        score="aff50_his256" if "aff50" in name else "mean",
        queue=0 if "exact" in name else 256,
    )
    whole = measured.so_far()
    scores = {}
    for threshold, segmentation in zip(thresholds, found, strict=True):
        s = score(ContingencyTable.of(segmentation, labels))
        scores[str(threshold)] = (s.voi_split, s.voi_merge, s.adapted_rand_error)
    return {**whole, "scores": scores}


class _Measure:
    """CPU seconds and peak memory of this process from here on (Linux)."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        self._base = _peak_kib()
        self._begin = self._last = time.process_time()

    def lap(self) -> float:
        now = time.process_time()
        passed, self._last = now - self._last, now
        return passed

    def so_far(self) -> dict[str, float]:
        return {"cpu_seconds": time.process_time() - self._begin, "peak_mib": (_peak_kib() - self._base) / 1024}


def _peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def show(found: Mapping[str, Mapping[str, Any]], megavoxels: float) -> None:
    """Tables as they stand in the README."""
    ours = found["axonloom"]["cpu_seconds"]
    print("\n| | CPU s | Mvox / CPU s | CPU time, axonloom = 1 | peak memory |\n|---|---|---|---|---|")
    for name, each in found.items():
        cpu = each["cpu_seconds"]
        print(f"| {name} | {cpu:.1f} | {megavoxels / cpu:.2f} | {cpu / ours:.2f} | {each['peak_mib']:.0f} MiB |")
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in found["axonloom"]["stages"].items())
    print(f"\naxonloom's stages, CPU s: {stages}; another threshold {found['axonloom']['another threshold']:.2f}")
    thresholds = list(found["axonloom"]["scores"])
    print("\n| VOI (split + merge), adapted Rand error at | " + " | ".join(thresholds) + " |")
    print("|---" * (1 + len(thresholds)) + "|")
    for name, each in found.items():
        cells = [f"{s + m:.3f} ({s:.3f} + {m:.3f}), {a:.4f}" for s, m, a in each["scores"].values()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("affinities", nargs="?", type=Path)
    parser.add_argument("--crop", nargs=3, type=int, metavar=("Z", "Y", "X"))
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--thresholds", nargs="+", type=Decimal, default=[Decimal(t) for t in ("0.3", "0.5", "0.7")])
    parser.add_argument("--smoothing", default="0", help="sigma in voxels")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS, metavar=("NAME", "FOLDER"))
    args = parser.parse_args()
    if args.contender:
        name, folder = args.contender
        print(json.dumps(contend(name, Path(folder), args.block, args.thresholds, args.smoothing)))
        return
    with tempfile.TemporaryDirectory() as name:
        shape = make_data(Path(name), args.affinities, tuple(args.crop) if args.crop else None, args.block)
        megavoxels = float(np.prod(shape)) / 1e6
        print(f"{shape} voxels, {megavoxels:.1f} Mvox, blocks of {args.block}^3")
        found = {}
        for contender in CONTENDERS:
            command = [sys.executable, "-m", "benchmarks.against_waterz", "--contender", contender, name]
            command += ["--block", str(args.block), "--smoothing", args.smoothing]
            command += ["--thresholds", *map(str, args.thresholds)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[contender] = json.loads(done.stdout.splitlines()[-1])
        show(found, megavoxels)


if __name__ == "__main__":
    main()
