"""What an inbox holds, as an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect.artifacts import create_table_artifact

from axonloom.config.inbox import InboxSettings
from axonloom.inbox import Arrival
from axonloom.workspace import workspace_id


def show_inbox(settings: InboxSettings, arrivals: Sequence[Arrival], outcome: Mapping[str, str]) -> None:
    """A row a volume: its state, and where its workspace lies."""
    create_table_artifact(
        [{"volume": a.name, "state": outcome[a.name], "workspace": str(a.workspace)} for a in arrivals],
        key=f"axonloom-{workspace_id(settings.results)[:8]}-inbox",
        description=f"Volumes in {settings.folder}",
    )
