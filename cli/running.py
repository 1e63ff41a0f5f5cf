"""Running a flow for someone at a terminal: server, progress, log file, and one sentence at the end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console

from axonloom.bad_input import BadInputError
from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.lease import LeaseHeldError
from axonloom.runner import LeaseLostError, StoppedError
from axonloom.transient import is_full_disk
from cli import exit_codes
from cli.failed_blocks import described

console = Console(highlight=False, soft_wrap=True)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)


#: The configuration of a project folder.
DEFAULT = Path("axonloom.yaml")


def configuration_of(path: Path | None, overrides: list[str]) -> Configuration:
    """The checked configuration, by default that of the current folder; bad input ends the program with its sentence."""
    with sentences():
        if path is None and DEFAULT.exists():
            path = DEFAULT
        elif path is None and not overrides:
            raise ConfigurationError(
                f"no configuration: name a YAML file, or go to a folder that holds {DEFAULT} (`axonloom init DIR` writes one)"
            )
        return load_configuration(path, overrides)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn errors that a user can mend into one sentence and an exit code; a traceback stays for a bug."""
    try:
        yield
    except BadInputError as error:
        complaints.print(f"[red]error:[/red] {_escaped(error)}")
        raise typer.Exit(exit_codes.BAD_INPUT) from None


def run_flow(
    job: str,
    flow: Callable[[Configuration], Any],
    configuration: Configuration,
    stages: Callable[[Chain], Any],
    say: Console = console,
) -> Any:
    """Run a flow to its end and return what it returned; other endings leave the program with their exit code.

    ``stages`` gives the plans that the job goes through, for the progress bars; it is called first, so that bad input is
    found before a server is started. ``say`` is where progress goes.
    """
    with sentences():
        plans = list(stages(Chain(configuration)))
    # Only here: Prefect takes seconds to import, and bad input should not.
    import httpx
    from prefect.exceptions import TerminationSignal

    from cli.progress import stage_progress
    from cli.training_progress import training_progress
    from deployments.server import ServerError, prefect_server, ui_url
    from deployments.server_watch import ServerLostError
    from tasks.log_file import open_log
    from tasks.run_stage import StageFailedError
    from tasks.stopping import clear_stop

    with sentences():
        log = open_log(configuration.workspace, job)
    _quiet_terminal()
    clear_stop()
    begin = time.monotonic()
    try:
        with sentences(), prefect_server() as url, _graceful_interrupt():
            say.print(f"{job}: watch it at {ui_url(url)} (log: {log})")
            iterations, losses = configuration.train.iterations, configuration.workspace / "checkpoints" / "loss.jsonl"
            with training_progress(losses, iterations, say) if job == "train" else stage_progress(plans, say):
                result = flow(configuration)
    except StageFailedError as error:
        for text in described(error.tracebacks):
            complaints.print(_escaped(text))
        complaints.print(
            f"[red]some blocks failed:[/red] {_escaped(error.summary)}; run again to try just those (log: {log})"
        )
        raise typer.Exit(exit_codes.SOME_BLOCKS_FAILED) from None
    except ServerError as error:
        complaints.print(f"[red]error:[/red] {_escaped(error)}")
        raise typer.Exit(exit_codes.RESUMABLE) from None
    except ServerLostError as error:
        complaints.print(f"[yellow]stopped:[/yellow] {_escaped(error)}")
        _leave_at_once(exit_codes.RESUMABLE)
    except (StoppedError, LeaseLostError, LeaseHeldError) as error:
        complaints.print(f"[yellow]stopped:[/yellow] {_escaped(error)}")
        raise typer.Exit(exit_codes.RESUMABLE) from None
    except (KeyboardInterrupt, TerminationSignal):
        complaints.print(f"[yellow]stopped:[/yellow] {job} was interrupted; run the same command again to go on")
        raise typer.Exit(exit_codes.RESUMABLE) from None
    except httpx.HTTPError as error:
        complaints.print(
            f"[yellow]stopped:[/yellow] the Prefect server does not answer any more ({_escaped(error)}); run again to go on"
        )
        raise typer.Exit(exit_codes.RESUMABLE) from None
    except OSError as error:
        if not is_full_disk(error):
            raise
        complaints.print(f"[yellow]stopped:[/yellow] the disk is full ({error}); make room and run again to go on")
        raise typer.Exit(exit_codes.RESUMABLE) from None
    say.print(f"{job}: done in {time.monotonic() - begin:.0f} s")
    return result


def _leave_at_once(code: int) -> NoReturn:
    """End the process although Prefect still has events to send: to a server that is away, each would take seconds."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


@contextmanager
def _graceful_interrupt() -> Iterator[None]:
    """The first Ctrl+C lets the blocks that are running finish; a second one does not wait for them."""
    from tasks.stopping import request_stop, stop_requested

    def stop(number: int, frame: Any) -> None:
        if stop_requested():
            raise KeyboardInterrupt
        request_stop()
        complaints.print("stopping after the blocks that are running (Ctrl+C again: at once)")

    # While a flow runs, SIGTERM is Prefect's, which ends the flow in order and then hands it on to this.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quiet_terminal() -> None:
    """The terminal keeps warnings and the progress bars; the log file has everything."""
    for name in (None, "prefect", "prefect.flow_runs", "prefect.task_runs", "prefect._internal"):
        for shown in logging.getLogger(name).handlers:
            if isinstance(shown, logging.StreamHandler) and not isinstance(shown, logging.FileHandler):
                shown.addFilter(_for_the_terminal)
    # A log that cannot be written or sent (a full disk, a server that is away) would fill the terminal with tracebacks.
    logging.raiseExceptions = False
    # The same in the workers of a Dask cluster on this machine.
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")


def _for_the_terminal(record: logging.LogRecord) -> bool:
    """Warnings of flows and tasks. Errors end the job, which says what they mean in its own words; the log has them whole."""
    return record.levelno == logging.WARNING and record.name.startswith(
        ("prefect.flow_runs", "prefect.task_runs", "axonloom")
    )


def _escaped(error: object) -> str:
    return str(error).replace("[", "\\[")


def require_terminal_encoding() -> None:
    """Write what the terminal cannot show as question marks rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
