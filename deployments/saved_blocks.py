"""Prefect Blocks that a server has from the start, to be changed in the browser."""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from axonloom.config.compute import ComputeSettings
from blocks.compute import Compute

#: Name -> settings of the saved Compute blocks.
COMPUTE = {
    "local": ComputeSettings(on="local"),
    "dask": ComputeSettings(on="dask"),
    "slurm": ComputeSettings(on="slurm"),
}


def ensure_blocks(client: SyncPrefectClient) -> dict[str, str]:
    """Register the block type and save those that are missing; one that is there is never overwritten."""
    Compute.register_type_and_schema(client=client)
    return {f"block {name}": _ensure(client, name, settings) for name, settings in COMPUTE.items()}


def _ensure(client: SyncPrefectClient, name: str, settings: ComputeSettings) -> str:
    if _is_there(client, name):
        return "kept"
    try:
        Compute(settings=settings).save(name, client=client)
    except ValueError:
        # A busy server made it, answered too late, and was asked again; or another `deploy` was first.
        if not _is_there(client, name):
            raise
    return "made"


def _is_there(client: SyncPrefectClient, name: str) -> bool:
    try:
        client.read_block_document_by_name(name, Compute.get_block_type_slug())
    except ObjectNotFound:
        return False
    return True
