"""The command line in this process: a process of its own for each command takes seconds to import."""

from __future__ import annotations

from dataclasses import dataclass

from typer.testing import CliRunner

from cli.main import app


@dataclass(frozen=True)
class Finished:
    returncode: int
    stdout: str
    stderr: str


def axonloom(*arguments: object) -> Finished:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Finished(result.exit_code, result.stdout, result.stderr)
