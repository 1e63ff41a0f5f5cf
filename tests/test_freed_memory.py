"""Freed memory that stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A block's arrays, again and again, freed together each time: page faults of the last rounds, when all has been there once.
ROUNDS = """
import resource, sys
import numpy as np
import psutil
from axonloom.freed_memory import give_back_freed_memory, keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def block():
    arrays = [np.empty(3 << 20, np.uint8) for _ in range(40)]
    for array in arrays:
        array[::4096] = 1
for _ in range(4):
    block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    block()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = psutil.Process().memory_info().rss
give_back_freed_memory()
print(faults, kept - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_the_next_block_finds_its_memory_there():
    faults, given_back = {}, {}
    for way in ("keep", "give"):
        done = subprocess.run([sys.executable, "-c", ROUNDS, way], capture_output=True, text=True, check=True)
        faults[way], given_back[way] = map(int, done.stdout.split())
    assert faults["keep"] < faults["give"] / 10
    # A stage that ends leaves nothing to the next.
    assert given_back["keep"] > 100 << 20
