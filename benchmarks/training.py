"""What the training loop costs beyond the network itself.

    python -m benchmarks.training [--data TRAIN.h5] [--preset small] [--turns 5] [--turn 20] [--device auto] [--threads 2] [--json]

A network is trained as ``axonloom train`` does it, with the default settings, on a file in the CREMI layout (default: a phantom). By turns
with it runs the bare network: forward, loss, backward and the optimizer's step, on one batch that is in memory, on as many threads, in
the same process, while the loop and its loaders stand still. A machine changes its speed within minutes, so each turn of the loop is
compared with the turns of the bare network before and after it, and the median of all turns is what counts.

ratio_to_bare_network
    Seconds of the bare network over those of the loop for an iteration. What happens now and then (validation, checkpoints, the sample that
    is shown, a stretch that begins) is timed once and counted with its share of an iteration, at the default intervals. On a CPU there is also ``cpu``: the same of
    CPU seconds, in which samples that are prepared on another core count too.
waiting_s
    Of an iteration, for samples that were not ready.
parts_s
    Where an iteration's rest went; on a CPU, CPU seconds of the thread that does it. ``rest_share`` is all of it, with waiting and with what
    happens now and then, over an iteration: what the ratio should be short of 1 by, without the noise of two measurements, where nothing
    is done at once.
now_and_then
    Seconds of each, and its share of all time at the default interval.
curve_s
    What the flow ``train`` takes to read the log of so many iterations and draw the loss curve, at most every few seconds.
"""

from __future__ import annotations

import os
import sys

# As on axonloom's command line: threads that wait for others do not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch

from axonloom.config.train import TrainSettings
from axonloom.geometry import Zyx
from axonloom.phantom import Phantom
from axonloom.pictures import loss_curve
from axonloom.training import loop, sampling
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import TrainingState, make_sampler, train
from axonloom.training.loss_log import NAME, LossLog, read_log
from axonloom.training.reproducible import chosen_device
from axonloom.training.sampling import Crop, Sampler
from axonloom.training.session import Session
from axonloom.training.tensorboard import TensorBoardLog
from axonloom.volumes import create_volume, open_volume

#: Iterations of each turn that do not count: samples that were prepared while the loop stood still are used up.
SKIPPED = 4
#: What is timed inside every iteration: name -> where the functions lie.
PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "places and reading": ((Sampler, "_draw"), (Sampler, "_image")),
    "turning and warping": ((Crop, "image"), (Crop, "labels")),
    "augmentation": ((sampling, "vary_intensity"), (sampling, "add_defects")),
    "batches": ((Session, "_stacked"),),
    "checking and clipping gradients": (
        (torch.nn.utils, "get_total_norm"),
        (torch.nn.utils, "clip_grads_with_norm_"),
    ),
    "log": ((LossLog, "append"),),
    "TensorBoard": ((TensorBoardLog, "scalars"),),
}
#: What happens now and then: name -> its function.
RARE = {"validation": "validate", "checkpoint": "save", "sample to be shown": "example"}
#: The flow trains in stretches from checkpoint to checkpoint, each of which opens data and network anew.
START = "start of a stretch"
#: Iterations in between, by default.
EVERY = {
    **dict.fromkeys((*RARE, START), TrainSettings().checkpoint_every),
    "validation": TrainSettings().validation.every,
}


