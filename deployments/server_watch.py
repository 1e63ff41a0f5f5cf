"""Riding out a Prefect server that goes away in the middle of a run.

Blocks need no server, so work goes on while it is away. What does need it (the start and the end of a flow run) waits here until
it answers again. A server that stays away longer than a run's patience ends the run, which another one finishes.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import certifi
import httpx
from prefect.context import SyncClientContext
from prefect.settings import (
    PREFECT_API_ENABLE_HTTP2,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
)

from axonloom.runner import StoppedError
from tasks.server_presence import answers, is_dispensable
from tasks.stopping import stop_requested

logger = logging.getLogger("axonloom.server")

#: Environment variable: seconds that a run waits for a server that is away.
PATIENCE = "AXONLOOM_SERVER_PATIENCE"
DEFAULT_PATIENCE = 300.0
#: Seconds between two looks, and between two tries of a request.
INTERVAL = 2.0
#: Seconds that a request is sent again for in a run that was asked to stop.
PATIENCE_WHEN_STOPPING = 10.0


class ServerLostError(StoppedError):
    """The Prefect server has been away for longer than this run waits."""


def patience() -> float:
    """Seconds that a run waits for a server that is away."""
    return float(os.environ.get(PATIENCE, DEFAULT_PATIENCE))


class ServerWatch:
    """Looks at a server for the time of a ``with`` block, and says when it goes away and when it is back.

    Parameters
    ----------
    url : of the API
    revive : brings a server back that this machine runs itself; None for one that others look after
    """

    def __init__(self, url: str, revive: Callable[[], object] | None = None) -> None:
        self.url, self.revive, self.patience = url, revive, patience()
        self._ended = threading.Event()
        self._away_since: float | None = None
        self._lost = False
        self._thread = threading.Thread(target=self._look, daemon=True, name="server watch")

    @property
    def away(self) -> bool:
        """Whether the server did not answer when it was last looked at."""
        return self._lost or self._away_since is not None

    def wait(self) -> None:
        """Return when the server answers.

        Raises
        ------
        ServerLostError
            It has been away for longer than the patience of this run, or the run was asked to stop meanwhile.
        """
        if not self._lost and answers(self.url):
            return
        away_since = self._away_since or time.monotonic()
        while not self._lost:
            if time.monotonic() - away_since > self.patience:
                self._lost = True
                break
            if stop_requested():
                raise ServerLostError(f"stopped while the Prefect server at {self.url} was away; run again to go on")
            time.sleep(INTERVAL / 2)
            if answers(self.url):
                return
        raise ServerLostError(
            f"the Prefect server at {self.url} has not answered for {self.patience:.0f} s: start it and run again, which goes "
            "on with what is not done"
        )

    def pause(self, failing_since: float, request: str) -> None:
        """Return when a request that failed may be sent again: after a moment, when the server answers.

        Parameters
        ----------
        failing_since : when it failed for the first time, by the monotonic clock
        request : what to call it

        Raises
        ------
        ServerLostError
            It has failed for longer than the patience of this run, though the server answers others; or as :meth:`wait`.
        """
        limit = min(self.patience, PATIENCE_WHEN_STOPPING) if stop_requested() else self.patience
        if time.monotonic() - failing_since > limit:
            raise ServerLostError(
                f"the Prefect server at {self.url} answers, but {request} has failed for {limit:.0f} s: look at the server's "
                "log, and run again, which goes on with what is not done"
            )
        time.sleep(INTERVAL)
        self.wait()

    def __enter__(self) -> ServerWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(INTERVAL):
            if answers(self.url):
                if self._away_since is not None:
                    logger.warning(
                        "the Prefect server answers again, after %.0f s", time.monotonic() - self._away_since
                    )
                    self._away_since = None
                continue
            if self._away_since is None:
                self._away_since = time.monotonic()
                logger.warning(
                    "the Prefect server at %s does not answer: blocks go on, and what needs it waits up to %.0f s",
                    self.url, self.patience,
                )  # fmt: skip
            if self.revive is not None and not self._ended.is_set():
                try:
                    self.revive()
                except (RuntimeError, OSError) as error:
                    logger.warning("the Prefect server could not be started again: %s", error)


class PatientTransport(httpx.BaseTransport):
    """Sends what Prefect's client asks for; while the server is away, requests wait for it rather than fail.

    Prefect's own retries would end after a minute, in the middle of a stage, and repeat that minute in each flow that the error
    passes through.
    """

    def __init__(self, inner: httpx.BaseTransport, watch: ServerWatch) -> None:
        self.inner, self.watch = inner, watch

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        failing_since: float | None = None
        while True:
            if self.watch.away and not is_dispensable():
                # A server that hangs would keep this request for a minute.
                self.watch.wait()
            try:
                return self.inner.handle_request(request)
            except httpx.TransportError:
                if is_dispensable():
                    raise
                logger.debug("%s %s failed", request.method, request.url, exc_info=True)
            failing_since = failing_since or time.monotonic()
            # A proxy may turn one request away for ever while the server answers all others.
            self.watch.pause(failing_since, f"{request.method} {request.url.path}")

    def close(self) -> None:
        self.inner.close()


@contextmanager
def riding_out(url: str, revive: Callable[[], object] | None = None) -> Iterator[ServerWatch]:
    """Flow runs that start inside the ``with`` block ride out a server that goes away."""
    with ServerWatch(url, revive) as watch:
        transport = PatientTransport(
            httpx.HTTPTransport(verify=_certificates(), http2=PREFECT_API_ENABLE_HTTP2.value()), watch
        )
        with _PatientClient(transport):
            yield watch


class _PatientClient(SyncClientContext):
    """Prefect takes the client of this context for all that flow runs inside it ask for."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__(httpx_settings={"transport": transport})
        # By its settings a context is told from others; this one is to be found by who asks for no particular ones.
        self._httpx_settings = None


def _certificates() -> ssl.SSLContext:
    """What Prefect's own client would check a server's certificate against."""
    if PREFECT_API_TLS_INSECURE_SKIP_VERIFY.value():
        unchecked = ssl.create_default_context()
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        return unchecked
    return ssl.create_default_context(cafile=PREFECT_API_SSL_CERT_FILE.value() or certifi.where())
