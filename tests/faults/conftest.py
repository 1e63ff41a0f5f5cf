"""What the fault trials share: a small project, its undisturbed segmentation, and Prefect servers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import Trial
from tests.faults.prefect_server import OwnServer
from tests.flows.affinity_project import make_project


@pytest.fixture(scope="session")
def lasting_server(tmp_path_factory) -> Iterator[OwnServer]:
    """A server that no trial disturbs."""
    with OwnServer(tmp_path_factory.mktemp("lasting-server")) as server:
        yield server


@pytest.fixture
def server(tmp_path) -> Iterator[OwnServer]:
    """A server that a trial may disturb."""
    with OwnServer(tmp_path / "server") as own:
        yield own


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def undisturbed(lasting_server, project, tmp_path_factory) -> np.ndarray:
    """The segmentation of a run to which nothing happened."""
    trial = Trial(tmp_path_factory.mktemp("undisturbed"), project, lasting_server.url)
    result = trial.start().end()
    assert result.code == 0, result.output
    voxels = trial.segmentation()
    trial.require_whole(voxels)
    assert len(np.unique(voxels)) > 20
    return voxels


@pytest.fixture
def trial(project, lasting_server, tmp_path) -> Iterator[Callable[..., Trial]]:
    """Makes trials; what they leave behind is killed at the end."""
    made: list[Trial] = []

    def make(**more: Any) -> Trial:
        given = {"folder": tmp_path / f"trial-{len(made)}", "project": project, "api": lasting_server.url, **more}
        made.append(Trial(**given))
        return made[-1]

    yield make
    for one in made:
        one.kill_all()
