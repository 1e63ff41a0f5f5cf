"""One kind of target: what labels say about each voxel, before anything is said about losses."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from axonloom.geometry import Zyx
from axonloom.turn import Seen, Turn


class Target(Protocol):
    """What a group of a network's channels predicts.

    Attributes
    ----------
    channels : tuple of str
        One short name a channel of the network's output.
    classes : bool
        The target is one channel of class numbers, the network has a channel a class; else the target has the network's channels.
    activation : {'sigmoid', 'tanh', 'softmax'}
        What turns logits into the target's numbers.
    margin : ((z, y, x), (z, y, x))
        Voxels of labels needed below and above a voxel to know its target exactly; for targets that depend on whole objects,
        which no margin can hold, those that change most.
    """

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def classes(self) -> bool: ...

    @property
    def activation(self) -> str: ...

    @property
    def margin(self) -> tuple[Zyx, Zyx]: ...

    def target(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Target and where it is known, of integer labels (z, y, x): float32 and bool, both (channels, z, y, x).

        Where ``valid`` (bool (z, y, x)) is False the labels are wrong.
        """
        ...

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        """For each channel, where it is found in the evidence for an image that was turned so; None: nowhere."""
        ...

    def parameters(self) -> dict[str, Any]:
        """What makes this one again: plain JSON."""
        ...
