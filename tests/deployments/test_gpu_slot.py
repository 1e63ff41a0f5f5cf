"""GPU slots hold over threads and processes; nothing that needs none waits for one."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

pytestmark = pytest.mark.flow

NAME = "axonloom-gpu-of-the-test"


@pytest.fixture
def limit(prefect_api, monkeypatch):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=NAME, limit=1))
        yield NAME
        client.delete_global_concurrency_limit_by_name(NAME)


def test_one_slot_is_held_by_one_at_a_time(limit, prefect_api):
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from tasks.gpu_slot import gpu_slot

    held: list[tuple[float, float]] = []

    def work() -> None:
        with temporary_settings({PREFECT_API_URL: prefect_api}), gpu_slot("cuda", limit):
            begin = time.monotonic()
            time.sleep(0.3)
            held.append((begin, time.monotonic()))

    refresh_global_settings_context()
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    held.sort()
    assert len(held) == 3
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(held))


def test_who_waits_for_a_slot_stops_when_asked(limit, monkeypatch):
    from axonloom.runner import StoppedError
    from tasks import gpu_slot as module
    from tasks.stopping import clear_stop, request_stop

    monkeypatch.setattr(module, "PATIENCE", 1.0)
    with module.gpu_slot("cuda", limit):
        request_stop()
        try:
            with pytest.raises(StoppedError, match="waiting for a GPU"), module.gpu_slot("cuda", limit):
                pass
        finally:
            clear_stop()


@pytest.mark.parametrize("why", ["a CPU", "a Slurm job", "no such limit"])
def test_what_needs_no_slot_does_not_wait(limit, monkeypatch, why):
    from tasks.gpu_slot import gpu_slot

    with gpu_slot("cuda", limit):
        if why == "a Slurm job":
            monkeypatch.setenv("SLURM_JOB_ID", "17")
        begin = time.monotonic()
        with gpu_slot("cpu" if why == "a CPU" else "cuda", "nothing-of-this-name" if why == "no such limit" else limit):
            assert time.monotonic() - begin < 5
