"""A real SLURM on this machine for the time of a test session.

Daemons, munge, ports, spool and state are the session's own, so two sessions on one machine do not meet. Nodes are several
slurmd on loopback with made-up names; GPUs are plain files, so that ``gres`` is scheduled without hardware; a job that uses
more memory than it asked for is killed, as on a cluster.

By hand: ``python -m tests.slurm_cluster`` starts one, prints the ``export`` line for other terminals, and takes it down on Ctrl+C.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PREFIX = "axonloom-slurm-"
PROGRAMS = ("sbatch", "scontrol", "slurmctld", "slurmd", "munged")
#: Seconds that the daemons may take to come up, and a job to leave the queue.
PATIENCE = 60.0


class SlurmUnavailableError(RuntimeError):
    """This machine cannot run a SLURM of its own; the message says what is missing."""


@dataclass(frozen=True)
class Job:
    """One line of ``squeue``: also of jobs that ended less than MinJobAge ago."""

    id: str
    name: str
    state: str
    partition: str
    nodes: str
    comment: str
    reason: str

    @property
    def ended(self) -> bool:
        return self.state not in ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED")


class SlurmCluster:
    """``nodes`` slurmd named n1, n2, … with ``cpus`` CPUs and ``memory`` MB each; n1 has ``gpus`` pretended GPUs.

    Partitions: ``main`` (default; preempts scavenge), ``scavenge`` (its jobs are requeued when main wants the place), ``gpu``
    (n1 alone).
    """

    def __init__(self, nodes: int = 4, cpus: int = 4, memory: int = 4000, gpus: int = 2) -> None:
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.cpus = cpus
        self.memory = memory
        self.gpus = gpus
        self.base = Path()

    # Up and down -------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring it up and wait until every node is idle.

        Raises
        ------
        SlurmUnavailableError
            Not root, or a program is not installed.
        RuntimeError
            The daemons did not come up; the end of their logs is in the message.
        """
        missing = [name for name in PROGRAMS if _program(name) is None]
        if missing:
            raise SlurmUnavailableError(
                f"no {', '.join(missing)} on this machine (Debian: slurm-wlm slurmctld slurmd slurm-client munge)"
            )
        if os.geteuid() != 0:
            raise SlurmUnavailableError("a SLURM of one's own needs root, which this user is not")
        _sweep()
        for attempt in range(3):
            self.base = Path(tempfile.mkdtemp(prefix=PREFIX))
            try:
                self._write_files()
                self._start_daemons()
            except BaseException as error:
                # Another program may have taken a port between the choice and the bind: choose others.
                log = self._log_ends()
                self.stop()
                if attempt == 2 or not isinstance(error, RuntimeError):
                    raise RuntimeError(f"SLURM did not come up: {error}\n{log}") from error
            else:
                return

    def stop(self) -> None:
        """Cancel what runs, end every process of this SLURM, remove its files. May be called twice."""
        if not self.base.name.startswith(PREFIX):
            return
        _end_processes(self.base)
        shutil.rmtree(self.base, ignore_errors=True)
        self.base = Path()

    # What tests ask ----------------------------------------------------------------------------------------------------------

    @property
    def conf(self) -> Path:
        return self.base / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to speak to this SLURM."""
        return {"SLURM_CONF": str(self.conf)}

    def run(self, *command: str, timeout: float = 60.0) -> str:
        """The output of a SLURM command, e.g. ``run("scontrol", "requeue", "12")``; CalledProcessError when it fails."""
        return subprocess.run(
            command, env={**os.environ, **self.environment}, check=True, capture_output=True, text=True, timeout=timeout
        ).stdout

    def sbatch(self, script: str, *options: str) -> str:
        """Submit the text of a script; its job id."""
        command = ["sbatch", "--parsable", f"--output={self.base}/log/job-%j.out", *options]
        done = subprocess.run(
            command,
            input=script,
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout.strip().split(";")[0]

    def jobs(self, ended: bool = False) -> list[Job]:
        """The jobs that wait or run; with ``ended`` also those that SLURM still remembers."""
        options = ["--states=all"] if ended else []
        lines = self.run("squeue", "--noheader", *options, "--format=%i|%T|%P|%N|%k|%r|%j").splitlines()
        jobs = []
        for line in lines:
            id, state, partition, nodes, comment, reason, name = line.split("|", 6)
            jobs.append(Job(id, name, state, partition, nodes, comment, reason))
        return jobs

    def job(self, id: str) -> Job:
        """One job, also an ended one; KeyError when SLURM has forgotten it."""
        for job in self.jobs(ended=True):
            if job.id == id:
                return job
        raise KeyError(f"SLURM knows no job {id}")

    def wait_for(self, condition: Callable[[], object], what: str, limit: float = PATIENCE) -> None:
        """Return once ``condition`` is true; AssertionError with the queue after ``limit`` seconds."""
        give_up = time.monotonic() + limit
        while not condition():
            if time.monotonic() > give_up:
                raise AssertionError(f"after {limit:.0f} s still not: {what}; the queue: {self.jobs(ended=True)}")
            time.sleep(0.3)

    def wait_empty(self, limit: float = PATIENCE) -> None:
        """Wait until no job waits or runs."""
        self.wait_for(lambda: not self.jobs(), "the queue is empty", limit)

    def cancel_all(self) -> None:
        """Leave an empty queue to the next test."""
        ids = [job.id for job in self.jobs()]
        if ids:
            self.run("scancel", *ids)
        self.wait_empty()

    # Faults ------------------------------------------------------------------------------------------------------------------

    def kill_node(self, name: str, with_jobs: bool = True) -> None:
        """Node ``name`` dies as by a power cut: its slurmd and everything that its jobs started, by SIGKILL.

        Without ``with_jobs`` only slurmd dies: the cluster takes the node for dead while the job's processes go on, as when
        its network is lost.
        """
        found = set()
        for process in _processes_of(self.base):
            if _is(process, "slurmd") and name in _command(process):
                found.add(process)
            elif with_jobs and _environ(process).get("SLURMD_NODENAME") == name:
                parent = _parent(process)
                found |= {process} | ({parent} if parent is not None and _is(parent, "slurmstepd") else set())
        _kill(found)

    def revive_node(self, name: str, wait: bool = True) -> None:
        """Start the slurmd of ``name`` again; with ``wait`` until the node takes jobs."""
        self._start_slurmd(name)
        if wait:
            self.wait_for(lambda: self.node_state(name) in ("idle", "mixed", "allocated"), f"{name} is back")

    def node_state(self, name: str) -> str:
        """``idle``, ``mixed``, ``allocated``, ``down``, … as sinfo says, without its flags."""
        states = self.run("sinfo", "--noheader", "--Node", f"--nodes={name}", "--partition=main", "--format=%T").split()
        return states[0].rstrip("*~#!%$@^-+") if states else "unknown"

    def kill_controller(self) -> None:
        """slurmctld dies by SIGKILL: commands fail until ``revive_controller``."""
        _kill({process for process in _processes_of(self.base) if _is(process, "slurmctld")})

    def revive_controller(self, forget_jobs: bool = False, wait: bool = True) -> None:
        """Start slurmctld again; with ``forget_jobs`` it knows none of the earlier ones, as after MinJobAge. Without ``wait`` its
        nodes may be away."""
        # Its state is in the files that it wrote; -c leaves them aside.
        self._run_daemon("slurmctld", "-f", str(self.conf), *(["-c"] if forget_jobs else []))
        self.wait_for(self._answers, "slurmctld answers")
        if forget_jobs and wait:
            self.wait_for(self._all_idle, "all nodes are idle")

    # Inside ------------------------------------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        self.base.chmod(0o755)  # munge's socket must be reachable
        for folder in ("state", "log", "run", "munge", *(f"spool/{name}" for name in self.nodes)):
            (self.base / folder).mkdir(parents=True)
        me = psutil.Process()
        (self.base / "owner.json").write_text(json.dumps({"pid": me.pid, "started": me.create_time()}))
        key = self.base / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for number in range(self.gpus):
            (self.base / f"gpu{number}").touch()
        # An empty file is a parse error.
        (self.base / "cgroup.conf").write_text("CgroupAutomount=no\n")
        gres = f"NodeName=n1 Name=gpu Type=fake File={self.base}/gpu[0-{self.gpus - 1}]\n" if self.gpus else ""
        (self.base / "gres.conf").write_text(gres or "# none\n")
        (self.base / "slurm.conf").write_text(self._slurm_conf(_free_ports(1 + len(self.nodes))))

    def _slurm_conf(self, ports: list[int]) -> str:
        base, host = self.base, socket.gethostname().split(".")[0]
        names = ",".join(self.nodes)
        settings = {
            "ClusterName": f"axonloom{os.getpid()}",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": ports[0],
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            # A requeued job is held until its credential has expired: two minutes unless told otherwise.
            "AuthInfo": f"socket={base}/munge/socket,cred_expire=5",
            "StateSaveLocation": base / "state",
            "SlurmdSpoolDir": f"{base}/spool/%n",
            "SlurmctldPidFile": base / "run/slurmctld.pid",
            "SlurmdPidFile": f"{base}/run/slurmd-%n.pid",
            "SlurmctldLogFile": base / "log/slurmctld.log",
            "SlurmdLogFile": f"{base}/log/slurmd-%n.log",
            # A container has neither systemd nor cgroups of its own.
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=2",
            "JobAcctGatherParams": "OverMemoryKill",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU_Memory",
            "DefMemPerCPU": self.memory // self.cpus,
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "sched_interval=2,bf_interval=2,batch_sched_delay=1,defer",
            "MpiDefault": "none",
            "ReturnToService": 2,
            "SlurmdTimeout": 15,
            "SlurmctldTimeout": 20,
            "InactiveLimit": 0,
            "KillWait": 5,
            "MinJobAge": 600,
            "MessageTimeout": 20,
            "JobRequeue": 1,
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "GresTypes": "gpu",
            "AccountingStorageType": "accounting_storage/none",
            "JobCompType": "jobcomp/none",
            "SlurmdParameters": "config_overrides",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        for name, port in zip(self.nodes, ports[1:], strict=True):
            gres = f"Gres=gpu:fake:{self.gpus}" if name == "n1" and self.gpus else ""
            lines.append(
                f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus} "
                f"RealMemory={self.memory} Feature=made,{name} {gres} State=UNKNOWN"
            )
        lines += [
            f"PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=off",
            f"PartitionName=scavenge Nodes={names} MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE",
            "PartitionName=gpu Nodes=n1 MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=off",
        ]
        return "\n".join(lines) + "\n"

    def _start_daemons(self) -> None:
        munge = self.base / "munge"
        self._run_daemon(
            "munged",
            f"--key-file={munge}/key",
            f"--socket={munge}/socket",
            f"--pid-file={munge}/pid",
            f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
            "--num-threads=2",
        )
        self._run_daemon("slurmctld", "-f", str(self.conf))
        for name in self.nodes:
            self._start_slurmd(name)
        give_up = time.monotonic() + PATIENCE
        while not self._all_idle():
            if time.monotonic() > give_up:
                raise RuntimeError(f"after {PATIENCE:.0f} s not every node is idle")
            time.sleep(0.3)

    def _start_slurmd(self, name: str) -> None:
        self._run_daemon("slurmd", "-f", str(self.conf), "-N", name)

    def _run_daemon(self, program: str, *options: str) -> None:
        """Start a daemon: it goes to the background itself. Its children find this SLURM by their environment, and so do we."""
        done = subprocess.run(
            [str(_program(program)), *options],
            env={**_plain_environment(), **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            cwd=self.base,
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr.strip()}")

    def _answers(self) -> bool:
        done = subprocess.run(
            ["scontrol", "ping"], env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )
        return done.returncode == 0 and "UP" in done.stdout

    def _all_idle(self) -> bool:
        command = ["sinfo", "--noheader", "--Node", "--partition=main", "--states=idle", "--format=%N"]
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60
        )
        return done.returncode == 0 and len(done.stdout.split()) == len(self.nodes)

    def _log_ends(self) -> str:
        logs = sorted((self.base / "log").glob("*.log")) if (self.base / "log").is_dir() else []
        return "\n".join(f"--- {log.name}\n" + log.read_text(errors="replace")[-1500:] for log in logs)


@contextmanager
def slurm_cluster(nodes: int = 4, cpus: int = 4, memory: int = 4000, gpus: int = 2) -> Iterator[SlurmCluster]:
    """A SLURM inside the ``with`` block; nothing of it afterwards."""
    cluster = SlurmCluster(nodes, cpus, memory, gpus)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def _program(name: str) -> str | None:
    """The daemons lie where a user's PATH need not go."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def _plain_environment() -> dict[str, str]:
    """Without what belongs to another SLURM, or to the tests themselves: jobs get theirs from who submits them."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PREFECT", "PYTEST"))}


def _free_ports(count: int) -> list[int]:
    """Ports below the range from which the system gives outgoing connections theirs."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        for port in random.Random(os.urandom(8)).sample(range(18000, 30000), 500):
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe.close()
                continue
            held.append(probe)
            found.append(port)
            if len(found) == count:
                return found
    finally:
        for probe in held:
            probe.close()
    raise RuntimeError(f"no {count} free ports on 127.0.0.1")


