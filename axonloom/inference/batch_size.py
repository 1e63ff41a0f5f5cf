"""How many windows a GPU computes at once: found by trying, once for a kind of GPU and a network, and kept.

The bytes of a prediction depend on it, so it is part of what identifies one and may not change from run to run: what was found is
written to the workspace and read from there ever after, also by processes that see no GPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from axonloom.bad_input import BadInputError
from axonloom.durable import write_json
from axonloom.inference.predictor import OutOfMemoryError, load_predictor
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import ForeignCheckpoint

#: More are not tried: from there on windows a second do not grow.
MOST = 64
#: A batch twice as large has to give so many times the windows a second.
WORTH_IT = 1.05
#: Windows that are timed for each size, after as many that are not.
TIMED = 4


def best_batch(seconds_a_window: Callable[[int], float], most: int = MOST) -> int:
    """The batch that gives the most windows a second, from 1 by doubling; the smaller where a larger is hardly faster.

    Parameters
    ----------
    seconds_a_window : function
        Tries a batch of that size; raises OutOfMemoryError where it finds no room.

    Raises
    ------
    OutOfMemoryError
        There is no room for one window.
    """
    batch, seconds = 1, seconds_a_window(1)
    while 2 * batch <= most:
        try:
            faster = seconds_a_window(2 * batch)
        except OutOfMemoryError:
            break
        if seconds < WORTH_IT * faster:
            break
        batch, seconds = 2 * batch, faster
    return batch


def kept_batch(folder: Path, key: Mapping[str, Any], find: Callable[[], int] | None) -> int | None:
    """The batch that was found for ``key``; the first time that ``find`` finds, which is written down.

    Without ``find`` (no GPU here), what any GPU was found to take for the same network and windows; None where none was asked yet.

    Raises
    ------
    BadInputError
        The file in ``folder`` is damaged.
    """
    path = folder / "batch-sizes.json"
    names = [name for name in key if find is not None or name != "gpu"]
    _, batch = _kept(path, key, names)
    if batch is not None or find is None:
        return batch
    tried = find()
    # Trying takes a while: what another run has written down meanwhile counts for both.
    kept, batch = _kept(path, key, names)
    if batch is None:
        batch = tried
        write_json(path, [*kept, {**key, "batch": batch}])
    return batch


def _kept(path: Path, key: Mapping[str, Any], names: Sequence[str]) -> tuple[list[dict[str, Any]], int | None]:
    """All that is written down, and the batch of the first that is like ``key`` in these names."""
    try:
        kept: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        same = [k["batch"] for k in kept if all(k[n] == key[n] for n in names)]
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(
            f"{path} is damaged: delete it, and the batch is looked for again (or set infer.batch)"
        ) from error
    return kept, same[0] if same else None


def batch_for_gpu(folder: Path, checkpoint: Checkpoint | ForeignCheckpoint, parameters: Mapping[str, Any]) -> int:
    """The batch for a network on the GPU of this machine, kept in ``folder``; 1 where this process sees none and none was asked yet.

    Parameters
    ----------
    parameters
        As :func:`axonloom.inference.predictor.settings_that_matter` writes them down; ``batch`` is not looked at.
    """
    sees_one = torch.cuda.is_available()
    key = {
        "gpu": _gpu_name() if sees_one else "",
        "network": checkpoint.identity(),
        **{name: parameters.get(name) for name in ("window", "precision", "views", "torch")},
    }
    return kept_batch(folder, key, (lambda: _tried(checkpoint, parameters)) if sees_one else None) or 1


def _gpu_name() -> str:
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory >> 30} GiB"


def _tried(checkpoint: Checkpoint | ForeignCheckpoint, parameters: Mapping[str, Any]) -> int:
    def seconds_a_window(batch: int) -> float:
        predictor = load_predictor(checkpoint, {**parameters, "batch": batch})
        windows = np.zeros(
            (batch, checkpoint.description.parameters.get("in_channels", 1), *parameters["window"]), np.float32
        )
        try:
            begin = 0.0
            for timed in (False, True):
                torch.cuda.synchronize()
                begin = time.perf_counter()
                for _ in range(-(-TIMED // batch) if timed else 1):
                    predictor.predict(windows)
            torch.cuda.synchronize()
            return (time.perf_counter() - begin) / (-(-TIMED // batch) * batch)
        finally:
            torch.cuda.empty_cache()

    return best_batch(seconds_a_window)
