"""Iterations a second and time left, with the time of scoring told apart."""

from __future__ import annotations

import pytest

from cli.training_progress import Pace


def test_scoring_is_not_training() -> None:
    pace = Pace()
    assert (pace.rate, pace.scoring_share) == (0, 0)
    pace.see(10, 0.0, 100.0)
    pace.see(30, 0.0, 110.0)
    assert (pace.rate, pace.scoring_share) == (2, 0)
    for now in (111.0, 125.0):  # no new line while it is scored
        pace.see(30, 0.0, now)
        assert pace.rate == 2
    pace.see(31, 20.0, 130.5)
    assert pace.rate == 2
    assert pace.scoring_share == pytest.approx(20 / 30.5)
    # A new stretch counts its own scoring from 0.
    pace.see(51, 0.0, 140.5)
    pace.see(52, 4.0, 145.0)
    assert pace.rate == pytest.approx(42 / 21)
    assert pace.seconds_left(94) == pytest.approx(45)


def test_a_training_that_begins_anew_is_timed_anew() -> None:
    pace = Pace()
    pace.see(50, 3.0, 10.0)
    pace.see(60, 3.0, 15.0)
    pace.see(20, 0.0, 40.0)
    pace.see(30, 0.0, 41.0)
    assert pace.rate == pytest.approx(10)
    assert pace.scoring_share == 0
