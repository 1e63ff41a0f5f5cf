"""Volumes on other processes: pickled to spawned ones, inherited by forked ones, written by several at once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from axonloom.geometry import BlockGrid
from axonloom.volumes import Volume, create_volume, open_volume
from tests.volumes.formats import BY_BLOCKS, every_format, uri_of

SHAPE = (7, 30, 45)


def value(box) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(a, b) for a, b in zip(box.origin, box.stop, strict=True)), indexing="ij")
    return (z * 10_000 + y * 100 + x + 1).astype("uint64")


def write_every_other(volume: Volume, first: int) -> int:
    grid = BlockGrid(volume.box, (2, 8, 8))
    for index in range(first, len(grid), 2):
        core = grid.block(index).core
        volume.write(core, value(core))
        volume.sync(core)
    return os.getpid()


@pytest.fixture(scope="module")
def spawned():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", BY_BLOCKS)
def test_two_processes_write_disjoint_chunks(name, spawned, tmp_path):
    uri = uri_of(name, tmp_path)
    volume = create_volume(uri, shape=SHAPE, dtype="uint64", chunk=(2, 8, 8))
    assert volume.writable_by_blocks
    BlockGrid(volume.box, (2, 8, 8)).require_chunks(volume.chunk)
    pids = list(spawned.map(write_every_other, [volume, volume], [0, 1]))
    assert os.getpid() not in pids
    np.testing.assert_array_equal(volume.read(), value(volume.box))


@every_format
def test_pickled_to_another_process(name, spawned, tmp_path):
    volume = create_volume(uri_of(name, tmp_path), shape=SHAPE, dtype="uint64", voxel_size=(3, 2, 1))
    volume.write(volume.box, value(volume.box))
    volume.sync()
    assert len(pickle.dumps(volume)) < 2_000
    again = spawned.submit(np.sum, volume.read()).result()
    assert spawned.submit(total, volume).result() == again == value(volume.box).sum()


def total(volume: Volume) -> int:
    return volume.read().sum()


FORKED = """
import os, sys
import numpy as np
from axonloom.volumes import VolumeError, open_volume

volume = open_volume(sys.argv[1])
volume.read()
child = os.fork()
if child == 0:
    try:
        print("read", volume.read().sum(), flush=True)
        volume.close()
    except VolumeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("read", volume.read().sum())
"""


@every_format
def test_inherited_by_a_fork(name, tmp_path):
    """Files can be read; TensorStore cannot, and says so where it would abort the process."""
    uri = uri_of(name, tmp_path)
    volume = create_volume(uri, shape=SHAPE, dtype="uint64")
    volume.write(volume.box, value(volume.box))
    volume.sync()
    done = subprocess.run([sys.executable, "-c", FORKED, uri], capture_output=True, text=True, check=True, timeout=60)
    child, parent = done.stdout.splitlines()
    expected = f"read {value(volume.box).sum()}"
    assert parent == expected
    if name in ("hdf5", "tiff", "folder"):
        assert child == expected
    else:
        assert "spawn" in child
    np.testing.assert_array_equal(open_volume(uri).read(), value(volume.box))
