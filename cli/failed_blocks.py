"""What is said of blocks that failed: a sentence where a user can mend it, a traceback where it is a bug."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from axonloom.bad_input import BadInputError


def described(tracebacks: Mapping[int, str]) -> list[str]:
    """One text a block: ``block 7: sentence``, or the traceback where no one but a programmer can help."""
    told = []
    for block, trace in tracebacks.items():
        sentence = mendable(trace)
        told.append(f"block {block}: {sentence}" if sentence is not None else f"block {block}:\n{trace.rstrip()}")
    return told


def mendable(trace: str) -> str | None:
    """The sentence at the end of a traceback when its error is one that a user can mend, else None."""
    lines = trace.rstrip().splitlines()
    name, _, sentence = (lines[-1] if lines else "").partition(": ")
    module, _, kind = name.rpartition(".")
    # Only names from our own package are looked up: what a ledger says is no instruction.
    if not module.startswith("axonloom."):
        return None
    try:
        found = getattr(import_module(module), kind, None)
    except ImportError:
        return None
    return sentence if isinstance(found, type) and issubclass(found, BadInputError) else None
