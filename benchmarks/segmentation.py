"""From affinities to segmentations: axonloom beside waterz and volara on the same file, in one run.

    python -m benchmarks.segmentation [FILE.h5] [--json] [--slope [ROUNDS]] [--thresholds 0.1 0.2 0.3] [--crop 128 512 512]
                                      [--volara-python PATH] [--only axonloom waterz_whole]

The file holds ``affinities`` (uint8, (3, z, y, x), the edge to the voxel before) and ``labels``; without one, a phantom with
mistakes is made. Each contender first finds the threshold of its lowest VOI, untimed, and is then measured there in a fresh
process, imports and compilation apart:

axonloom, axonloom_aff60_his32, axonloom_multicut
    Its flows ``segment`` and ``merge`` with a Prefect server that is up, from disk to disk: every stage, the segmentation and
    its pyramid are written and synced. Its CPU seconds are those of the flows' process; the server's are told beside. Merged by
    the mean affinity, by a quantile of it, and by multicut, whose bias is tried where others have thresholds.
waterz_whole, waterz_whole_aff50_his256
    The whole volume at once, from disk to memory, on one thread.
waterz_blocks, waterz_blocks_aff50_his256
    Each large block for itself, from disk to disk, with nothing between the blocks.
volara
    With ``--volara-python``, a Python that has it: from disk to disk, in the same large blocks.

Wall time is with ``--workers`` workers (waterz_whole has one). ``--slope`` also runs axonloom on half of the volume: the
voxels that are more, over the CPU seconds that are more, in which what a run costs at any size is no part. A difference of two
single runs is as uncertain as the machine, so with ROUNDS both are run so many times in turn, and waterz_whole with them where
it takes part; what counts are the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.phantom import Phantom
from axonloom.volumes import create_volume, open_volume
from benchmarks.contenders.__main__ import CONTENDERS
from benchmarks.contenders.job import PREDICTED_ZERO, Job

PHANTOM = (96, 192, 192)
THRESHOLDS = (
    "0.05", "0.08", "0.1", "0.12", "0.13", "0.14", "0.15", "0.16", "0.17", "0.18", "0.19", "0.2", "0.22", "0.25", "0.3", "0.4", "0.5",
    "0.6", "0.7", "0.8",
)  # fmt: skip


def write_volumes(folder: Path, source: Path | None, crop: Zyx | None, chunk: Zyx) -> Zyx:
    """Write ``affinities.zarr`` and ``labels.zarr`` into ``folder``; returns their shape."""
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
            chunk=chunk,
            voxel_size=(8, 8, 8),
        )
        volume.write(volume.box, array)
    z, y, x = arrays["labels"].shape
    return z, y, x


def half(folder: Path, out: Path, chunk: Zyx) -> None:
    """The half of the volumes in ``folder`` along their longest axis."""
    shape = list(open_volume(str(folder / "labels.zarr")).shape)
    axis = shape.index(max(shape))
    shape[axis] //= 2
    z, y, x = shape
    for name in ("affinities", "labels"):
        whole = open_volume(str(folder / f"{name}.zarr"))
        part = create_volume(
            str(out / f"{name}.zarr"), shape=(z, y, x), dtype=whole.dtype, channels=whole.channels, chunk=chunk,
            voxel_size=(8, 8, 8),
        )  # fmt: skip
        part.write(part.box, whole.read(part.box))


@contextmanager
def server(home: Path) -> Iterator[tuple[int, float]]:
    """A Prefect server with a history of its own: its process, and the seconds that it took to come up."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(home)
    with temporary_settings({PREFECT_HOME: home}, restore_defaults={PREFECT_API_URL}):
        from deployments.server import SharedServer, prefect_server

        begin = time.perf_counter()
        with prefect_server():
            yield json.loads(SharedServer().record.read_text())["pid"], time.perf_counter() - begin


