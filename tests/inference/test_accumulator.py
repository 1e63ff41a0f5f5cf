"""Sums of windows: where they lie, and what they say of values that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axonloom.inference.accumulator import Accumulator, NotFiniteError

WEIGHTS = np.full((2, 2, 2), 0.25, np.float32)
AT = (slice(0, 2),) * 3


def test_they_lie_on_the_host_where_a_device_has_no_room(monkeypatch):
    plain, asked = torch.zeros, []

    def no_room_at_first(*args, **kwargs):
        asked.append(kwargs["device"])
        if len(asked) == 1:
            raise torch.OutOfMemoryError("full")
        return plain(*args, **kwargs)

    monkeypatch.setattr(torch, "zeros", no_room_at_first)
    sums = Accumulator((2, 2, 2), 1, WEIGHTS, torch.device("cpu", 0))
    sums.add(torch.full((1, 2, 2, 2), 0.5), AT, AT)
    assert asked == [torch.device("cpu", 0), torch.device("cpu"), torch.device("cpu")]
    assert sums.as_uint8().tolist() == np.full((1, 2, 2, 2), 128).tolist()
    sums = Accumulator((2, 2, 2), 1, WEIGHTS, torch.device("cpu"))
    sums.add(torch.full((1, 2, 2, 2), 0.5), AT, AT)
    assert sums.as_uint8(round_down=True).tolist() == np.full((1, 2, 2, 2), 127).tolist()


def test_they_go_to_the_host_where_a_device_has_no_room_any_more(monkeypatch):
    sums = Accumulator((2, 2, 2), 1, WEIGHTS, torch.device("cpu"))
    values = torch.full((1, 2, 2, 2), 0.5)
    sums.add(values, AT, AT)
    plain, asked = torch.Tensor.__mul__, []

    def no_room_once(self, other):
        asked.append(1)
        if len(asked) == 1:
            raise torch.OutOfMemoryError("full")
        return plain(self, other)

    monkeypatch.setattr(torch.Tensor, "__mul__", no_room_once)
    sums.add(values + 0.25, AT, AT)
    assert len(asked) == 2
    to, refused = torch.Tensor.to, []

    def no_room_for_bytes(self, *args, **kwargs):
        if args == (torch.uint8,) and not refused:
            refused.append(1)
            raise torch.OutOfMemoryError("full")
        return to(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", no_room_for_bytes)
    assert sums.as_uint8().tolist() == np.full((1, 2, 2, 2), 159).tolist()
    assert refused


def test_the_first_channel_with_values_that_are_no_numbers_is_named():
    sums = Accumulator((2, 2, 2), 3, WEIGHTS, torch.device("cpu"))
    values = torch.ones((3, 2, 2, 2))
    values[1, 0, 1, 1] = float("nan")
    sums.add(values, AT, AT)
    sums.add(None, AT, AT)
    with pytest.raises(NotFiniteError, match="channel 1"):
        sums.as_uint8()
