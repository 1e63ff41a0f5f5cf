"""Scores of affinities in memory are those that the chain gives of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.evaluation.contingency import EvaluationError
from axonloom.evaluation.decoded import decoded_scores
from axonloom.stages.scores import score_chain
from axonloom.volumes import open_volume
from tests.flows.affinity_project import configuration, make_project

THRESHOLDS = tuple(Decimal(n) / 10 for n in (9, 7, 5, 3, 1))


@pytest.mark.flow
def test_they_equal_those_of_the_stages_in_blocks(prefect_api, tmp_path: Path) -> None:
    from flows.evaluate import evaluate
    from flows.merge import merge
    from flows.segment import segment

    project = make_project(tmp_path / "project")
    config = configuration(project, tmp_path / "work", (32, 32, 64))
    segment(config)
    merge(config)
    evaluate(config)
    expected = score_chain(Chain(config)).at
    affinities = open_volume(str(project / "affinities.zarr")).read()
    for axis in range(3):
        # No edge, so it may be anything.
        np.moveaxis(affinities[axis], axis, 0)[0] = 7
    found = decoded_scores(
        affinities,
        open_volume(str(project / "labels.zarr")).read(),
        THRESHOLDS,
        low=config.segment.low,
        high=config.segment.high,
        absorb=config.segment.absorb,
    )
    assert list(found) == list(THRESHOLDS)
    for threshold, scores in found.items():
        assert scores == expected[threshold], threshold
    assert len({scores.voi for scores in found.values()}) == len(THRESHOLDS)


def test_a_quantile_is_another_score() -> None:
    random = np.random.default_rng(2)
    affinities = random.integers(0, 256, (3, 12, 20, 20), dtype=np.uint8)
    labels = np.kron(np.arange(1, 9).reshape(2, 2, 2), np.ones((6, 10, 10), int))
    mean, quantile = (
        decoded_scores(affinities, labels, [Decimal("0.5")], low=Decimal("0.1"), high=Decimal(1), score=score)
        for score in ("mean", "aff75_his32")
    )
    assert mean[Decimal("0.5")].voi != quantile[Decimal("0.5")].voi


def test_perfect_affinities_score_perfectly_and_nothing_labelled_is_refused() -> None:
    labels = np.kron(np.arange(1, 9).reshape(2, 2, 2), np.ones((6, 10, 10), int))
    affinities = np.zeros((3, *labels.shape), np.uint8)
    affinities[0, 1:] = 255 * (labels[1:] == labels[:-1])
    affinities[1, :, 1:] = 255 * (labels[:, 1:] == labels[:, :-1])
    affinities[2, :, :, 1:] = 255 * (labels[:, :, 1:] == labels[:, :, :-1])
    given = {"low": Decimal("0.05"), "high": Decimal("0.99"), "absorb": 50}
    scores = decoded_scores(affinities, labels, [Decimal("0.5")], **given)[Decimal("0.5")]
    assert (scores.voi, scores.adapted_rand_error, scores.segments) == (0, 0, 8)
    with pytest.raises(EvaluationError, match="no object"):
        decoded_scores(affinities, np.zeros_like(labels), [Decimal("0.5")], **given)