@dataclass(frozen=True)
class Arena:
    """Where the contenders meet."""

    folder: Path
    job: dict[str, Any]

    def step(self, contender: str, step: str, thresholds: list[str], volumes: Path) -> dict[str, Any]:
        """Run one step of one contender in a process of its own.

        Raises
        ------
        RuntimeError
            It failed; what it said last.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            scratch = Path(name) / "scratch"
            scratch.mkdir()
            job = {**self.job, "folder": str(volumes), "scratch": str(scratch)}
            given = Path(name) / "step.json"
            given.write_text(json.dumps({"contender": contender, "step": step, "thresholds": thresholds, "job": job}))
            command = [sys.executable, "-m", "benchmarks.contenders", str(given)]
            environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
            with (Path(name) / "log").open("w+") as log:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
                if done.returncode:
                    log.seek(0)
                    raise RuntimeError(f"{contender} failed: {log.read()[-3000:]}")
            return json.loads(done.stdout.splitlines()[-1])

    def best(self, contender: str, thresholds: list[str], volumes: Path) -> dict[str, Any]:
        """The measurements of a contender at its best threshold, with the VOI at all."""
        voi = self.step(contender, "tune", thresholds, volumes)
        best = min(voi, key=lambda t: voi[t])
        found = self.step(contender, "measure", [best], volumes)
        return {"threshold": float(best), **found, "voi_at": voi}


def slope(
    whole: Sequence[Mapping[str, Any]], part: Sequence[Mapping[str, Any]], voxels: int, part_voxels: int
) -> dict[str, Any]:
    """What the further voxels of the whole cost, by the medians of several runs."""
    more, seconds = voxels - part_voxels, _median_cpu(whole) - _median_cpu(part)
    return {
        "half_voxels": part_voxels,
        "half_cpu_s": [run["cpu_s"] for run in part],
        "whole_voxels": voxels,
        "whole_cpu_s": [run["cpu_s"] for run in whole],
        "mvox_per_cpu_s": round(more / 1e6 / seconds, 3) if seconds > 0 else float("inf"),
    }


def _median_cpu(runs: Sequence[Mapping[str, Any]]) -> float:
    return float(np.median([run["cpu_s"] for run in runs]))


def measured_slope(arena: Arena, found: Mapping[str, Any], folder: Path, blocks: Zyx, rounds: int) -> dict[str, Any]:
    """axonloom on half of the volume and on the whole in turn, with waterz on the whole where it took part."""
    part = folder / "half"
    part.mkdir()
    half(folder, part, blocks)
    voxels, fewer = (int(np.prod(open_volume(str(place / "labels.zarr")).shape)) for place in (folder, part))
    runs: dict[str, list[dict[str, Any]]] = {"part": [], "whole": [], "waterz_whole": []}
    for _ in range(rounds):
        for name, contender, place in (
            ("part", "axonloom", part), ("whole", "axonloom", folder), ("waterz_whole", "waterz_whole", folder),
        ):  # fmt: skip
            if "threshold" in found.get(contender, {}):
                runs[name].append(arena.step(contender, "measure", [str(found[contender]["threshold"])], place))
    result = slope(runs["whole"], runs["part"], voxels, fewer)
    if runs["waterz_whole"]:
        result["waterz_cpu_s"] = [run["cpu_s"] for run in runs["waterz_whole"]]
        result["waterz_mvox_per_cpu_s"] = round(voxels / 1e6 / _median_cpu(runs["waterz_whole"]), 3)
    return result


def show(found: Mapping[str, Any]) -> None:
    """Tables as they stand in the README."""
    entries = {name: each for name, each in found.items() if name in CONTENDERS and "error" not in each}
    print(
        "\n| | Mvox / CPU s | Mvox / s | workers | bytes / voxel | best at | VOI (split + merge) | adapted Rand error |"
    )
    print("|---" * 8 + "|")
    for name, e in entries.items():
        print(
            f"| {name} | {e['mvox_per_cpu_s']:.2f} | {e['mvox_per_s']:.2f} | {e['workers']} | "
            f"{e['peak_bytes_per_voxel']:.1f} | {e['threshold']:g} | {e['voi']:.3f} ({e['voi_split']:.3f} + "
            f"{e['voi_merge']:.3f}) | {e['adapted_rand_error']:.4f} |"
        )
    print("\n| VOI, adapted Rand error; voxels predicted 0 are | " + " | ".join(PREDICTED_ZERO) + " |")
    print("|---" * (1 + len(PREDICTED_ZERO)) + "|")
    for name, e in entries.items():
        cells = [f"{p['voi']:.3f}, {p['adapted_rand_error']:.4f}" for p in e["predicted_zero"].values()]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if (ours := entries.get("axonloom")) is not None:
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in ours["stage_block_s"].items())
        print(
            f"\naxonloom: {ours['cpu_s']:.1f} CPU s, {ours['wall_s']:.1f} s; the server meanwhile "
            f"{ours['server_cpu_s']:.1f} CPU s. Imports {ours['imports_s']:.1f} s, a first tiny run "
            f"{ours['first_run_s']:.1f} s, the server's start {found['server_start_s']:.1f} s.\n"
            f"Seconds in the blocks of: {stages}.\n"
            f"Another threshold: {ours['another_threshold_cpu_s']:.1f} CPU s, {ours['another_threshold_s']:.1f} s."
        )
    if "slope" in found:
        s = found["slope"]
        beside = f"; waterz meanwhile {s['waterz_mvox_per_cpu_s']:.2f}" if "waterz_mvox_per_cpu_s" in s else ""
        print(
            f"Slope: {s['mvox_per_cpu_s']:.2f} Mvox / CPU s ({_seconds(s['half_cpu_s'])} s for {s['half_voxels'] / 1e6:.1f} Mvox, "
            f"{_seconds(s['whole_cpu_s'])} s for {s['whole_voxels'] / 1e6:.1f} Mvox{beside})."
        )


def _seconds(runs: Sequence[float]) -> str:
    return ", ".join(f"{seconds:.1f}" for seconds in runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument(
        "--slope", type=int, nargs="?", const=1, default=0, metavar="ROUNDS",
        help="also run axonloom on half of the volume, and so many times in turn on both",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=tuple(CONTENDERS), help="some of the contenders")
    parser.add_argument("--crop", nargs=3, type=int, metavar=("Z", "Y", "X"), help="use the first voxels only")
    parser.add_argument("--thresholds", nargs="+", default=THRESHOLDS)
    parser.add_argument("--blocks", nargs=3, type=int, default=(64, 64, 64), metavar=("Z", "Y", "X"))
    parser.add_argument(
        "--large-blocks", nargs=3, type=int, default=(128, 256, 256), metavar=("Z", "Y", "X"),
        help="of waterz_blocks and volara; multiples of --blocks",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--queue", type=int, choices=(0, 256), default=256, help="waterz: bins of its queue, 0: exact")
    parser.add_argument("--volara-python", help="a Python that has volara")
    parser.add_argument(
        "--scratch", type=Path, help="a folder on the disk to work on; the system's for temporary files"
    )
    args = parser.parse_args()
    names = args.only or [n for n in CONTENDERS if n != "volara" or args.volara_python]
    if "volara" in names and not args.volara_python:
        parser.error("volara needs --volara-python, a Python that has it")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name)
        shape = write_volumes(folder, args.file, tuple(args.crop) if args.crop else None, tuple(args.blocks))
        voxels = int(np.prod(shape))
        found: dict[str, Any] = {"shape": list(shape), "voxels": voxels, "load_before": round(load, 2)}
        with server(folder / "prefect") as (pid, start):
            found["server_start_s"] = round(start, 2)
            job = Job(
                folder, folder, tuple(args.blocks), tuple(args.large_blocks), args.workers, args.queue, pid,
                args.volara_python,
            )  # fmt: skip
            arena = Arena(folder, asdict(job))
            for contender in names:
                print(f"{contender} …", file=sys.stderr, flush=True)
                try:
                    found[contender] = arena.best(contender, list(args.thresholds), folder)
                except RuntimeError as error:
                    # One that fails does not take the others' results along.
                    found[contender] = {"error": str(error)}
                    print(error, file=sys.stderr)
            if args.slope and "threshold" in found.get("axonloom", {}):
                found["slope"] = measured_slope(arena, found, folder, tuple(args.blocks), args.slope)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{shape} voxels, {voxels / 1e6:.1f} Mvox, blocks of {tuple(args.blocks)}, load before {load:.1f}")
        show(found)
    return 1 if any("error" in found[n] for n in names) else 0


if __name__ == "__main__":
    sys.exit(main())
