"""The promise: the same voxels whatever the blocks and the workers."""

from __future__ import annotations

import shutil
from decimal import Decimal

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.geometry import BlockAlignmentError
from axonloom.stages.layer_stage import current_state
from tests.flows.affinity_project import SHAPE, configuration, make_project, segmentation

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def whole(prefect_api, project, tmp_path_factory):
    """The segmentation of the volume as one block, and the scores."""
    from flows.reconstruct import reconstruct

    workspace = tmp_path_factory.mktemp("whole") / "work"
    results = reconstruct(configuration(project, workspace, SHAPE, workers=1))
    return segmentation(workspace), results, workspace


@pytest.mark.parametrize(
    ("blocks", "workers", "on", "part", "levels"),
    [
        ((32, 32, 32), 4, "local", "0.07", 3),
        ((64, 64, 64), 2, "local", "0.001", 2),
        ((32, 64, 128), 1, "local", "16", 1),
        ((32, 32, 96), 2, "dask", "0.3", 3),
    ],
)
def test_the_segmentation_is_the_same_for_every_blocking(whole, project, tmp_path, blocks, workers, on, part, levels):
    from flows.reconstruct import reconstruct

    expected, scores, whole_workspace = whole
    config = configuration(project, tmp_path / "work", blocks, workers)
    config = config.model_copy(
        update={
            "compute": config.compute.model_copy(update={"on": on}),
            "merge": config.merge.model_copy(update={"part": Decimal(part)}),
        }
    )
    assert len(Chain(config).agglomerate) == levels
    results = reconstruct(config)
    found = segmentation(tmp_path / "work")
    assert found.shape == SHAPE
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 20
    for mip in (1, 2):
        assert np.array_equal(segmentation(tmp_path / "work", mip), segmentation(whole_workspace, mip))
    for name in ("voi_split", "voi_merge", "adapted_rand_error"):
        assert results[name] == scores[name]


def test_the_scores_are_those_of_the_written_volume(whole, project):
    from axonloom.evaluation.report import evaluate_volumes
    from axonloom.volumes import open_volume

    _, results, workspace = whole
    direct = evaluate_volumes(
        open_volume(f"precomputed://{workspace}/segmentation"), open_volume(str(project / "labels.zarr"))
    ).to_dict()
    for name in ("voi_split", "voi_merge", "adapted_rand_error"):
        assert results[name] == pytest.approx(direct[name], abs=1e-12)


def test_a_new_threshold_repeats_pool_and_apply_only(whole, project, tmp_path):
    from flows.merge import merge

    _, _, workspace = whole
    config = configuration(project, workspace, SHAPE, workers=1)
    before = segmentation(workspace)
    moved = config.model_copy(update={"merge": config.merge.model_copy(update={"threshold": config.merge.lowest})})
    old, new = Chain(config), Chain(moved)
    assert new.agglomerate == old.agglomerate
    assert new.pool.fingerprint != old.pool.fingerprint
    merge(moved)
    changed = segmentation(workspace)
    assert not current_state(old.apply).done
    assert len(current_state(new.apply).done) == 1
    assert changed.max() < before.max()
    # And back: what the ledger said of the layer that was replaced is void.
    merge(config)
    assert np.array_equal(segmentation(workspace), before)


def test_a_project_that_was_moved_is_as_done_as_it_was(whole, project, tmp_path):
    _, _, workspace = whole
    shutil.copytree(project, tmp_path / "project")  # copytree keeps times, as moving does
    shutil.copytree(workspace, tmp_path / "moved" / "work")
    here = Chain(configuration(project, workspace, SHAPE))
    there = Chain(configuration(tmp_path / "project", tmp_path / "moved" / "work", SHAPE))
    assert [plan.fingerprint for plan in there.stages()] == [plan.fingerprint for plan in here.stages()]
    assert all(len(current_state(plan).done) == len(plan.grid) for plan in there.stages())
    assert str(tmp_path) in there.layer


def test_blocks_that_would_share_a_chunk_are_refused_with_sizes_that_work(project, tmp_path):
    config = configuration(project, tmp_path / "work", (48, 48, 48))
    volumes = config.volumes.model_copy(
        update={"segmentation": config.volumes.segmentation.model_copy(update={"chunk": (32, 32, 32)})}
    )
    with pytest.raises(BlockAlignmentError, match=r"\(32, 32, 32\) or \(64, 64, 64\) would work"):
        list(Chain(config.model_copy(update={"volumes": volumes})).stages())


def test_a_segmentation_that_is_not_ours_is_never_touched(prefect_api, project, tmp_path):
    from axonloom.stage import StageError
    from flows.apply import apply
    from flows.merge import merge
    from flows.segment import segment

    config = configuration(project, tmp_path / "work", (64, 64, 64))
    theirs = tmp_path / "work" / "segmentation" / "info"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    segment(config)
    with pytest.raises(StageError, match="was not made by axonloom"):
        merge(config)
    assert theirs.read_text() == "precious"
    theirs.unlink()
    apply(config)


def test_what_is_half_there_is_never_read_as_whole(prefect_api, project, tmp_path):
    from axonloom.runner import run_blocks
    from axonloom.stage import StageError
    from axonloom.stages.registry import open_stage
    from flows.pool import pool
    from tasks.upstream import require_inputs_done

    config = configuration(project, tmp_path / "work", (32, 32, 32))
    with pytest.raises(StageError, match="run `axonloom segment` first"):
        pool(config)
    chain = Chain(config)
    chain.fragment.save()
    stage = open_stage(chain.fragment.folder)
    stage.prepare()
    run_blocks(stage, range(len(chain.fragment.grid) - 1))
    with pytest.raises(StageError, match=r"not done \(1 of 36 blocks"):
        require_inputs_done(chain.join)
    run_blocks(stage, range(len(chain.fragment.grid)))
    require_inputs_done(chain.join)
