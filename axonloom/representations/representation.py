"""What a network predicts: how labels become targets, how a prediction is judged, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import Tensor

from axonloom.bad_input import BadInputError
from axonloom.geometry import Zyx
from axonloom.turn import Seen, Turn


class RepresentationError(BadInputError):
    """A representation that does not exist or cannot be used as asked, said in one sentence."""


@runtime_checkable
class Representation(Protocol):
    """The seam between labels and networks; one small class a representation.

    Attributes
    ----------
    name : str
        What :func:`representation` finds it by.
    channels : tuple of str
        One short name a channel of the network's output.
    margin : ((z, y, x), (z, y, x))
        Voxels of labels needed below and above a voxel to know its target exactly.
    """

    @property
    def name(self) -> str: ...

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def margin(self) -> tuple[Zyx, Zyx]: ...

    def targets(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Target and weight of integer labels (z, y, x), both float32 (n, z, y, x), for :meth:`loss`; weight 0 = not known.

        Where ``valid`` (bool (z, y, x)) is False the labels are wrong, and nothing is known.
        """
        ...

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """A scalar to minimise, of logits (n, channels, z, y, x) and what :meth:`targets` gives of each sample."""
        ...

    def activation(self, logits: Tensor) -> Tensor:
        """Logits to the numbers that are stored, 0..1."""
        ...

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        """For each channel, where it is found in the evidence for an image that was turned so; None: nowhere."""
        ...

    def parameters(self) -> dict[str, Any]:
        """What :func:`representation` needs, beside the name, to make this one again: plain JSON."""
        ...


def representation(name: str, **parameters: Any) -> Representation:
    """The representation called ``name``.

    Raises
    ------
    RepresentationError
        No such name (the nearest is given), or a parameter that it does not have.
    """
    from axonloom.representations.affinity import Affinity
    from axonloom.representations.channels import Channels
    from axonloom.representations.targets import Targets

    known: dict[str, Callable[..., Representation]] = {"affinity": Affinity, "channels": Channels, "targets": Targets}
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
        raise RepresentationError(f"there is no representation {name!r}; {hint}")
    try:
        return known[name](**parameters)
    except TypeError as error:
        raise RepresentationError(f"representation {name!r} does not take these parameters: {error}") from error
