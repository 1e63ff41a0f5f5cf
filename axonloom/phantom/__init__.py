"""Synthetic neuropil with exact ground truth, any size, seeded, block by block."""

from axonloom.phantom.neuropil import Phantom, fill

__all__ = ["Phantom", "fill"]
