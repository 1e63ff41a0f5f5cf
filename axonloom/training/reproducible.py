"""The state of torch that decides whether two runs give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from axonloom.training.errors import TrainingError


def available_cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def chosen_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda``; ``auto`` takes a GPU when there is one.

    Raises
    ------
    TrainingError
        A GPU is asked for where torch sees none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device 'cuda' is asked for, but torch sees no GPU here; use 'auto' or 'cpu'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def reproducible(threads: int, device: torch.device) -> Iterator[None]:
    """Fixed threads, deterministic kernels and a random state of our own; all of it put back afterwards."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.set_num_threads(threads)
            # A GPU has no deterministic kernel for some layers (trilinear upsampling): there it is as good as it gets.
            torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
            torch.backends.cudnn.benchmark = False
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        torch.backends.cudnn.benchmark = before[3]
