"""One sample beside what the network says of it, for looking at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axonloom.pictures import slice_image

#: Channels that are shown, at most.
MOST_CHANNELS = 4


@dataclass(frozen=True)
class Example:
    """The middle sections of a sample.

    Attributes
    ----------
    image : float32 (y, x), normalised
    target : float32 (t, y, x)
        As the representation gives it: a channel each of the network's, or one of class numbers.
    prediction : float32 (channels, y, x)
        What would be stored, 0..1.
    channels : names of the network's channels
    """

    image: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    channels: tuple[str, ...]

    def pictures(self) -> dict[str, np.ndarray]:
        """RGB (y, x, 3) uint8 by title: the image, and each of the first channels with its target where that has such a channel."""
        found = {"image": slice_image(self.image)}
        for k, name in enumerate(self.channels[:MOST_CHANNELS]):
            if len(self.target) == len(self.channels):
                found[f"{name}: target"] = slice_image(self.target[k])
            found[f"{name}: predicted"] = slice_image(self.prediction[k], (0.0, 1.0))
        return found
