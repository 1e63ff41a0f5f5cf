"""Sentences and tracebacks of failed blocks."""

from __future__ import annotations

import traceback

import pytest

from axonloom.volumes import open_volume
from cli.failed_blocks import described, mendable


def trace_of(function) -> str:
    try:
        function()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("nothing was raised")


def test_what_a_user_can_mend_is_a_sentence(tmp_path):
    trace = trace_of(lambda: open_volume(str(tmp_path / "nothing.zarr")))
    (text,) = described({3: trace})
    assert text.startswith("block 3: ")
    assert "nothing.zarr" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "trace",
    [
        trace_of(lambda: 1 / 0),
        "",
        "the worker was lost",
        "axonloom.nowhere.VolumeError: no",
        "axonloom.volumes.Volume: no",
        "os.system: no",
    ],
)
def test_what_is_a_bug_keeps_its_traceback(trace):
    assert mendable(trace) is None
    assert trace.rstrip() in described({0: trace})[0]
