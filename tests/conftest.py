"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real images and the outputs of peers; the tests that need them skip where they are not."""
    folder = Path(os.environ.get("AXONLOOM_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set AXONLOOM_SHARED to the folder that holds data/ and oracle/")
    return folder