@dataclass
class Seconds:
    """By the clock, and of CPU in all threads of this process."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        return cls(time.perf_counter(), time.process_time())

    def since(self, before: Seconds, iterations: int) -> Seconds:
        return Seconds((self.wall - before.wall) / iterations, (self.cpu - before.cpu) / iterations)


class Parts:
    """Seconds by name, added up while :meth:`timing`."""

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = {}
        self._now = time.thread_time if device == "cpu" else time.perf_counter
        self._lock = threading.Lock()

    @contextmanager
    def timing(
        self, where: dict[str, tuple[tuple[Any, str], ...]], now: Callable[[], float] | None = None
    ) -> Iterator[None]:
        """Note what these functions take, while the block runs."""
        patches = [
            mock.patch.object(owner, function, self._timed(name, getattr(owner, function), now or self._now))
            for name, functions in where.items()
            for owner, function in functions
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()

    def _timed(self, name: str, original: Callable[..., Any], now: Callable[[], float]) -> Callable[..., Any]:
        @wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = now()
            try:
                return original(*args, **kwargs)
            finally:
                taken = now() - begin
                with self._lock:
                    self.seconds[name] = self.seconds.get(name, 0.0) + taken

        return timed


class Loaders:
    """Whether samples are being made."""

    def __init__(self) -> None:
        self._made = 0
        self._lock = threading.Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        original = Sampler.sample

        def sample(sampler: Sampler, index: int) -> sampling.Sample:
            with self._lock:
                self._made += 1
            try:
                return original(sampler, index)
            finally:
                with self._lock:
                    self._made -= 1

        with mock.patch.object(Sampler, "sample", sample):
            yield

    def wait(self) -> None:
        """Until nothing was made for a while: as much is ready as may be."""
        quiet = 0
        while quiet < 5:
            time.sleep(0.02)
            quiet = 0 if self._made else quiet + 1


class BareNetwork:
    """A network of the same kind and one batch of the same data, both on the device."""

    def __init__(self, settings: TrainSettings, volumes: Sequence[LabelledVolume], device: torch.device) -> None:
        sampler = make_sampler(settings, volumes)
        session = Session(settings, sampler, device)
        samples = [sampler.sample(k) for k in range(settings.batch)]
        self.image, self.target, self.weight = (
            torch.from_numpy(np.stack([getattr(each, name) for each in samples])).to(device)
            for name in ("image", "target", "weight")
        )
        self.image = self.image.contiguous(memory_format=session.layout)
        self.network, self.optimizer, self.loss = (
            session.network.train(),
            session.optimizer,
            sampler.representation.loss,
        )
        self.device, self.precision = device, settings.precision
        # The same work without its effect: trained on one batch alone, it would soon compute with other numbers than the loop.
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0

    def run(self, iterations: int) -> None:
        kind = torch.bfloat16 if self.precision == "bfloat16" else torch.float16
        for _ in range(iterations):
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, dtype=kind, enabled=self.precision != "float32"):
                logits = self.network(self.image)
            self.loss(logits.float(), self.target, self.weight).backward()
            self.optimizer.step()
            del logits  # as in the loop, none is held while the next is computed


class Turns:
    """Called after each iteration of the loop: marks the time, and lets the bare network run at the end of a turn."""

    def __init__(self, turn: int, turns: int, bare: BareNetwork, loaders: Loaders, parts: Parts) -> None:
        self.turn, self.turns = turn, turns
        self.bare, self.loaders, self.parts = bare, loaders, parts
        self.loop_seconds: list[Seconds] = []
        self.bare_seconds: list[Seconds] = []
        self.part_seconds: list[dict[str, float]] = []

    def __call__(self, state: TrainingState) -> None:
        number, place = divmod(state.iteration, self.turn)
        # The first turn is for warming up: volumes are read, kernels compiled.
        if 1 <= number <= self.turns and place == SKIPPED:
            self._settle()
            self._begin, self._parts = Seconds.now(), dict(self.parts.seconds)
        elif 1 <= number <= self.turns + 1 and place == 0:
            self._settle()
            if number > 1:
                counted = self.turn - SKIPPED
                self.loop_seconds.append(Seconds.now().since(self._begin, counted))
                taken = {k: (v - self._parts.get(k, 0.0)) / counted for k, v in self.parts.seconds.items()}
                self.part_seconds.append(taken)
            self.loaders.wait()
            self.bare.run(1)
            self._settle()
            begin = Seconds.now()
            self.bare.run(self.turn - SKIPPED)
            self._settle()
            self.bare_seconds.append(Seconds.now().since(begin, self.turn - SKIPPED))
            print(f"turn {number - 1} of {self.turns}", file=sys.stderr)

    def _settle(self) -> None:
        if self.bare.device.type == "cuda":
            torch.cuda.synchronize()

    def bare_around(self, kind: str) -> list[float]:
        """For each turn of the loop, what the bare network took before and after it."""
        values = [getattr(each, kind) for each in self.bare_seconds]
        return [(before + after) / 2 for before, after in pairwise(values)]


def measured(settings: TrainSettings, volumes: Sequence[LabelledVolume], turns: int, turn: int) -> dict[str, Any]:
    """One training, by turns with the bare network."""
    iterations = turn * (turns + 1) + 1
    # Validation and checkpoint come once, after the last turn.
    settings = settings.model_copy(
        update={
            "iterations": iterations,
            "checkpoint_every": iterations,
            "validation": settings.validation.model_copy(update={"every": iterations}),
        }
    )
    device = chosen_device(settings.device)
    parts, rare, loaders, waiting = Parts(device.type), Parts(device.type), Loaders(), Waiting()
    representation = type(make_sampler(settings, volumes).representation)
    found = Turns(turn, turns, BareNetwork(settings, volumes, device), loaders, parts)
    with tempfile.TemporaryDirectory() as folder:
        with (
            parts.timing({**PARTS, "targets": ((representation, "targets"),)}),
            waiting.timed(parts),
            rare.timing({name: ((Session, function),) for name, function in RARE.items()}, time.perf_counter),
            loaders.watched(),
        ):
            train(settings, volumes, folder, on_progress=found)
        rare.seconds[START] = start_seconds(settings, volumes, Path(folder))
    return _result(found, rare.seconds, settings)


def start_seconds(settings: TrainSettings, volumes: Sequence[LabelledVolume], folder: Path) -> float:
    """From the call of a stretch that goes on to its first step."""
    begun: list[float] = []
    original = Session.step

    def step(session: Session, samples: Sequence[sampling.Sample]) -> float:
        begun.append(time.perf_counter())
        return original(session, samples)

    with mock.patch.object(Session, "step", step):
        begin = time.perf_counter()
        train(settings.model_copy(update={"iterations": settings.iterations + 1}), volumes, folder)
    return begun[0] - begin


class Waiting:
    """What the loop waits for samples, by the clock."""

    name = "waiting for samples"

    @contextmanager
    def timed(self, parts: Parts) -> Iterator[None]:
        original = loop.in_order

        def in_order(*args: Any, **kwargs: Any) -> Iterator[sampling.Sample]:
            samples = original(*args, **kwargs)
            try:
                while True:
                    begin = time.perf_counter()
                    sample = next(samples, None)
                    parts.seconds[self.name] = parts.seconds.get(self.name, 0.0) + time.perf_counter() - begin
                    if sample is None:
                        return
                    yield sample
            finally:
                samples.close()

        with mock.patch.object(loop, "in_order", in_order):
            yield


def _result(found: Turns, rare: dict[str, float], settings: TrainSettings) -> dict[str, Any]:
    # The first checkpoint is written before the first iteration, the other after the last.
    times = {"checkpoint": 2}
    each = {name: rare.get(name, 0.0) / times.get(name, 1) for name in EVERY}
    a_share = {name: each[name] / every for name, every in EVERY.items()}
    more = sum(a_share.values())
    ratios: dict[str, float] = {}
    for kind in ("wall", "cpu"):
        loops = [getattr(seconds, kind) for seconds in found.loop_seconds]
        ratios[kind] = median(bare / (taken + more) for bare, taken in zip(found.bare_around(kind), loops, strict=True))
    iteration = median(seconds.wall for seconds in found.loop_seconds)
    parts = {name: median(t.get(name, 0.0) for t in found.part_seconds) for name in found.part_seconds[-1]}
    waiting = parts.pop(Waiting.name, 0.0)
    on_cpu = found.bare.device.type == "cpu"
    return {
        "device": found.bare.device.type,
        "threads": settings.threads,
        "preset": settings.preset,
        "patch": list(found.bare.image.shape[2:]),
        "batch": settings.batch,
        "turns": len(found.loop_seconds),
        "ratio_to_bare_network": round(ratios["wall"], 3),
        **({"cpu": round(ratios["cpu"], 3)} if on_cpu else {}),
        "iteration_s": round(iteration, 4),
        "bare_s": round(median(seconds.wall for seconds in found.bare_seconds), 4),
        "rest_share": round((sum(parts.values()) + waiting + more) / (iteration + more), 4),
        "waiting_s": round(waiting, 5),
        "parts_s": {name: round(seconds, 5) for name, seconds in sorted(parts.items(), key=lambda p: -p[1])},
        "now_and_then": {
            name: {"s": round(each[name], 3), "every": every, "share": round(a_share[name] / (iteration + more), 5)}
            for name, every in EVERY.items()
        },
        "turns_s": {
            kind: {
                "loop": [round(getattr(s, kind), 4) for s in found.loop_seconds],
                "bare": [round(getattr(s, kind), 4) for s in found.bare_seconds],
            }
            for kind in (("wall", "cpu") if on_cpu else ("wall",))
        },
    }


def curve_seconds(iterations: int) -> float:
    """What the flow takes to show the course of a training that is so long: the least of three turns.

    The first of a process also loads what draws, and a busy machine may hold any of them up.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = LossLog(Path(folder) / NAME, 0)
        for k in range(1, iterations + 1):
            log.append({"iteration": k, "loss": 1 / k, "learning_rate": 2e-3, "seconds": round(0.7 * k, 3)})
        log.close()
        turns = []
        for _ in range(3):
            begin = time.perf_counter()
            entries = read_log(Path(folder) / NAME)
            loss_curve([e["iteration"] for e in entries], [e["loss"] for e in entries], [])
            turns.append(time.perf_counter() - begin)
        return min(turns)


