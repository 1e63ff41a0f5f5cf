"""How many windows a GPU computes at once: found by trying, once for a kind of GPU and a network, and kept.

The bytes of a prediction depend on it, so it is part of what identifies one and may not change from run to run: what was found is
written to the workspace (``batch-sizes/``, a file each) and read from there ever after, also by processes that see no GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from axonloom.bad_input import BadInputError
from axonloom.durable import make_json_once
from axonloom.inference.pace import seconds_a_window
from axonloom.inference.predictor import OutOfMemoryError, PredictionError, load_predictor
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import ForeignCheckpoint
from axonloom.provenance import fingerprint

#: More are not tried: from there on windows a second do not grow.
MOST = 64
#: A batch twice as large has to give so many times the windows a second.
WORTH_IT = 1.05
#: Windows that are timed for each size, after as many that are not.
TIMED = 4
#: Below a workspace.
FOLDER = "batch-sizes"


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


def kept_batch(workspace: Path, key: Mapping[str, Any], find: Callable[[], int] | None) -> int | None:
    """The batch that was found for ``key``; the first time that ``find`` finds, which is written down.

    Without ``find`` (no GPU here), what any GPU was found to take for the same network and windows; None where none was asked yet.

    Raises
    ------
    BadInputError
        A file of the workspace is damaged.
    """
    folder = workspace / FOLDER
    if find is None:
        anywhere = {**key, "gpu": None}
        found = [_read(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
        return next((batch for known, batch in found if {**known, "gpu": None} == anywhere), None)
    path = folder / f"{fingerprint(dict(key))[:16]}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Trying takes a while: of runs that do so at once the first to write decides for all.
        make_json_once(path, {"key": dict(key), "batch": find()})
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, Any], int]:
    try:
        content = json.loads(path.read_text())
        return dict(content["key"]), int(content["batch"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(
            f"{path} is damaged: delete it, and the batch is looked for again (or set infer.batch)"
        ) from error


def batch_for_gpu(
    workspace: Path,
    checkpoint: Checkpoint | ForeignCheckpoint,
    parameters: Mapping[str, Any],
    *,
    filled: Callable[[int], float],
    room: int,
) -> int:
    """The batch for a network on the GPU of this machine, kept in the workspace.

    Parameters
    ----------
    parameters
        As :func:`axonloom.inference.predictor.settings_that_matter` writes them down; ``batch`` is not looked at.
    filled : function
        Of a batch: the share (0..1) of its places that the windows of a block fill; see :mod:`axonloom.inference.places`.
    room : int
        Bytes of the GPU to leave to others: the sums of blocks.

    Raises
    ------
    PredictionError
        This process sees no GPU, and no other has tried for this network.
    OutOfMemoryError
        There is no room for one window.
    """
    sees_one = torch.cuda.is_available()
    key = {
        "gpu": _gpu_name() if sees_one else None,
        "network": checkpoint.identity(),
        **{name: parameters.get(name) for name in ("window", "precision", "views", "torch")},
        **{name: parameters[name] for name in ("channels_last", "compile") if name in parameters},
    }
    found = kept_batch(
        workspace, key, (lambda: tried_batch(checkpoint, parameters, filled, room)) if sees_one else None
    )
    if found is None:
        raise PredictionError(
            "infer.batch is auto, and there is no GPU here to try sizes on: set infer.batch, such as 4 (the result depends on it in "
            "the last bit, so it has to be known before the first block), or run `axonloom plan` once on a machine with such a GPU, which "
            f"tries them and keeps the best in {workspace / FOLDER}"
        )
    return found


def _gpu_name() -> str:
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory >> 30} GiB"


def tried_batch(
    checkpoint: Checkpoint | ForeignCheckpoint,
    parameters: Mapping[str, Any],
    filled: Callable[[int], float],
    room: int,
) -> int:
    """:func:`best_batch` of a network on the device of ``parameters``, with ``room`` bytes of it taken, and room for a second worker."""
    device = torch.device(parameters["device"])
    try:
        taken = torch.empty(room, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        taken = None  # then the sums lie on the host
    channels = checkpoint.description.parameters.get("in_channels", 1)

    def seconds_of(batch: int) -> float:
        predictor = load_predictor(checkpoint, {**parameters, "batch": batch})
        windows = np.zeros((batch, channels, *parameters["window"]), np.float32)
        try:
            # A second worker may be predicting too.
            seconds = seconds_a_window(predictor, windows, -(-TIMED // batch), meanwhile=lambda: _taken_again(device))
            return seconds / filled(batch)
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(str(error)) from error
        except (RuntimeError, PredictionError) as error:
            if batch == 1 or not isinstance(checkpoint, ForeignCheckpoint):
                raise
            # A program may have been exported for one window at a time.
            raise OutOfMemoryError(str(error)) from error
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()

    try:
        return best_batch(seconds_of)
    finally:
        del taken


def _taken_again(device: torch.device) -> Tensor | None:
    """As much of a GPU's memory as the last prediction took at its peak; None on a CPU."""
    if device.type != "cuda":
        return None
    more = torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()
    return torch.empty(more, dtype=torch.uint8, device=device)
