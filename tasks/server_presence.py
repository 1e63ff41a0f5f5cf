"""Whether the Prefect server answers: blocks need it for nothing, and what only shows them must not wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx

#: Set while something is sent that may as well be lost: nobody waits for a server then.
_MAY_BE_LOST: ContextVar[bool] = ContextVar("may be lost", default=False)


def answers(api_url: str) -> bool:
    """Whether anything answers there within two seconds; what it says does not matter."""
    try:
        # Nothing is said that needs a checked certificate.
        httpx.get(f"{api_url}/health", timeout=2.0, verify=False)
    except httpx.HTTPError:
        return False
    return True


@contextmanager
def may_be_lost() -> Iterator[None]:
    """Requests inside the ``with`` block fail at once where others wait for a server that is away."""
    before = _MAY_BE_LOST.set(True)
    try:
        yield
    finally:
        _MAY_BE_LOST.reset(before)


def is_dispensable() -> bool:
    """Whether the request that is being sent may as well be lost."""
    return _MAY_BE_LOST.get()