def phantom_volumes(folder: Path, shape: Zyx) -> list[LabelledVolume]:
    """Synthetic neuropil with its labels, as zarr."""
    phantom = Phantom(seed=5, shape=shape)
    made = []
    for name, dtype, content in (("image", np.uint8, phantom.image), ("labels", np.uint32, phantom.labels)):
        volume = create_volume(
            str(folder / f"{name}.zarr"), shape=shape, dtype=dtype, chunk=(64, 64, 64), voxel_size=phantom.voxel_size
        )
        volume.write(volume.box, content(volume.box))
        made.append(open_volume(str(folder / f"{name}.zarr")))
    return [LabelledVolume(*made)]


def cremi_volumes(path: str) -> list[LabelledVolume]:
    """Images and labels of an HDF5 file in the CREMI layout."""
    names = ("volumes/raw", "volumes/labels/neuron_ids")
    return [LabelledVolume(*(open_volume(f"{path}:{name}") for name in names))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="HDF5 in the CREMI layout; default: a phantom of --shape")
    parser.add_argument("--shape", nargs=3, type=int, default=(128, 160, 160))
    parser.add_argument("--preset", default=TrainSettings().preset)
    parser.add_argument("--batch", type=int, default=TrainSettings().batch)
    parser.add_argument("--precision", default=TrainSettings().precision)
    parser.add_argument("--loaders", type=int, default=TrainSettings().loaders)
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--turn", type=int, default=20, help="iterations, of which the first few do not count")
    parser.add_argument("--curves", nargs="*", type=int, default=(2_000, 100_000), help="iterations")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.turn <= SKIPPED:
        parser.error(f"--turn: more than {SKIPPED} iterations")
    chosen = {name: getattr(args, name) for name in ("preset", "batch", "precision", "loaders", "device")}
    settings = TrainSettings.model_validate({**chosen, "threads": args.threads or loop.available_cores()})
    with tempfile.TemporaryDirectory() as folder:
        volumes = cremi_volumes(args.data) if args.data else phantom_volumes(Path(folder), tuple(args.shape))
        result = measured(settings, volumes, args.turns, args.turn)
    result["curve_s"] = {str(n): round(curve_seconds(n), 3) for n in args.curves}
    print(json.dumps(result, indent=1) if args.json else _table(result))


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['preset']}, patches of {'x'.join(map(str, result['patch']))}, {result['batch']} an iteration, {result['device']}, "
        f"{result['threads']} threads, {result['turns']} turns",
        "",
        "| | seconds an iteration |",
        "|---|---|",
        f"| the bare network | {result['bare_s']} |",
        f"| the loop | {result['iteration_s']} |",
        f"| of it waiting for samples | {result['waiting_s']} |",
    ]
    lines += [f"| {name} | {seconds} |" for name, seconds in result["parts_s"].items()]
    for name, rare in result["now_and_then"].items():
        lines.append(f"| {name}: {rare['s']} s every {rare['every']} | {100 * rare['share']:.2f} % of all |")
    lines.append("")
    lines += [f"the loss curve after {n} iterations: {seconds} s" for n, seconds in result["curve_s"].items()]
    cpu = f" (of CPU seconds {result['cpu']})" if "cpu" in result else ""
    lines.append(
        f"pure network time: {result['ratio_to_bare_network']}{cpu}; the rest adds up to {result['rest_share']}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
