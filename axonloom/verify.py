"""Is what ledgers call done really there: every chunk and table read again, and compared with the checksums noted then.

A stage's output is damaged in one of two ways. What cannot be *read* (a truncated chunk, a torn table) stops whoever reads it,
so nothing was made from it. What reads *otherwise* than it was written (a chunk that is gone reads as zeros) may have been read
by later stages without notice: what they made of it is in doubt, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from axonloom.bad_input import BadInputError
from axonloom.checksums import files_checksum, voxels_checksum
from axonloom.geometry import Box
from axonloom.measured import stage_folders
from axonloom.stage import Stage, StagePlan
from axonloom.stages.layer_stage import current_state
from axonloom.stages.registry import open_stage
from axonloom.volumes import Volume

#: Checksums that done lines of a block noted: of voxels, of files.
Noted = tuple[set[str], set[str]]


@dataclass(frozen=True)
class Damage:
    """What is wrong with a block's output.

    Attributes
    ----------
    block : int
    what : a sentence
    silent : whether it reads without an error, so that others may have used it
    """

    block: int
    what: str
    silent: bool


@dataclass(frozen=True)
class Verdict:
    """A block that was looked at.

    Attributes
    ----------
    damage : None when all is well
    compared : whether there were checksums to compare with (older ledgers have none)
    """

    block: int
    damage: Damage | None
    compared: bool


def verify_stage(plan: StagePlan, threads: int = 2) -> Iterator[Verdict]:
    """Read again what the done blocks of a stage left; a verdict each, in the order of the blocks."""
    done = list(current_state(plan).done)
    if not done:
        return
    noted = _noted(plan)
    try:
        stage = open_stage(plan.folder)
    except BadInputError as error:
        yield from (Verdict(b, Damage(b, str(error), silent=False), compared=False) for b in done)
        return
    with ThreadPoolExecutor(threads) as readers:
        yield from readers.map(lambda block: _verdict(stage, block, noted.get(block, (set(), set()))), done)


def repair(plan: StagePlan, damages: Iterable[Damage]) -> dict[Path, list[int]]:
    """Declare damaged blocks not done, and with those that were damaged silently all blocks that were made from them.

    Returns stage folder -> blocks that the next run computes again. Nothing is deleted.
    """
    damages = list(damages)
    undone = {plan.folder: sorted(d.block for d in damages)}
    plan.ledger.undo({d.block: d.what for d in damages})
    silent = [d.block for d in damages if d.silent]
    waiting = [(plan, silent)] if silent else []
    while waiting:
        source, blocks = waiting.pop()
        for reader, name in _readers(source):
            state = current_state(reader.plan)
            found = [b for b in reader.reads(name, source, blocks) if b in state.done]
            if found:
                reader.plan.ledger.undo(dict.fromkeys(found, f"made from damaged blocks of {source.stage}"))
                undone[reader.plan.folder] = sorted({*undone.get(reader.plan.folder, []), *found})
                waiting.append((reader.plan, found))
    return undone


def _noted(plan: StagePlan) -> Mapping[int, Noted]:
    noted: dict[int, Noted] = {}
    for line in plan.ledger.facts():
        voxels, files = noted.setdefault(int(line["block"]), (set(), set()))
        if "voxels_crc32" in line:
            voxels.add(line["voxels_crc32"])
        if "files_crc32" in line:
            files.add(line["files_crc32"])
    return noted


def _verdict(stage: Stage, index: int, noted: Noted) -> Verdict:
    block = stage.plan.grid.block(index)
    voxels, files = noted
    found: list[Damage] = []
    compared = True
    try:
        stored, paths = stage.stored(block), stage.files(block)
    except (BadInputError, OSError) as error:
        return Verdict(index, Damage(index, str(error), silent=False), compared=False)
    if stored is not None:
        compared = compared and bool(voxels)
        found += _voxel_damage(index, *stored, voxels)
    if paths:
        compared = compared and bool(files)
        found += _file_damage(index, paths, files)
    damage = Damage(index, "; ".join(d.what for d in found), any(d.silent for d in found)) if found else None
    return Verdict(index, damage, compared)


def _voxel_damage(index: int, volume: Volume, box: Box, noted: set[str]) -> list[Damage]:
    try:
        checksum = voxels_checksum(volume.read(box))
    except (BadInputError, OSError) as error:
        return [Damage(index, str(error), silent=False)]
    if noted and checksum not in noted:
        return [
            Damage(index, f"{volume.uri}: {box} does not hold what was written; {_absent(volume, box)}", silent=True)
        ]
    return []


def _absent(volume: Volume, box: Box) -> str:
    """How many of the chunk files are not there: most likely the reason."""
    keys = getattr(volume, "chunk_keys", None)
    if keys is None or "://" in volume.uri:
        return "chunks are gone or were changed"
    names = keys(box)
    gone = [name for name in names if not (Path(volume.uri) / name).exists()]
    return f"{len(gone)} of its {len(names)} chunks are not there" if gone else "the chunks were changed"


def _file_damage(index: int, paths: list[Path], noted: set[str]) -> list[Damage]:
    broken = [Damage(index, what, silent=False) for path in paths if (what := _unreadable(path)) is not None]
    if broken:
        return broken
    if noted and files_checksum(paths) not in noted:
        names = ", ".join(str(path) for path in paths)
        return [Damage(index, f"{names} do not hold what was written", silent=True)]
    return []


def _unreadable(path: Path) -> str | None:
    try:
        if path.suffix == ".parquet":
            pq.read_table(path, page_checksum_verification=True)
        elif path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                pa.ipc.open_file(source).read_all()
        else:
            json.loads(path.read_bytes())
    except FileNotFoundError:
        return f"{path} is not there"
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"{path} is damaged or cut short ({' '.join(str(error).split())})"
    return None


def _readers(source: StagePlan) -> Iterator[tuple[Stage, str]]:
    """Stages of the workspace that read ``source``, with the name of that input."""
    address = f"{source.stage}/{source.folder.name}"
    for folder in stage_folders(source.workspace):
        try:
            stage = open_stage(folder)
        except BadInputError:
            # Of another version: it is planned anew anyway.
            continue
        for name, given in stage.plan.inputs.items():
            if given["kind"] == "stage" and given["stage"] == address:
                yield stage, name
