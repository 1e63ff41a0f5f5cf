"""What blocked inference costs beyond the network itself.

    python -m benchmarks.inference [--image URI] [--checkpoint FOLDER] [--shape 192 192 192] [--blocks 64 64 64 128 128 128] [--json]
                                   [--device cpu] [--processes 2]

A network is run over an image through the stage ``infer``, from disk to disk, without a server: in one block that is the whole
volume, in the default blocks, and in those named. Beside it stands the bare network: the same windows, already normalised and in
memory, one batch after another on as many threads. ``ratio_to_bare_network`` is the time that the bare network takes for the
windows that were computed, over what the stage took (CPU seconds on a CPU, else seconds). A machine changes its speed within minutes,
so on a CPU the bare network runs in between, on every fourth batch once more, which is not counted for the stage; a GPU works
ahead of the stage, and the bare network runs before and after. Then, for each shape of blocks:

redundant_share
    Windows computed over windows of the volume: at the border of blocks some are computed twice.
peak_mib
    Memory above what the process held before; it depends on the block, not on the volume.
voxels_per_s
    Of the volume, delivered; ``of_whole`` is that over the same for the whole volume in one block.
parts_s
    Where the rest went: reading, looking for blank windows, normalising, blending, rounding, writing; on a CPU seconds of the
    thread that does it, so the network's own do not count.

With ``--processes N`` some blocks of 64^3 are also run by one process on one core, and by N processes on a core each, in turn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from axonloom.alone import run_alone
from axonloom.geometry import BlockGrid, Zyx
from axonloom.inference import blockwise
from axonloom.inference.accumulator import Accumulator
from axonloom.inference.pace import seconds_a_window
from axonloom.inference.predictor import Predictor, load_predictor
from axonloom.networks.checkpoint import Checkpoint, ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.presets import preset
from axonloom.networks.registry import build
from axonloom.phantom import Phantom
from axonloom.stage import StagePlan
from axonloom.stages.infer import InferStage, lattice_of
from axonloom.volumes import create_volume, open_volume
from axonloom.volumes.zarr import ZarrVolume
from benchmarks.chain_alone import make_images_chain
from benchmarks.resources import Measured

#: The bare network runs once more on so many of the batches.
EVERY = 4
#: Blocks and rounds of the comparison of processes.
SHARED_BLOCKS, ROUNDS = 12, 2
#: What is timed inside the stage: name -> where the function lies.
PARTS = {
    "reading": (blockwise, "read_reflected"),
    "looking for blank windows": (blockwise, "is_blank"),
    "normalising": (Predictor, "normalised"),
    "blending": (Accumulator, "add"),
    "rounding": (Accumulator, "as_uint8"),
    "writing": (ZarrVolume, "write"),
    "syncing": (ZarrVolume, "sync"),
}


def fresh_checkpoint(folder: Path) -> Path:
    """The preset ``small`` with weights of no training: it is as fast as any."""
    small = preset("small")
    torch.manual_seed(0)
    parameters = {**small.parameters, "in_channels": 1, "out_channels": 3}
    description = ModelDescription(
        architecture=small.architecture,
        parameters=parameters,
        representation="affinity",
        representation_parameters={},
        channels=("z", "y", "x"),
        normalisation=Normalisation(),
        voxel_size=None,
        patch=small.patch,
        window=small.window,
        iteration=0,
    )
    return write_checkpoint(folder, description, build(small.architecture, **parameters).state_dict()).folder


def phantom_image(folder: Path, shape: Zyx) -> str:
    """An image of synthetic neuropil, as zarr."""
    phantom = Phantom(seed=5, shape=shape)
    volume = create_volume(
        str(folder / "image.zarr"), shape=shape, dtype=np.uint8, chunk=(64, 64, 64), voxel_size=phantom.voxel_size
    )
    volume.write(volume.box, phantom.image(volume.box))
    return str(folder / "image.zarr")


def clock(device: str) -> Callable[[], float]:
    """CPU seconds on a CPU, where threads take turns; seconds elsewhere."""
    return time.process_time if device == "cpu" else time.perf_counter


def bare_seconds(plan: StagePlan, device: str, batches: int) -> float:
    """Seconds a window for the network alone, on windows that are in memory."""
    predictor = load_predictor(Checkpoint.open(Path(plan.inputs["checkpoint"]["path"])), plan.parameters)
    windows = np.random.default_rng(0).random((predictor.batch, 1, *plan.parameters["window"]), np.float32)
    return seconds_a_window(predictor, windows, batches, clock=clock(device))


class Between:
    """The bare network on a part of the batches, between the stage's own; ``seconds`` of CPU that they took."""

    def __init__(self) -> None:
        self.batches = self.repeated = 0
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        original = Predictor.predict

        def predict(predictor: Predictor, windows: np.ndarray) -> torch.Tensor:
            found = original(predictor, windows)
            self.batches += 1
            if self.batches % EVERY == 0:
                begin = time.process_time()
                original(predictor, windows)
                self.seconds += time.process_time() - begin
                self.repeated += 1
            return found

        with mock.patch.object(Predictor, "predict", predict):
            yield

    @property
    def all_batches(self) -> float:
        """Seconds that all batches of the stage take."""
        return self.seconds / self.repeated * self.batches


