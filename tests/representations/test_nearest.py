"""Which channels segmentation reads."""

from __future__ import annotations

import pytest

from axonloom.representations.affinity import Affinity
from axonloom.representations.channels import Channels
from axonloom.representations.nearest import nearest_channels
from axonloom.representations.targets import Targets

LONG = [[0, 0, 1], [0, 9, 0], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Affinity(), (0, 1, 2)),
        (Affinity(offsets=LONG), (3, 2, 0)),
        (Affinity(offsets=LONG[:3]), None),
        (Targets([{"kind": "affinity"}]), (0, 1, 2)),
        (Targets([{"kind": "flow"}, {"kind": "affinity", "parameters": {"offsets": LONG}}]), (5, 4, 2)),
        (Targets([{"kind": "contour"}, {"kind": "affinity"}, {"kind": "affinity"}]), (1, 2, 3)),
        (Targets([{"kind": "foreground"}, {"kind": "contour"}]), None),
        (Channels([{"names": ["z", "y", "x"], "activation": "sigmoid"}]), None),
    ],
)
def test_channels(kind, expected):
    found = nearest_channels(kind)
    assert found == expected
    if found is not None and isinstance(kind, Affinity):
        assert [kind.offsets[c] for c in found] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
