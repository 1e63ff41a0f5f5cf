"""Jobs that must not outlive this process, whatever ends it."""

from __future__ import annotations

import logging
import subprocess
import sys

from blocks import reaper, slurm

logger = logging.getLogger("axonloom.compute")


class KeptJobs:
    """Ids of jobs, told to a process that outlives this one and cancels what is left of them then."""

    def __init__(self) -> None:
        self.jobs: dict[str, None] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(reaper.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl+C in the terminal is not for it.
            start_new_session=True,
        )

    def add(self, job: str) -> None:
        self.jobs[job] = None
        self._tell(job)

    def remove(self, job: str) -> None:
        self.jobs.pop(job, None)
        self._tell(f"-{job}")

    def close(self) -> None:
        """Let it cancel what is left, and end."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                logger.warning("the process that cancels jobs left behind was gone before its time")
        self._process.wait(timeout=slurm.PATIENCE)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            logger.warning("the process that cancels jobs left behind is gone; after kill -9 they end by themselves")
