"""New volumes in a folder, each reconstructed once: a job for a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from axonloom.bad_input import BadInputError
from axonloom.config.inbox import InboxSettings
from axonloom.inbox import Arrival, configuration_for, look, record_done, record_failure, taking
from axonloom.lease import LeaseHeldError
from flows.reconstruct import reconstruct
from tasks.inbox import show_inbox
from tasks.job import working_in
from tasks.run_stage import StageFailedError


class InboxFailedError(Exception):
    """Some volumes of the inbox could not be reconstructed; the others were."""


@flow(name="inbox", flow_run_name="inbox {configuration.folder.name}")
def inbox(configuration: InboxSettings) -> dict[str, Any]:
    """Reconstruct what is new and whole in the inbox, one volume after another, each in a workspace of its own.

    What is still being copied waits for a later run; what is done is left alone; what another run works on is left to it.
    """
    settings = configuration.located(Path.cwd())
    settings.results.mkdir(parents=True, exist_ok=True)
    with working_in(settings.results, "inbox"):
        arrivals = look(settings)
        outcome = {a.name: a.state if not a.note else f"{a.state}: {a.note}" for a in arrivals}
        failures: dict[str, str] = {}
        show_inbox(settings, arrivals, outcome)
        for arrival in arrivals:
            if arrival.state != "ready":
                continue
            try:
                outcome[arrival.name] = _reconstruct(arrival, settings)
            except (StageFailedError, BadInputError) as error:
                tries = record_failure(arrival, str(error))
                failures[arrival.name] = str(error)
                outcome[arrival.name] = f"failed (try {tries} of {settings.tries}): {error}"
            show_inbox(settings, arrivals, outcome)
    if failures:
        listed = "; ".join(f"{name}: {message}" for name, message in failures.items())
        raise InboxFailedError(f"{len(failures)} of {len(arrivals)} volumes failed: {listed}")
    return outcome


def _reconstruct(arrival: Arrival, settings: InboxSettings) -> str:
    logger = get_run_logger()
    try:
        with taking(arrival) as mine:
            if not mine:
                return "done"
            logger.info("%s: reconstructing in %s", arrival.name, arrival.workspace)
            results = reconstruct(configuration_for(arrival, settings))
            record_done(arrival, results)
            return "done now"
    except LeaseHeldError:
        return "in work: another run has it"
