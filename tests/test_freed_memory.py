"""Freed memory that stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A block's arrays, again and again, freed together each time: page faults of the last rounds, when all has been there once; and
# how much was held between the end of one user and that of the other.
ROUNDS = """
import resource, sys, time
from contextlib import nullcontext
import numpy as np
import psutil
from axonloom.freed_memory import MOMENT, freed_memory_kept
kept = freed_memory_kept if sys.argv[1] == "keep" else nullcontext
def block():
    arrays = [np.empty(3 << 20, np.uint8) for _ in range(40)]
    for array in arrays:
        array[::4096] = 1
held = []
with kept():
    with kept():
        for _ in range(4):
            block()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            block()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    held.append(psutil.Process().memory_info().rss)
time.sleep(4 * MOMENT)
held.append(psutil.Process().memory_info().rss)
print(faults, held[0] - held[1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_the_next_block_finds_its_memory_there():
    faults, given_back = {}, {}
    for way in ("keep", "give"):
        done = subprocess.run([sys.executable, "-c", ROUNDS, way], capture_output=True, text=True, check=True)
        faults[way], given_back[way] = map(int, done.stdout.split())
    assert faults["keep"] < faults["give"] / 10
    # A moment after the last has left it is given back: a worker that waits holds nothing.
    assert given_back["keep"] > 100 << 20
