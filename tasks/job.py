"""What every job does first, whoever starts it: the command line, a form in the browser, a schedule, a Slurm job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from prefect import tags
from prefect.context import TagsContext

from axonloom.config.compute import ComputeSettings
from axonloom.config.configuration import Configuration
from axonloom.config.load import located
from tasks.log_file import close_log, current_log, open_log

#: On every run of ours, so that they can be found, and so that what watches over them leaves other people's runs alone.
TAG = "axonloom"

Job = Callable[[Configuration], dict[str, Any]]


def as_job(function: Job) -> Job:
    """Give a flow's function what :func:`working_in` gives, and paths that hold wherever its workers run.

    Relative paths in a configuration that was typed into a form start at the folder in which the process runs: the working
    directory of the deployment. The command line has made them absolute before.
    """

    @wraps(function)
    def run(configuration: Configuration) -> dict[str, Any]:
        configuration = _untouched_is_unset(located(configuration, Path.cwd()))
        with working_in(configuration.workspace, function.__name__):
            return function(configuration)

    return run


def _untouched_is_unset(configuration: Configuration) -> Configuration:
    """A form in the browser sends every field, also those that nobody touched.

    In ``compute`` it matters what was given: that goes before the saved settings which ``compute.block`` names. Where every field
    was sent, those at their default count as not given.
    """
    compute = configuration.compute
    if compute.model_fields_set != set(type(compute).model_fields):
        return configuration
    given = compute.model_dump(mode="json", exclude_defaults=True)
    return configuration.model_copy(update={"compute": ComputeSettings.model_validate(given)})


@contextmanager
def working_in(workspace: Path, job: str) -> Iterator[None]:
    """Write a log file into ``workspace``, and mark the runs inside with :data:`TAG`."""
    begun = current_log(workspace) is None
    log = open_log(workspace, job)
    try:
        with tags(TAG):
            yield
    finally:
        # A job inside another one leaves the log to it.
        if begun:
            close_log(log)


@contextmanager
def untagged() -> Iterator[None]:
    """Task runs inside the ``with`` block carry no tags.

    Before a task run begins, Prefect asks the server for a slot for each of its tags: a request a batch, and blocks that
    cannot begin while the server is away.
    """
    with TagsContext(current_tags=set()):
        yield
