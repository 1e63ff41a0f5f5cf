"""What a ledger of a million blocks costs: status, planning a resume, a full reading, a snapshot.

    python -m benchmarks.ledger [--blocks 1000000] [--json]

Makes a project whose fragment stage has that many blocks (an affinity volume without chunks), writes the ledger that a run in
2,000 batches leaves, with the last 1 % after the snapshot, one block in 100,000 failed and one batch open, and measures each
in a process of its own: wall and CPU seconds and the peak of its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.ledger import SNAPSHOT, Ledger
from axonloom.volumes import create_volume

BATCHES = 2000
SIDE = 4

#: What is measured: name -> Python source; ``sys.argv[1]`` is the configuration.
MEASURED = {
    "status": "import sys; from cli.main import app; app(['status', sys.argv[1]])",
    "plan": "import sys; from cli.main import app; app(['plan', sys.argv[1]])",
    "resume": """
import sys, time
from pathlib import Path
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from tasks.parcels import parcels
plan = Chain(load_configuration(Path(sys.argv[1]))).fragment
begin = time.perf_counter()
found = parcels(plan, plan.ledger.read(), None, "local")
print(len(found.open), 'open batches,', len(found.finished), 'finished;', time.perf_counter() - begin, 's without imports')
""",
    "snapshot": """
import sys
from pathlib import Path
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
Chain(load_configuration(Path(sys.argv[1]))).fragment.ledger.compact()
""",
}


def make_project(folder: Path, blocks: int) -> Path:
    """A configuration whose fragment stage has at least ``blocks`` blocks; nothing is computed."""
    per_axis = round(blocks ** (1 / 3))
    shape = (SIDE * per_axis, SIDE * per_axis, SIDE * -(-blocks // per_axis**2))
    create_volume(str(folder / "affinities.zarr"), shape=shape, dtype=np.uint8, channels=3, chunk=(64, 64, 64))
    config = folder / "axonloom.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "workspace": "work",
                "volumes": {
                    "affinities": {"path": "affinities.zarr"},
                    "segmentation": {"chunk": [SIDE, SIDE, SIDE], "mips": 0},
                },
                "blocks": {"shape": [SIDE, SIDE, SIDE]},
            }
        )
    )
    return config


def write_lines(ledger: Ledger, n: int, first: int, last: int, failed: int = 100_000) -> None:
    """The files that batches ``first .. last`` of a stage of ``n`` blocks leave, without syncing each line."""
    ledger.folder.mkdir(parents=True, exist_ok=True)
    for k in range(first, last):
        low, high = n * k // BATCHES, n * (k + 1) // BATCHES
        lines = [{"format_version": 2, "host": "node07", "pid": 4711 + k, "process_started": 1.0, "at": 1.79e9 + k}]
        for b in range(low, high):
            lines.append({"block": b, "state": "started", "at": 1.79e9 + k + 0.001 * b})
            if b % failed == failed - 1:
                lines.append(
                    {"block": b, "state": "failed", "at": 1.79e9 + k, "error": "Traceback\n" + "  frame\n" * 30}
                )
            else:
                facts = {"fragments": 4844, "edges": 17341, "voxels_crc32": "a1b2c3d4", "files_crc32": "d4c3b2a1"}
                lines.append({"block": b, "state": "done", "at": 1.79e9 + k, "seconds": 0.1454, **facts})
        path = ledger.folder / f"{low:08d}-{high - 1:08d}.node07-{4711 + k}-{k:032x}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def measured(source: str, config: Path) -> dict[str, Any]:
    """Wall and CPU seconds and peak memory of a fresh Python that runs ``source``."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", source, str(config)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"exit status {status}: {said}")
    return {
        "wall_s": round(time.perf_counter() - begin, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6),
        "said": said.strip().splitlines()[0][:100] if said.strip() else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = make_project(Path(folder), args.blocks)
        plan = Chain(load_configuration(config)).fragment
        n = len(plan.grid)
        plan.save()
        write_lines(plan.ledger, n, 0, BATCHES - 20)
        results = {"a first snapshot of all lines": measured(MEASURED["snapshot"], config)}
        write_lines(plan.ledger, n, BATCHES - 20, BATCHES)
        for name in ("status", "plan", "resume", "snapshot"):
            results[name] = measured(MEASURED[name], config)
        (plan.ledger.folder / SNAPSHOT).unlink()
        results["status without any snapshot"] = measured(MEASURED["status"], config)
        facts = {
            "blocks": n,
            "ledger_mb": round(sum(p.stat().st_size for p in plan.ledger.folder.glob("*.jsonl")) / 1e6),
            "benchmark_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        }
    if args.json:
        print(json.dumps({**facts, **results}))
        return
    print("  ".join(f"{k} {v}" for k, v in facts.items()))
    for name, row in results.items():
        print(
            f"{name:>30}  {row['wall_s']:6.2f} s wall  {row['cpu_s']:6.2f} s CPU  {row['peak_mb']:5d} MB   {row['said']}"
        )


if __name__ == "__main__":
    main()
