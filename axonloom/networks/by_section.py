"""Networks of single sections, used on volumes."""

from __future__ import annotations

from torch import Tensor, nn

from axonloom.networks.layers import NetworkError


class BySection(nn.Module):
    """A network of (n, channels, y, x) that also takes (n, channels, z, y, x): there it sees one section after another.

    The sections of a patch are as many samples of a batch: what normalisation takes over a batch it takes over them too. Put
    before the class whose ``forward`` takes sections; its layers, and with them the state-dict keys, stay those of a 2-D network.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            return super().forward(x)
        if x.dim() != 5:
            raise NetworkError(f"a network of sections takes (n, c, z, y, x) or (n, c, y, x), not {tuple(x.shape)}")
        sections = x.transpose(1, 2)
        found = super().forward(sections.flatten(0, 1))
        return found.unflatten(0, sections.shape[:2]).transpose(1, 2)
