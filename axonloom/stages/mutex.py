"""Affinities of nearest neighbours and long range to the segmentation of each block by mutex watershed."""

from __future__ import annotations

from typing import Any

import numpy as np

from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.config.segment import SegmentSettings
from axonloom.geometry import Zyx
from axonloom.stages.label import LabelStage, released


class MutexStage(LabelStage):
    name = "mutex"
    voxels_per_second = 3.5e5
    bytes_read, bytes_written, memory = 6.0, 1.0, 300.0

    @classmethod
    def parameters(cls, settings: SegmentSettings) -> dict[str, Any]:
        return {"low": threshold_to_uint8(settings.low), "made_by": released("bioimage-cpp", cls.name)}

    @classmethod
    def halo(cls, settings: SegmentSettings) -> Zyx:
        return settings.mutex.halo

    def labels(self, affinities: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        from axonloom.segmentation.mutex import mutex_watershed

        offsets = [(z, y, x) for z, y, x in self.plan.inputs["affinities"]["settings"]["offsets"]]
        return mutex_watershed(affinities, offsets, self.plan.parameters["low"], mask)
