"""A network that no preset describes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from axonloom.networks.layers import NetworkError
from axonloom.training.errors import TrainingError
from axonloom.training.loop import train
from tests.training.run_training import settings, volumes

NETWORK = {"architecture": "fpn_3d", "parameters": {"filters": [8, 8, 8, 8, 8], "norm": "gn", "blocks": [1, 1, 1, 1]}}


def test_it_is_trained_and_proposes_its_window(tmp_path):
    given = settings(network=NETWORK, patch=(12, 12, 12), window=(16, 24, 24), iterations=2)
    found = train(given, volumes(), tmp_path / "a").checkpoint
    assert found.description.architecture == "fpn_3d"
    assert found.description.parameters["filters"] == [8, 8, 8, 8, 8]
    assert (found.description.patch, found.description.window) == ((12, 12, 12), (16, 24, 24))
    again = given.model_copy(update={"start_from": str(found.folder)})
    assert train(again, volumes(), tmp_path / "b").checkpoint.iteration == 2
    with pytest.raises(TrainingError, match="another network than preset 'tiny'"):
        train(settings(start_from=str(found.folder)), volumes(), tmp_path / "c")


def test_what_is_missing_or_unknown_is_said(tmp_path):
    with pytest.raises(ValidationError, match=r"train\.network needs train\.patch"):
        settings(network=NETWORK)
    with pytest.raises(NetworkError, match="fpn_3d"):
        train(settings(network={"architecture": "fpn3d"}, patch=(12, 12, 12)), volumes(), tmp_path)
