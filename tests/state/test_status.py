"""What ``status`` says is what lies on disk: done, running, failed, stale, missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from axonloom.stage_status import DONE, FAILED, MISSING, RUNNING, StageStatus, stage_status
from cli.block_text import _ASCII, _UNICODE, PART, block_lines
from tests.flows.affinity_project import configure
from tests.state.alone import chain_of, run, run_all, tree

BEGIN_AND_WAIT = """
import sys, time
from pathlib import Path
from axonloom.ledger import Ledger
with Ledger(Path(sys.argv[1])).writer(5, 7) as lines:
    lines.started(5)
    lines.done(5, 2.0)
    lines.started(6)
    print("begun", flush=True)
    time.sleep(60)
"""


def axonloom(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "axonloom", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "160", **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def config(project, tmp_path):
    return configure(project, tmp_path / "work", (32, 32, 32))


def test_running_is_a_block_that_a_living_process_has_begun(config):
    plan = chain_of(config).fragment
    plan.save()
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN_AND_WAIT, str(plan.ledger.folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = stage_status(plan)
        assert (found.verdict, found.done, found.running) == ("running", 1, {6})
        assert found.seconds_left == pytest.approx(35 * 2.0)
        plan.ledger.compact()
        assert stage_status(plan).running == {6}
    finally:
        process.kill()
        process.wait()
    found = stage_status(plan)
    assert (found.verdict, found.running, found.missing) == ("part", frozenset(), 35)


def test_a_block_that_waits_for_another_try_is_not_running(config):
    plan = chain_of(config).fragment
    plan.save()
    with plan.ledger.writer() as lines:
        lines.started(3)
        assert stage_status(plan).running == {3}
    assert stage_status(plan).running == frozenset()


def test_a_process_of_another_machine_counts_as_long_as_it_writes(config):
    plan = chain_of(config).fragment
    plan.save()
    with plan.ledger.writer() as lines:
        lines.started(3)
        (path,) = plan.ledger.folder.glob("*.jsonl")
        content = path.read_text()
    path.write_text(content.replace(f'"host": "{os.uname().nodename}"', '"host": "elsewhere"'))
    assert stage_status(plan).running == {3}
    long_ago = path.stat().st_mtime - 3600
    os.utime(path, (long_ago, long_ago))
    assert stage_status(plan).running == frozenset()


def test_what_failed_is_listed_by_error_with_its_blocks(config):
    chain = chain_of(config)
    run(chain.fragment, range(30))
    with chain.fragment.ledger.writer() as lines:
        for block in (31, 32, 33, 35):
            lines.failed(block, f"Traceback\n  at {block}\nVolumeError: damaged")
    found = axonloom("status", config)
    assert found.returncode == 0, found.stderr
    assert "30 of 36 blocks done, 4 failed" in found.stdout
    assert "blocks 31-33, 35: VolumeError: damaged" in found.stdout
    row = json.loads(axonloom("status", config, "--json").stdout)[0]
    assert row["state"] == "failed"
    assert row["failed_blocks"] == [31, 32, 33, 35]
    assert (row["done"], row["failed"], row["running"], row["missing"]) == (30, 4, 0, 2)


#: What is changed, and which stages that makes stale. ``infer`` is not in the chain of given affinities.
CHANGES = [
    (["compute.workers=7"], ""),
    (["compute.on=dask"], ""),
    (["compute.retries=9"], ""),
    (["failures.give_up_after=3"], ""),
    (["failures.max_failed_blocks=3"], ""),
    (["evaluate.thresholds=[0.3]"], ""),
    (["train.iterations=7"], ""),
    (["merge.threshold=0.7"], "pool apply segments pyramid"),
    (["merge.lowest=0.2"], "agglomerate pool apply segments pyramid"),
    (["segment.absorb=7"], "fragment join agglomerate pool apply segments pyramid contingency"),
    (["segment.high=0.9"], "fragment join agglomerate pool apply segments pyramid contingency"),
    (["segment.low=0.2"], "fragment join agglomerate pool apply segments pyramid contingency"),
    (["segment.smoothing=0.7"], "fragment join agglomerate pool apply segments pyramid contingency"),
    (["blocks.shape=[64,32,32]"], "fragment join agglomerate pool apply segments pyramid contingency"),
    (["volumes.affinities.value_at=source"], "fragment join agglomerate pool apply segments pyramid contingency"),
    (["volumes.labels.voxel_size=[8,8,9]"], "contingency"),
    (["volumes.segmentation.chunk=[16,16,16]"], "apply segments pyramid"),
]


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    config = configure(project, tmp_path_factory.mktemp("finished") / "work", (32, 32, 32))
    run_all(chain_of(config))
    return config


@pytest.mark.parametrize(("overrides", "stale"), CHANGES, ids=lambda value: " ".join(value) if value else None)
def test_a_change_makes_exactly_the_stages_stale_that_depend_on_it(finished, overrides, stale):
    before = tree(finished.parent)
    found = {
        (plan.stage, plan.parameters.get("mip")): stage_status(plan) for plan in chain_of(finished, *overrides).stages()
    }
    assert {stage for (stage, _), status in found.items() if status.verdict == "stale"} == set(stale.split())
    assert {status.verdict for status in found.values()} <= {"done", "stale"}
    for status in found.values():
        assert status.stale is None or status.stale.differs
    assert tree(finished.parent) == before


def test_the_reason_is_said_in_the_words_of_the_configuration(finished):
    def reasons(*overrides: str) -> list[str]:
        return [
            reason for plan in chain_of(finished, *overrides).stages()
            for reason in getattr(stage_status(plan).stale, "differs", ())
        ]  # fmt: skip

    assert reasons("merge.threshold=0.7")[:2] == ["merge.threshold was 0.6, is 0.7", "its input pool is another"]
    assert "segment.high was 253, is 230 (of 255)" in reasons("segment.high=0.9")
    assert "blocks.shape was [32, 32, 32], is [64, 32, 32]" in reasons("blocks.shape=[64,32,32]")
    assert "labels is another (voxel_size)" in reasons("volumes.labels.voxel_size=[8,8,9]")


def test_another_batch_size_makes_nothing_stale(finished):
    from tasks.batches import CUT, batches

    for plan in chain_of(finished).stages():
        (plan.folder / CUT).write_text(
            json.dumps({"format_version": 1, "count": 3, "block_seconds": 1.0, "basis": "assumed"})
        )
        assert len(batches(plan)) == min(3, len(plan.grid))
    assert {stage_status(plan).verdict for plan in chain_of(finished).stages()} == {"done"}
    for plan in chain_of(finished).stages():
        (plan.folder / CUT).unlink()


def test_the_log_level_makes_nothing_stale(finished):
    found = axonloom("status", finished, "--json", PREFECT_LOGGING_LEVEL="DEBUG")
    assert {row["state"] for row in json.loads(found.stdout)} == {"done"}


def test_the_map_is_written_as_a_picture(config, tmp_path):
    run(chain_of(config).fragment, range(20))
    found = axonloom("status", config, "--map", tmp_path / "map.png")
    assert found.returncode == 0, found.stderr
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 3
    assert axonloom("status", config, "--map", tmp_path / "none" / "map.png").returncode == 2


def test_a_terminal_without_the_signs_gets_plain_ones(config):
    run(chain_of(config).fragment, range(20))
    assert "████" in axonloom("status", config, PYTHONIOENCODING="utf-8").stdout
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}):
        assert "#### ####" in axonloom("status", config, **environment).stdout


def test_a_map_larger_than_the_terminal_hides_no_failed_block():
    states = np.full((40, 50, 300), DONE, np.uint8)
    states[39, 49, 299] = FAILED
    states[0, 0, 0] = RUNNING
    states[20:, :, :100] = MISSING
    states[20, 0, 0] = DONE
    lines = block_lines(states, _ASCII, coloured=False)
    assert len(lines) <= 13
    assert max(map(len, lines)) <= 80
    text = "".join(lines)
    assert text.count("X") == 1
    assert text.count(">") == 1
    assert text.count("+") >= 1
    assert {_ASCII[MISSING], _ASCII[DONE]} < set(text)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 500), (500, 1, 1), (1, 500, 1), (3, 4, 5), (100, 100, 100)])
def test_a_map_of_any_shape_fits(shape):
    states = np.full(shape, DONE, np.uint8)
    lines = block_lines(states, _UNICODE, coloured=False)
    assert set("".join(lines)) <= {_UNICODE[DONE], " "}
    assert len(lines) <= 13
    assert _UNICODE[PART] not in "".join(lines)


def test_counts_of_a_status_add_up(config):
    chain = chain_of(config)
    run(chain.fragment, range(10))
    with chain.fragment.ledger.writer() as lines:
        lines.failed(20, "boom")
        lines.started(20)
        lines.started(5)
        found = stage_status(chain.fragment)
        assert isinstance(found, StageStatus)
        # Tried again: running, no longer failed. Done stays done, whoever begins it again.
        assert (found.done, found.running, list(found.failed), found.missing) == (10, {20}, [], 25)
        assert found.blocks.reshape(-1)[20] == RUNNING
    assert yaml.safe_load(config.read_text())["compute"]["workers"] == 2