# Processes -------------------------------------------------------------------------------------------------------------------


def _processes_of(base: Path) -> list[psutil.Process]:
    """The daemons of the SLURM in ``base``, its job steps and what the jobs started; not those who merely talk to it."""
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    conf = str(base / "slurm.conf")
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        environment = _environ(process)
        in_job = environment.get("SLURM_CONF") == conf and "SLURM_JOB_ID" in environment
        if in_job:
            found[process.pid] = process
        if in_job or any(str(base) in part for part in _command(process)[1:]):
            # A slurmstepd names its job, not its SLURM: it is the parent of the job's processes.
            parent = _parent(process)
            if in_job and parent is not None and _is(parent, "slurmstepd"):
                found[parent.pid] = parent
            if _is(process, "slurmctld", "slurmd", "munged"):
                found[process.pid] = process
        elif _is(process, "slurmstepd") and environment.get("SLURM_CONF") == conf:
            found[process.pid] = process
    return list(found.values())


def _end_processes(base: Path) -> None:
    """Politely, then not: until none is left, for a job may start another meanwhile."""
    # A slurmstepd whose job has ended is not found any more, and may wait for its slurmctld for ever.
    left: list[psutil.Process] = []
    for polite in (True, False, False, False):
        processes = list({*left, *_processes_of(base)})
        if not processes:
            return
        for process in processes:
            _signal(process, signal.SIGTERM if polite else signal.SIGKILL)
        left = psutil.wait_procs(processes, timeout=3)[1]


def _sweep() -> None:
    """End the SLURMs of test sessions that were killed before they could."""
    for base in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        try:
            owner = json.loads((base / "owner.json").read_text())
        except (FileNotFoundError, ValueError):
            continue  # just being made, or not ours
        if not _runs(owner["pid"], owner["started"]):
            _end_processes(base)
            shutil.rmtree(base, ignore_errors=True)


def _runs(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False


def _kill(processes: set[psutil.Process]) -> None:
    # Parents stop first: a slurmstepd that sees its child die would report the job's end.
    for process in processes:
        _signal(process, signal.SIGSTOP)
    for process in processes:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.NoSuchProcess:
        return None


def _is(process: psutil.Process, *names: str) -> bool:
    """By the program's name; the daemons rename themselves ("slurmstepd: [12.batch]")."""
    command = " ".join(_command(process)[:1])
    return command.split(":")[0].rsplit("/", 1)[-1] in names


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return []


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
        return {}


if __name__ == "__main__":
    # SIGTERM takes it down in order, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with slurm_cluster() as running:
        print(f"export SLURM_CONF={running.conf}\nCtrl+C takes it down", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("down")
