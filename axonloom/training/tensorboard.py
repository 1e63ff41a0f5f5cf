"""The course of a training as TensorBoard reads it: scalars after every iteration, an example with every checkpoint.

What a stretch that was killed wrote beyond its last checkpoint is taken back: TensorBoard leaves it out when it reads the line that
says from which step on the new one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from axonloom.training.errors import TrainingError
from axonloom.training.example import Example

#: Folder beside the checkpoints.
FOLDER = "tensorboard"


def wanted(given: bool | None) -> bool:
    """Whether to write: as said, and where nothing was said if the package is there.

    Raises
    ------
    TrainingError
        It was asked for, and the package is not there.
    """
    there = find_spec("tensorboard") is not None
    if given and not there:
        raise TrainingError(
            "train.tensorboard needs the package tensorboard, which is not installed: pip install 'axonloom[tensorboard]'"
        )
    return there if given is None else given


def scalars_of(scores: Mapping[str, Any] | None) -> dict[str, float | None]:
    """The numbers of a scored segmentation by the names that they are shown under; none where there is none."""
    if scores is None:
        return {}
    return {
        "validation VOI": scores["voi"],
        "validation VOI, split": scores["voi_split"],
        "validation VOI, merge": scores["voi_merge"],
        "validation adapted Rand error": scores["adapted_rand_error"],
        "validation threshold": float(scores["threshold"]),
    }


class TensorBoardLog:
    """Events in a folder, from an iteration on."""

    def __init__(self, folder: Path, iteration: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=iteration + 1 if iteration else None)

    def scalars(self, iteration: int, values: dict[str, float | None]) -> None:
        """Numbers by name; None is left out."""
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, iteration)

    def example(self, iteration: int, example: Example) -> None:
        for title, picture in example.pictures().items():
            self._writer.add_image(title, picture, iteration, dataformats="HWC")

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
