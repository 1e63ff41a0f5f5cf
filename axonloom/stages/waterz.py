"""Affinities to the segmentation of each block by waterz."""

from __future__ import annotations

from typing import Any

import numpy as np

from axonloom.config.segment import SegmentSettings
from axonloom.geometry import Zyx
from axonloom.stages.label import LabelStage, released


class WaterzStage(LabelStage):
    name = "waterz"
    voxels_per_second = 2e5
    bytes_read, bytes_written, memory = 3.0, 1.0, 240.0

    @classmethod
    def parameters(cls, settings: SegmentSettings) -> dict[str, Any]:
        given = settings.waterz
        return {
            "score": given.score,
            "threshold": format(given.threshold.normalize(), "f"),
            "low": format(settings.low.normalize(), "f"),
            "high": format(settings.high.normalize(), "f"),
            "per_section": given.per_section,
            "made_by": released("waterz", cls.name),
        }

    @classmethod
    def halo(cls, settings: SegmentSettings) -> Zyx:
        return settings.waterz.halo

    def labels(self, affinities: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        # Only here: whoever plans a segmentation should not wait for it.
        from axonloom.segmentation.waterz_block import waterz_block

        given = self.plan.parameters
        return waterz_block(
            affinities, given["threshold"], given["score"], given["low"], given["high"], given["per_section"], mask
        )
