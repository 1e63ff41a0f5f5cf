"""Artifacts on their way to a server that may be away: what only shows work is never worth the work."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL

from tasks.server_presence import answers, may_be_lost


class _Absence:
    """Whether this process has said that artifacts do not arrive: once, until they do again."""

    told = False


def send(create: Callable[..., Any], *arguments: Any, **named: Any) -> Any | None:
    """Call one of Prefect's artifact functions; returns the artifact's id, None when the server did not take it.

    A server that is away costs one warning, and never the work that is shown.
    """
    url = PREFECT_API_URL.value()
    try:
        if url and not answers(url):
            raise httpx.ConnectError(f"nobody answers at {url}")
        with may_be_lost():
            taken = create(*arguments, **named)
    except (httpx.HTTPError, PrefectException) as error:
        if not _Absence.told:
            _Absence.told = True
            get_run_logger().warning(
                "artifacts are not up to date, because the Prefect server did not take them (%s)", error
            )
        return None
    _Absence.told = False
    return taken


class LiveArtifact:
    """An artifact that follows the work: created once a run and then replaced in place.

    A new one at each look would leave hundreds of versions an hour in the server's database, pictures included.
    """

    def __init__(self, key: str, description: str | None = None) -> None:
        self.key = key
        self.description = description
        self._id: UUID | None = None

    def show(self, content: str | float | Sequence[Mapping[str, Any]]) -> None:
        """Markdown (text), progress in percent (a number) or a table (rows)."""
        # Where the server has lost it, the next look makes another.
        self._id = send(self._create if self._id is None else self._replace, content)

    def _create(self, content: Any) -> Any:
        if isinstance(content, str):
            return create_markdown_artifact(content, key=self.key, description=self.description)
        if isinstance(content, float | int):
            return create_progress_artifact(float(content), key=self.key, description=self.description)
        return create_table_artifact([dict(row) for row in content], key=self.key, description=self.description)

    def _replace(self, content: Any) -> UUID | None:
        data = content if isinstance(content, str | float | int) else json.dumps([dict(row) for row in content])
        assert self._id is not None
        with get_client(sync_client=True) as client:
            client.update_artifact(self._id, ArtifactUpdate(data=data))
        return self._id