@contextmanager
def timed_parts(seconds: dict[str, float], device: str) -> Iterator[None]:
    """Note what the parts of a block take, while they run."""
    now = time.thread_time if device == "cpu" else time.perf_counter
    patches = []
    for name, (module, function) in PARTS.items():
        original = getattr(module, function)

        def timed(*args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            begin = now()
            try:
                return _original(*args, **kwargs)
            finally:
                seconds[_name] = seconds.get(_name, 0.0) + now() - begin

        patches.append(mock.patch.object(module, function, wraps(original)(timed)))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def run_blocks(folder: Path, image: str, checkpoint: Path, blocks: Zyx | None, device: str) -> dict[str, Any]:
    """One run of the stage, and what it was made of."""
    plan = _plan(folder, image, checkpoint, blocks, device)
    now, between = clock(device), Between()
    with Measured() as measured, between.running() if device == "cpu" else nullcontext():
        begin = now()
        report = run_alone(plan)
        seconds = now() - begin - between.seconds
    if report.failed:
        raise RuntimeError(next(iter(report.failed.values())))
    windows = sum(line["windows"] - line["blank_windows"] for line in plan.ledger.facts() if "windows" in line)
    lattice = lattice_of(plan.grid.region.shape, plan.parameters)
    return {
        "blocks": list(plan.grid.shape),
        "windows": windows,
        "redundant_share": round(lattice.redundant_share(BlockGrid(plan.grid.region, plan.grid.shape)), 3),
        "seconds": round(seconds, 3),
        **({"ratio_to_bare_network": round(between.all_batches / seconds, 3)} if device == "cpu" else {}),
        "voxels_per_s": round(plan.grid.region.voxels / seconds),
        "peak_mib": measured.peak_bytes >> 20,
    }


def _plan(folder: Path, image: str, checkpoint: Path, blocks: Zyx | None, device: str) -> StagePlan:
    given = {"checkpoint": str(checkpoint), "device": device}
    if blocks is not None:
        given["blocks"] = list(blocks)
    return make_images_chain(folder, image, infer=given).infer


def _pin(cores: Any) -> None:
    """This process takes the next core, alone."""
    os.sched_setaffinity(0, {cores.get()})
    torch.set_num_threads(1)


def _block(folder: Path, index: int) -> None:
    report = run_alone(StagePlan.load(folder), [index])
    if report.failed:
        raise RuntimeError(next(iter(report.failed.values())))


def processes(folder: Path, image: str, checkpoint: Path, count: int) -> dict[str, Any]:
    """One process on one core against ``count`` processes on one each, over the same blocks, in turn."""
    cores = sorted(os.sched_getaffinity(0))
    walls: dict[int, list[float]] = {1: [], count: []}
    spawn = multiprocessing.get_context("spawn")
    for number in range(ROUNDS * 2):
        n = (1, count)[number % 2]
        (folder / f"by-{number}").mkdir()
        plan = _plan(folder / f"by-{number}", image, checkpoint, (64, 64, 64), "cpu")
        plan.save()
        warm = range(len(plan.grid) - n, len(plan.grid))
        InferStage(plan).prepare()
        free = spawn.Queue()
        for core in cores[:n]:
            free.put(core)
        with spawn.Pool(n, initializer=_pin, initargs=(free,)) as pool:
            # Started and warm before the clock is.
            pool.starmap(_block, [(plan.folder, k) for k in warm], chunksize=1)
            begin = time.perf_counter()
            pool.starmap(_block, [(plan.folder, k) for k in range(SHARED_BLOCKS)], chunksize=1)
            walls[n].append(round(time.perf_counter() - begin, 2))
    return {
        "processes": count,
        "wall_s": {str(n): taken for n, taken in walls.items()},
        "speedup": round(sum(walls[1]) / sum(walls[count]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", help="default: a phantom of --shape")
    parser.add_argument("--shape", nargs=3, type=int, default=(192, 192, 192))
    parser.add_argument("--checkpoint", type=Path, help="default: the preset small, untrained")
    parser.add_argument(
        "--blocks", nargs="+", type=int, default=(64, 64, 64, 128, 128, 128), help="shapes, zyx after zyx"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", type=int, default=20, help="of the bare network, before and after each run")
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = args.image or phantom_image(folder, tuple(args.shape))
        checkpoint = args.checkpoint or fresh_checkpoint(folder)
        shapes: list[Zyx | None] = [tuple(open_volume(image).shape), None]
        shapes += [tuple(args.blocks[k : k + 3]) for k in range(0, len(args.blocks), 3)]
        (folder / "warm").mkdir()
        bare_plan = _plan(folder / "warm", image, checkpoint, None, args.device)
        bare_seconds(bare_plan, args.device, 2)
        runs = []
        for number, blocks in enumerate(shapes):
            (folder / f"run-{number}").mkdir()
            parts: dict[str, float] = {}
            before = bare_seconds(bare_plan, args.device, args.batches) if args.device != "cpu" else 0.0
            with timed_parts(parts, args.device):
                found = run_blocks(folder / f"run-{number}", image, checkpoint, blocks, args.device)
            if args.device != "cpu":
                bare = (before + bare_seconds(bare_plan, args.device, args.batches)) / 2
                found["ratio_to_bare_network"] = round(bare * found["windows"] / found["seconds"], 3)
            found["parts_s"] = {part: round(seconds, 2) for part, seconds in parts.items()}
            runs.append({"what": ("whole volume", "default blocks")[number] if number < 2 else "named", **found})
        for found in runs:
            found["of_whole"] = round(found["voxels_per_s"] / runs[0]["voxels_per_s"], 3)
        result: dict[str, Any] = {
            "ratio_to_bare_network": runs[1]["ratio_to_bare_network"],
            "of_whole": runs[1]["of_whole"],
            "runs": runs,
        }
        if args.processes:
            result["processes"] = processes(folder, image, checkpoint, args.processes)
    print(json.dumps(result, indent=1) if args.json else _table(result))


def _table(result: dict[str, Any]) -> str:
    lines = [
        "| blocks | windows | computed twice | voxels / s | of whole | ratio to the bare network | MiB | rest |",
        "|---" * 8 + "|",
    ]
    for run in result["runs"]:
        shape = "x".join(map(str, run["blocks"]))
        lines.append(
            f"| {run['what']}, {shape} | {run['windows']} | {run['redundant_share']} | {run['voxels_per_s']} | {run['of_whole']} "
            f"| {run['ratio_to_bare_network']} | {run['peak_mib']} | {run['parts_s']} |"
        )
    if "processes" in result:
        lines.append(f"\n{result['processes']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
