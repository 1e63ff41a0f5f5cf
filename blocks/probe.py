"""What a machine on which batches would run says about itself: run there, with a folder of the workspace.

``python -m blocks.probe FOLDER NAME [--import MODULE]... [--gpu] [--flow HOST:PORT] [--api URL]`` reads FOLDER/token and leaves
FOLDER/NAME.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOKEN = "token"
#: Seconds that another machine may take to answer.
PATIENCE = 10.0


def facts(folder: Path, modules: Sequence[str], *, gpu: bool, flow: str | None, api: str | None) -> dict[str, Any]:
    """Plain JSON: node, Python, the package and its version, and what was reached; of what was not, the error."""
    found: dict[str, Any] = {
        "node": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "python": platform.python_version(),
        "executable": sys.executable,
        "token": (folder / TOKEN).read_text(),
    }
    try:
        import axonloom

        found["version"] = axonloom.__version__
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        found["import_error"] = str(error)
    if gpu:
        found |= _gpu()
    if flow is not None:
        found["flow_error"] = _unreachable(flow)
    if api is not None:
        found["api_error"] = _unhealthy(api)
    return found


def _gpu() -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        return {"gpu": None, "gpu_error": str(error)}
    if not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        return {"gpu": None, "gpu_error": f"torch {torch.__version__} sees no GPU (CUDA_VISIBLE_DEVICES: {visible})"}
    return {"gpu": torch.cuda.get_device_name(0)}


def _unreachable(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        return str(error)
    return None


def _unhealthy(api: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=PATIENCE) as answer:
            return None if answer.status == 200 else f"it answers {answer.status}"
    except (OSError, urllib.error.URLError) as error:
        return str(error)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--import", dest="modules", action="append", default=[])
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--flow")
    parser.add_argument("--api")
    given = parser.parse_args()
    text = json.dumps(facts(given.folder, given.modules, gpu=given.gpu, flow=given.flow, api=given.api))
    path = given.folder / f"{given.name}.json"
    partial = path.with_suffix(".part")
    partial.write_text(text)
    partial.replace(path)


if __name__ == "__main__":
    main()
