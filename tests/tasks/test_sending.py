"""Artifacts that follow the work: one version a run, the newest content in it."""

from __future__ import annotations

import json
from typing import Any

import pytest


def versions(key: str) -> list[dict[str, Any]]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.request("POST", "/artifacts/filter", json={"artifacts": {"key": {"any_": [key]}}}).json()


@pytest.mark.parametrize(
    ("what", "contents", "stored"),
    [
        ("text", ["# one", "# two", "# three"], "# three"),
        ("progress", [0.0, 50, 100.0], 100.0),
        ("table", [[{"a": 1}], [{"a": 2}], [{"a": 3}, {"a": None}]], json.dumps([{"a": 3}, {"a": None}])),
    ],
)
def test_many_looks_leave_one_version_a_run(prefect_api, what, contents, stored):
    from prefect import flow

    from tasks.sending import LiveArtifact

    @flow
    def work() -> None:
        live = LiveArtifact(f"live-{what}", "how far it is")
        for content in contents:
            live.show(content)

    work()
    (only,) = versions(f"live-{what}")
    assert only["data"] == stored
    work()
    assert len(versions(f"live-{what}")) == 2
