"""What work takes, where it is known."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from benchmarks.resources import Measured, cpu_seconds, cpu_seconds_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

#: Burns half a second of CPU time, says so, and waits for its input to close.
BURN = "import time\nwhile time.process_time() < 0.5: pass\nprint('burnt', flush=True)\ninput()"
#: Holds 200 MB for as long.
HOLD = "a = bytearray(b'1') * 200_000_000\nprint('held', flush=True)\ninput()"


def peaks(work: str) -> list[int]:
    """What ``work`` prints, a number a line, in a process of its own: the allocators of one with a past give pages back meanwhile."""
    given = "import numpy as np\nfrom benchmarks.resources import Measured\n" + textwrap.dedent(work)
    done = subprocess.run([sys.executable, "-c", given], check=True, stdout=subprocess.PIPE, text=True)
    return [int(line) for line in done.stdout.split()]


def test_an_array_that_came_and_went_is_the_peak():
    large, small = peaks("""
        for size in (100_000_000, 1_000_000):
            with Measured() as measured:
                np.ones(size, np.uint8)
            print(measured.peak_bytes)
    """)
    assert 95e6 <= large < 130e6
    assert small < 30e6


def test_what_was_held_before_is_no_part_of_it():
    (peak,) = peaks("""
        held = np.ones(100_000_000, np.uint8)
        with Measured() as measured:
            np.ones(50_000_000, np.uint8)
        assert held[0] == 1
        print(measured.peak_bytes)
    """)
    # The kernel counts pages in batches, so it may be some hundred kilobytes off.
    assert 45e6 <= peak < 80e6


def test_sleep_takes_wall_time_and_no_cpu_time():
    with Measured() as measured:
        time.sleep(0.6)
    assert measured.wall_s >= 0.6
    assert measured.cpu_s < 0.3


def test_the_cpu_time_of_children_counts_while_they_live_and_after():
    before = cpu_seconds()
    with (
        Measured() as measured,
        subprocess.Popen(
            [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
    ):
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "burnt\n"
        alive = cpu_seconds() - before
        assert cpu_seconds_of(child.pid) >= 0.4
        child.stdin.close()
        child.wait()
    assert alive >= 0.4
    assert 0.4 <= measured.cpu_s < alive + 0.5
    assert cpu_seconds_of(child.pid) == 0.0


def test_the_memory_of_children_counts_above_what_they_held_before():
    def child() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    with child() as first:
        with Measured() as measured, child() as second:
            time.sleep(1.0)
            assert second.stdin is not None
            second.stdin.close()
        assert first.stdin is not None
        first.stdin.close()
    assert 195e6 <= measured.peak_bytes < 260e6


def test_rates_are_by_voxel():
    measured = Measured()
    measured.cpu_s, measured.wall_s, measured.peak_bytes = 4.0, 2.0, 80_000_000
    rates = measured.rates(8_000_000)
    assert rates["mvox_per_cpu_s"] == 2.0
    assert rates["mvox_per_s"] == 4.0
    assert rates["peak_bytes_per_voxel"] == 10.0
