"""New volumes in a folder, each reconstructed once: a job for a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from axonloom.bad_input import BadInputError
from axonloom.config.configuration import Configuration
from axonloom.config.inbox import InboxSettings
from axonloom.config.load import ConfigurationError
from axonloom.inbox import (
    Arrival,
    configuration_for,
    has_changed,
    look,
    record_done,
    record_failure,
    require_usable,
    taking,
)
from axonloom.lease import LeaseHeldError
from axonloom.runner import LeaseLostError, StoppedError
from blocks.compute import resolved
from blocks.slurm_answers import SlurmError
from flows.reconstruct import reconstruct
from tasks.inbox import show_inbox
from tasks.job import working_in
from tasks.run_stage import StageFailedError

#: The template's, or the cluster's: the next volume would fail of it as well.
NO_FAULT_OF_A_VOLUME = (ConfigurationError, SlurmError)


class InboxFailedError(Exception):
    """Some volumes of the inbox could not be reconstructed; the others were."""


@flow(name="inbox", flow_run_name="inbox {configuration.folder.name}")
def inbox(configuration: InboxSettings) -> dict[str, Any]:
    """Reconstruct what is new and whole in the inbox, one volume after another, each in a workspace of its own.

    What is still being copied waits for a later run; what is done is left alone; what another run works on is left to it.

    Raises
    ------
    BadInputError
        The template, what it names (checkpoint, mask, labels) or its compute settings cannot be used: the fault of no volume,
        and no try of any.
    InboxFailedError
        Volumes failed, each of which has one try less.
    """
    settings = configuration.located(Path.cwd())
    settings.results.mkdir(parents=True, exist_ok=True)
    with working_in(settings.results, "inbox"):
        arrivals = look(settings)
        outcome = {a.name: a.state if not a.note else f"{a.state}: {a.note}" for a in arrivals}
        failures: dict[str, str] = {}
        show_inbox(settings, arrivals, outcome)
        ready = [arrival for arrival in arrivals if arrival.state == "ready"]
        if ready:
            _require_template(configuration_for(ready[0], settings))
        for arrival in ready:
            message = None
            try:
                outcome[arrival.name], message = _reconstruct(arrival, settings)
            except LeaseHeldError:
                outcome[arrival.name] = "in work: another run has it"
            if message is not None:
                failures[arrival.name] = message
            show_inbox(settings, arrivals, outcome)
    if failures:
        listed = "; ".join(f"{name}: {message}" for name, message in failures.items())
        raise InboxFailedError(f"{len(failures)} of {len(arrivals)} volumes failed: {listed}")
    return outcome


def _require_template(configuration: Configuration) -> None:
    """Raise what every volume would fail of, before one is tried."""
    require_usable(configuration)
    resolved(configuration.compute)


def _reconstruct(arrival: Arrival, settings: InboxSettings) -> tuple[str, str | None]:
    """What became of a volume, and why it failed."""
    logger = get_run_logger()
    with taking(arrival) as mine:
        if not mine:
            return "done", None
        if has_changed(arrival, settings):
            return "waiting: it changed since it was looked at", None
        logger.info("%s: reconstructing in %s", arrival.name, arrival.workspace)
        configuration = configuration_for(arrival, settings)
        try:
            results = reconstruct(configuration)
        except (StoppedError, LeaseLostError, LeaseHeldError, *NO_FAULT_OF_A_VOLUME):
            raise
        except Exception as error:
            if has_changed(arrival, settings):
                return f"waiting: it changed while it was reconstructed, which failed: {error}", None
            # A checkpoint may have gone meanwhile, or the compute settings that a block held.
            _require_template(configuration)
            if not isinstance(error, StageFailedError | BadInputError):
                logger.exception("%s: failed in a way that nobody foresaw", arrival.name)
            message = str(error) or type(error).__name__
            tries = record_failure(arrival, message)
            return f"failed (try {tries} of {settings.tries}): {message}", message
        if has_changed(arrival, settings):
            return "waiting: it changed while it was reconstructed", None
        record_done(arrival, results)
        return "done now", None
