"""Limits that hold over all runs of a server."""

from __future__ import annotations

from contextlib import suppress

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from tasks.gpu_slot import LIMIT


def ensure_limits(client: SyncPrefectClient, gpu_slots: int | None) -> dict[str, str]:
    """Make the limit of GPU slots; ``gpu_slots`` of None keeps the number that the server has. Returns made, updated or kept."""
    try:
        known = client.read_global_concurrency_limit_by_name(LIMIT)
    except ObjectNotFound:
        slots = gpu_slots if gpu_slots is not None else max(1, _gpus_here())
        # Prefect's client asks a busy server twice, which has then made it already.
        with suppress(ObjectAlreadyExists):
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=slots))
        return {f"limit {LIMIT}": f"made: {slots}"}
    if gpu_slots is None or known.limit == gpu_slots:
        return {f"limit {LIMIT}": f"kept: {known.limit}"}
    client.update_global_concurrency_limit(LIMIT, GlobalConcurrencyLimitUpdate(limit=gpu_slots))
    return {f"limit {LIMIT}": f"updated: {gpu_slots}"}


def _gpus_here() -> int:
    # Only here: torch takes seconds to import.
    import torch

    return torch.cuda.device_count()
