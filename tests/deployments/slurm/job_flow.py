"""A flow whose whole work is to be somewhere for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from prefect import flow


@flow
def stay(folder: str, seconds: float = 0.0, megabytes: int = 0, last_words: str = "", told: Sequence[str] = ()) -> None:
    """Adds a line to ``folder/started``, stays, then adds one to ``folder/finished``: a run that resumes stays only once."""
    job = os.environ["SLURM_JOB_ID"]
    with Path(folder, "started").open("a") as file:
        file.write(f"{job} {os.environ.get('SLURM_RESTART_COUNT', '0')} {os.getpid()}\n")
    if told:
        Path(folder, "told").write_text("\n".join(os.environ.get(name, "") for name in told))
    if last_words:
        print(last_words, flush=True)
    held = bytearray(os.urandom(1)) * (megabytes << 20)
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up and not Path(folder, "go").exists():
        time.sleep(0.1)
    with Path(folder, "finished").open("a") as file:
        file.write(f"{job} {len(held)}\n")
