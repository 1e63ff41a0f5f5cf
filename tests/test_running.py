"""How far running blocks are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor
from axonloom.running import OLDEST, RunningBlocks
from tests.inference.arrays import ArrayVolume, noise


def test_shares_of_running_blocks_add_up(tmp_path: Path) -> None:
    ours, others = RunningBlocks(tmp_path / "running"), RunningBlocks(tmp_path / "running")
    assert ours.share(()) == 0
    assert not (tmp_path / "running").exists()
    ours.note(3, 0.25)
    others.note(12, 0.5)
    assert ours.share(()) == 0.75
    assert ours.share({12}) == 0.25
    ours.note(3, 0.9)  # too soon to cost anything
    assert others.share(()) == 0.75
    others.forget(3)  # of somebody else
    assert others.share(()) == 0.75
    ours.forget(3)
    assert others.share(()) == 0.5


def test_what_the_dead_left_and_what_is_half_written_does_not_count(tmp_path: Path) -> None:
    running = RunningBlocks(tmp_path)
    running.note(1, 0.5)
    (tmp_path / "2").write_text("")
    (tmp_path / "x").write_text("0.5")
    assert running.share(()) == 0.5
    long_ago = time.time() - 2 * OLDEST
    os.utime(tmp_path / "1", (long_ago, long_ago))
    assert running.share(()) == 0


def test_where_nothing_can_be_written_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    running = RunningBlocks(tmp_path / "file")
    running.note(1, 0.5)
    assert running.share(()) == 0
    running.forget(1)


def test_a_block_of_inference_says_how_far_it_is() -> None:
    image = ArrayVolume(noise((8, 16, 48)))
    seen: list[float] = []
    lattice = WindowLattice(image.shape, (8, 16, 16), (8, 16, 16))
    predict_block(image, image.box, lattice, Predictor(lambda x: x), on_progress=seen.append)
    np.testing.assert_allclose(seen, [1 / 3, 2 / 3, 1])
