"""One way to try every fault: run, disturb at a chosen state of the ledger, run again, and compare with an undisturbed run.

A run is the command line in a process of its own, as users start it. Blocks are slowed down (``pace/``), so that a fault can be
placed between and inside them. What must hold after each fault is in :meth:`Trial.require_whole`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.ledger import LedgerState
from axonloom.stage import StagePlan
from axonloom.verify import verify_stage
from axonloom.volumes import open_volume

PACE = Path(__file__).parent / "pace"
#: Every process of a trial carries this variable in its environment, and is found by it.
TAG = "AXONLOOM_FAULT_TRIAL"
#: Seconds that a block takes longer, by stage: long enough to meet, short enough to wait for.
SECONDS = {"fragment": 0.15, "agglomerate": 0.1, "apply": 0.15, "pyramid": 0.05}
BLOCKS = (32, 32, 32)


@dataclass
class Result:
    """How a run ended: exit code, and what it said."""

    code: int
    output: str


@dataclass
class Trial:
    """A workspace to which things happen.

    Attributes
    ----------
    folder : everything of the trial lies here
    project : the volumes, shared by all trials
    api : URL of a Prefect server; None lets the command line start its own
    layer : folder of the segmentation; None: in the workspace
    log_folder : where the output of runs is kept; None: in ``folder``
    more : further keys of the configuration
    seconds : how much longer a block takes, by stage
    """

    folder: Path
    project: Path
    api: str | None
    layer: Path | None = None
    log_folder: Path | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=lambda: SECONDS)
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def workspace(self) -> Path:
        return self.folder / "work"

    @property
    def config(self) -> Path:
        """The configuration's file, beside the logs: a trial may have filled the disk of its workspace."""
        path = self.logs / f"{self.tag}.yaml"
        if not path.exists():
            segmentation = {"mips": 2}
            if self.layer is not None:
                segmentation["path"] = f"precomputed://{self.layer}"
            content = {
                "workspace": str(self.workspace),
                "volumes": {
                    "affinities": {"path": str(self.project / "affinities.zarr")},
                    "labels": {"path": str(self.project / "labels.zarr")},
                    "segmentation": segmentation,
                },
                "blocks": {"shape": list(BLOCKS)},
                # Parts small enough that the agglomeration has levels.
                "merge": {"threshold": "0.6", "part": "0.15"},
                "compute": {"workers": 2},
                **self.more,
            }
            path.write_text(yaml.safe_dump(content))
        return path

    @property
    def logs(self) -> Path:
        return self.log_folder or self.folder

    def segmentation(self) -> np.ndarray:
        """The voxels of the result, (z, y, x)."""
        return open_volume(f"precomputed://{self.layer or self.workspace / 'segmentation'}").read()

    def plans(self) -> list[StagePlan]:
        return list(Chain(load_configuration(self.config)).stages())

    def plan(self, stage: str) -> StagePlan:
        return next(plan for plan in self.plans() if plan.stage == stage)

    def environment(self, at: Mapping[str, Any] | None = None, **more: str) -> dict[str, str]:
        orders: dict[str, Any] = {"seconds": dict(self.seconds)}
        if at is not None:
            orders["at"] = {**at, "once": str(self.logs / f"once-{at['stage']}-{at['block']}-{at['do']}")}
        environment = {
            **os.environ,
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join([str(PACE), str(PACE.parents[2])]),
            "AXONLOOM_FAULT": json.dumps(orders),
            TAG: self.tag,
            "PREFECT_HOME": str(self.logs / f"{self.tag}-home"),
            **more,
        }
        if self.api is None:
            environment.pop("PREFECT_API_URL", None)
        else:
            environment["PREFECT_API_URL"] = self.api
        return environment

    def start(self, *arguments: object, at: Mapping[str, Any] | None = None, **environment: str) -> Run:
        """Start ``axonloom run CONFIG`` (or the arguments given)."""
        log = self.logs / f"{self.tag[:6]}-run-{len(list(self.logs.glob('*-run-*')))}.txt"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "axonloom", *map(str, arguments or ("run", self.config))],
                env=self.environment(at, **environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Run(self, process, log)

    def states(self) -> dict[str, LedgerState]:
        return {plan.fingerprint: plan.ledger.read() for plan in self.plans()}

    def done(self) -> int:
        """Blocks with a line on disk, over all stages."""
        return sum(len(state.done) for state in self.states().values())

    def processes(self) -> list[psutil.Process]:
        """All processes of the trial that live."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(TAG) == self.tag and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def require_gone(self, within: float = 30.0, *, but: Callable[[psutil.Process], bool] = lambda p: False) -> None:
        """No process of the trial is left, save those that ``but`` allows."""
        give_up = time.monotonic() + within
        while left := [process for process in self.processes() if not but(process)]:
            if time.monotonic() > give_up:
                raise AssertionError(f"left behind: {[(p.pid, ' '.join(p.cmdline())) for p in left]}")
            time.sleep(0.2)

    def kill_all(self) -> None:
        """kill -9 of everything that the trial started."""
        while living := self.processes():
            for process in living:
                process.kill()
            psutil.wait_procs(living, timeout=5)

    def finish(self, before: Mapping[str, LedgerState] | None = None) -> int:
        """Run again, undisturbed, to the end; require that no block with a line was begun again. Returns the blocks recomputed.

        Recomputed are those that had been begun without a line at the fault.
        """
        before = self.states() if before is None else before
        result = self.start().end()
        assert result.code == 0, result.output
        return self.require_not_twice(before)

    def require_not_twice(self, before: Mapping[str, LedgerState]) -> int:
        """No block that had a line in ``before`` was begun since. Returns how many were that had been begun without one."""
        repeated = 0
        for fingerprint, state in self.states().items():
            was = before[fingerprint]
            begun = {b for b, n in dict(state.started.items()).items() if n > dict(was.started.items()).get(b, 0)}
            twice = begun & set(was.done)
            assert not twice, f"computed twice: {sorted(twice)}"
            repeated += len(begun & set(dict(was.started.items())))
        print(f"recomputed: {repeated}", file=sys.stderr)
        return repeated

    def require_whole(self, expected: np.ndarray, mended: int = 0) -> None:
        """The segmentation is that of an undisturbed run, all else is as it was written, each block was finished once, and
        nothing is left behind.

        Those that ``verify --repair`` took back, ``mended`` at least, were finished twice.
        """
        assert np.array_equal(self.segmentation(), expected)
        twice = 0
        for plan in self.plans():
            state = plan.ledger.read()
            assert set(state.done) == set(range(len(plan.grid)))
            twice += len([n for n in state.completions.values() if n > 1])
            assert not [verdict for verdict in verify_stage(plan) if verdict.damage]
        assert twice >= mended if mended else twice == 0, f"{twice} blocks were finished twice"
        self.require_gone()


@dataclass
class Run:
    """A run under way."""

    trial: Trial
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, blocks: int, within: float = 300.0) -> None:
        """Wait until so many blocks (over all stages) have a line; the run must live then."""
        self.until_true(lambda: self.trial.done() >= blocks, within)

    def until_true(self, reached: Callable[[], object], within: float = 300.0) -> None:
        give_up = time.monotonic() + within
        while not reached():
            assert self.process.poll() is None, f"ended too early with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < give_up, f"did not get there in {within} s:\n{self.output}"
            time.sleep(0.01)
        assert self.process.poll() is None, f"ended too early with {self.process.returncode}:\n{self.output}"

    def kill(self) -> None:
        """kill -9 of the flow's process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, within: float = 600.0) -> Result:
        """Wait for the run to end."""
        try:
            code = self.process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            self.trial.kill_all()
            raise AssertionError(f"did not end in {within} s:\n{self.output}") from None
        return Result(code, self.output)
