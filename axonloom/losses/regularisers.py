"""Terms that say how several predictions of one voxel go together, whatever its label is.

The combinations and their names are those of PyTorch Connectomics (``REGU_OPT``; Lin et al. 2021, "NucMM", for the ones with
distances). Each takes logits (n, channels, z, y, x), perhaps a weight of the shape of the first, and returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

UNDECIDED = 1e-2  # nearest to one half that a probability counts as, so that the term stays finite
EPSILON = 1e-6  # under a root, whose slope is infinite at 0


def decided(logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of 1 / |p - 1/2|: large where the network has not made up its mind."""
    return _mean(1 / (torch.sigmoid(logits) - 0.5).abs().clamp(min=UNDECIDED), weight)


def foreground_with_distance(foreground: Tensor, distance: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross entropy of the foreground against the sign of a signed distance (tanh), counted as the distance is long."""
    signed = torch.tanh(distance)
    inside, outside = signed.clamp(min=0), (-signed).clamp(min=0)
    return _mean(-(functional.logsigmoid(foreground) * inside + functional.logsigmoid(-foreground) * outside), weight)


def contour_with_distance(contour: Tensor, distance: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of (contour x |signed distance|)^2: contours lie where the distance is 0."""
    return _mean((torch.sigmoid(contour) * torch.tanh(distance).abs()) ** 2, weight)


def foreground_with_contour(
    foreground: Tensor, contour: Tensor, weight: Tensor | None = None, *, thickness: int = 1
) -> Tensor:
    """Mean squared difference between the contour and the slope of the foreground inside sections, widened by ``thickness``."""
    smooth, slope = foreground.new_tensor([1.0, 2.0, 1.0]), foreground.new_tensor([-1.0, 0.0, 1.0])
    sobel = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None, None]
    pad = functional.pad(torch.sigmoid(foreground).flatten(0, 1)[:, None], (1, 1, 1, 1, 0, 0), mode="replicate")
    across = functional.conv3d(pad, sobel)
    steep = (across.square().sum(1, keepdim=True) + EPSILON).sqrt().clamp(max=1)
    width = 2 * thickness + 1
    wide = functional.max_pool3d(steep, (1, width, width), stride=1, padding=(0, thickness, thickness))
    return _mean((wide.reshape(foreground.shape) - torch.sigmoid(contour)) ** 2, weight)


def apart(logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of p0 p1 p2 over three channels that are two kinds of object and their union: the kinds do not overlap.

    The union is taken as it is: this term does not train it.
    """
    first, second, union = torch.sigmoid(logits).unbind(1)
    return _mean(first * second * union.detach(), None if weight is None else weight[:, 0])


def _mean(each: Tensor, weight: Tensor | None) -> Tensor:
    return (each if weight is None else each * weight).mean()


#: Name -> how many targets it takes, and the function of their logits.
REGULARISERS: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "decided": (1, decided),
    "foreground_with_distance": (2, foreground_with_distance),
    "contour_with_distance": (2, contour_with_distance),
    "foreground_with_contour": (2, foreground_with_contour),
    "apart": (1, apart),
}
