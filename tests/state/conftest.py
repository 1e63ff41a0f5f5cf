"""A small project with given affinities, for all tests of a workspace's state."""

from __future__ import annotations

import pytest

from tests.flows.affinity_project import make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))
