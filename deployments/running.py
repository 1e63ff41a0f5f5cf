"""Which Prefect server there is, without starting one."""

from __future__ import annotations

from prefect.settings import PREFECT_API_URL

from deployments.server import SharedServer


def running_api() -> str | None:
    """The API that a job would use now: the configured one, or that of the server that runs on this machine."""
    return PREFECT_API_URL.value() or SharedServer().url()


def staying_api() -> str | None:
    """The same, unless the server ends with the last job that uses it."""
    shared = SharedServer()
    return PREFECT_API_URL.value() or (shared.url() if shared.stays() else None)
