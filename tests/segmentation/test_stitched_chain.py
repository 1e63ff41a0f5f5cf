"""Blocks that were segmented alone, through the whole chain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from axonloom.alone import run_alone
from axonloom.assembly.overlap_table import OverlapTable
from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.evaluation.report import evaluate_volumes
from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.runner import BatchReport
from axonloom.segmentation.waterz_backend import waterz_segmentations
from axonloom.stage import StageError
from axonloom.stages.overlap import overlaps_path
from axonloom.stages.scores import score_chain
from axonloom.verify import repair, verify_stage
from axonloom.volumes import create_volume, open_volume
from tests.segmentation.test_waterz_backend import same_partition

LONG = [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, -3, 0), (0, 0, -3), (-2, 0, 0)]


def affinities_of(labels: np.ndarray, offsets: list) -> np.ndarray:
    """250 where both voxels have one label other than 0, else 5; 77 where the other voxel lies outside. uint8 (c, z, y, x)."""
    out = np.full((len(offsets), *labels.shape), 77, np.uint8)
    for channel, offset in zip(out, offsets, strict=True):
        here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, labels.shape, strict=True))
        there = tuple(slice(max(0, o), n + min(0, o)) for o, n in zip(offset, labels.shape, strict=True))
        channel[here] = np.where((labels[here] == labels[there]) & (labels[here] > 0), 250, 5)
    return out


def bars(shape: tuple[int, int, int] = (8, 24, 40)) -> np.ndarray:
    """Bars along x with background between them; some end before, at, or just behind the middle of x."""
    labels = np.zeros(shape, np.uint64)
    for i, end in enumerate((40, 20, 19, 21, 40, 16)):
        labels[:, 4 * i : 4 * i + 3, :end] = i + 1
    labels[:, 20:23, 24:] = 7
    return labels


def project(folder: Path, affinities: np.ndarray, labels: np.ndarray | None = None, **content: object) -> Path:
    shape = affinities.shape[1:]
    made = create_volume(
        str(folder / "affinities.zarr"), shape=shape, dtype=affinities.dtype, channels=len(affinities), chunk=(8, 8, 8)
    )
    made.write(made.box, affinities)
    volumes: dict[str, object] = {"affinities": {"path": "affinities.zarr"}, "segmentation": {"mips": 1}}
    if labels is not None:
        truth = create_volume(str(folder / "labels.zarr"), shape=shape, dtype=np.uint64, chunk=(8, 8, 8))
        truth.write(truth.box, labels.astype(np.uint64))
        volumes["labels"] = {"path": "labels.zarr"}
    volumes |= content.pop("volumes", {})  # type: ignore[arg-type]
    (folder / "axonloom.yaml").write_text(yaml.safe_dump({"workspace": "work", "volumes": volumes, **content}))
    return folder / "axonloom.yaml"


def run(chain: Chain) -> np.ndarray:
    """The segmentation."""
    for plan in chain.stages():
        report = run_alone(plan)
        assert not report.failed, report.failed
    return open_volume(chain.layer).read()


def mutex_project(folder: Path, affinities: np.ndarray, labels: np.ndarray, **content: object) -> Path:
    return project(
        folder,
        affinities,
        labels,
        volumes={"affinities": {"path": "affinities.zarr", "offsets": [list(o) for o in LONG]}},
        **{"blocks": {"shape": [8, 24, 24]}, **content},
    )


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    """Degraded affinities and labels of a phantom."""
    phantom = Phantom(seed=5, shape=(24, 40, 48))
    box = Box.of_shape((24, 40, 48))
    return phantom.degraded_affinities(box), phantom.labels(box)


@pytest.mark.parametrize("per_section", [False, True])
def test_one_block_is_waterz_itself(noisy, tmp_path, per_section):
    affinities, labels = noisy
    path = project(
        tmp_path,
        affinities,
        labels,
        blocks={"shape": [64, 64, 64]},
        segment={
            "method": "waterz",
            "waterz": {"threshold": "0.6", "score": "aff60_his256", "per_section": per_section},
        },
    )
    found = run(Chain(load_configuration(path)))
    given = affinities.copy()
    for axis in range(3):
        np.moveaxis(given[axis], axis, 0)[0] = 0
    fragments = None
    if per_section:
        sections = [waterz_segmentations(given[:, z : z + 1], ["1"])[0][0] for z in range(24)]
        fragments = np.stack([np.where(s > 0, s + np.uint64(10**6 * z), 0) for z, s in enumerate(sections)])
    direct = waterz_segmentations(given, ["0.6"], "aff60_his256", fragments=fragments)[0]
    assert same_partition(found, direct)
    assert len(np.unique(found)) > 10


@pytest.mark.parametrize("shape", [(8, 24, 20), (8, 24, 39), (4, 8, 8)])
def test_waterz_blocks_are_joined_to_the_known_objects(tmp_path, shape):
    labels = bars()
    chunk = {"chunk": [4, 8, shape[2]], "mips": 1}
    path = project(
        tmp_path,
        affinities_of(labels, LONG[:3]),
        labels,
        volumes={"segmentation": chunk},
        blocks={"shape": list(shape)},
        segment={"method": "waterz", "waterz": {"halo": [2, 6, 6]}},
        merge={"overlap": {"minimum": "0.9"}},
    )
    chain = Chain(load_configuration(path))
    found = run(chain)
    assert same_partition(found, labels)
    before = open_volume(str(chain.fragment.folder / "fragments.zarr")).read()
    assert len(np.unique(before)) > len(np.unique(labels))
    # Dense, in the order of the smallest provisional id.
    assert np.unique(found).tolist() == list(range(8))


def test_mutex_blocks_part_what_nearest_neighbours_alone_would_join(tmp_path):
    labels = np.zeros((8, 24, 48), np.uint64)
    labels[:, :12], labels[:, 12:] = 1, 2
    affinities = affinities_of(labels, LONG)
    # A hole in the membrane, in both blocks: through it, anything that looks at nearest neighbours alone makes one object.
    affinities[1, 3:5, 12, 10] = affinities[1, 3:5, 12, 30] = 240
    segment = {"method": "mutex", "mutex": {"halo": [2, 4, 6]}, "high": "0.9"}
    chain = Chain(load_configuration(mutex_project(tmp_path, affinities, labels, segment=segment)))
    assert len(chain.fragment.grid) == 2
    assert same_partition(run(chain), labels)
    leaking = chain.configuration.model_dump(mode="json") | {"workspace": str(tmp_path / "other")}
    leaking["segment"]["method"] = "watershed"
    leaking["volumes"]["segmentation"]["path"] = "precomputed://{workspace}/segmentation"
    assert len(np.unique(run(Chain(type(chain.configuration).model_validate(leaking))))) == 1


def test_scores_are_those_of_the_layer_and_say_nothing_of_thresholds(noisy, tmp_path):
    affinities, labels = noisy
    path = project(
        tmp_path,
        affinities,
        labels,
        blocks={"shape": [24, 24, 24]},
        segment={"method": "waterz", "waterz": {"halo": [4, 8, 8]}},
    )
    chain = Chain(load_configuration(path))
    run(chain)
    scores = score_chain(chain)
    direct = evaluate_volumes(open_volume(chain.layer), open_volume(str(tmp_path / "labels.zarr")))
    assert scores.segmentation.voi == pytest.approx(direct.voi, abs=1e-12)
    assert scores.segmentation.adapted_rand_error == pytest.approx(direct.adapted_rand_error, abs=1e-12)
    apart = evaluate_volumes(
        open_volume(str(chain.fragment.folder / "fragments.zarr")), open_volume(str(tmp_path / "labels.zarr"))
    )
    assert scores.fragments.voi == pytest.approx(apart.voi, abs=1e-12)
    assert scores.segmentation.voi_split < scores.fragments.voi_split
    assert not [name for name in scores.as_dict() if "threshold" in name or "best" in name]
    stored = json.loads(next((chain.contingency.folder / "scores").iterdir()).read_text())
    assert stored["voi_split"] == scores.segmentation.voi_split
    assert (
        "approximate"
        in json.loads((tmp_path / "work" / "segmentation" / "axonloom.json").read_text())["attributes"]["seams"]
    )


def test_a_new_minimum_stitches_again_and_a_damaged_block_undoes_what_looked_at_it(tmp_path):
    labels = bars()
    path = project(
        tmp_path,
        affinities_of(labels, LONG[:3]),
        blocks={"shape": [8, 24, 8]},
        segment={"method": "waterz", "waterz": {"halo": [0, 0, 3]}},
    )
    chain = Chain(load_configuration(path))
    run(chain)
    other = Chain(load_configuration(path, ["merge.overlap.minimum=0.8"]))
    assert other.overlap.fingerprint == chain.overlap.fingerprint
    assert other.pool.fingerprint != chain.pool.fingerprint
    assert not [v for plan in chain.stages() for v in verify_stage(plan) if v.damage]
    # Another table of the right kind: it reads, and says something else.
    assert len(OverlapTable.read(overlaps_path(chain.overlap.folder, 1))) > 3
    OverlapTable.concatenate([]).write(overlaps_path(chain.overlap.folder, 1))
    chunk = next(p for p in (chain.fragment.folder / "fragments.zarr" / "c").rglob("*") if p.is_file())
    chunk.unlink()
    damages = [v.damage for v in verify_stage(chain.fragment) if v.damage]
    assert len(damages) == 1
    undone = repair(chain.fragment, damages)
    block = damages[0].block
    assert undone[chain.overlap.folder] == [b for b in (block, block + 1) if b < 5]
    assert undone[chain.pool.folder] == [0]
    assert [v.block for v in verify_stage(chain.overlap) if v.damage] == ([1] if block not in (0, 1) else [])
    repair(chain.overlap, [v.damage for v in verify_stage(chain.overlap) if v.damage])
    run(chain)
    assert same_partition(open_volume(chain.layer).read(), labels)


@pytest.mark.parametrize("method", ["waterz", "mutex"])
def test_nan_is_refused_with_its_place(tmp_path, method):
    labels = bars()
    affinities = affinities_of(labels, LONG).astype(np.float32) / 255
    affinities[2, 3, 5, 30] = np.nan
    # Where there is no edge, anything may be stored.
    affinities[2, 3, 5, 0] = np.nan
    if method == "waterz":
        path = project(tmp_path, affinities[:3], labels, blocks={"shape": [8, 24, 24]}, segment={"method": method})
    else:
        path = mutex_project(tmp_path, affinities, labels, segment={"method": method, "mutex": {"halo": [8, 24, 4]}})
    report: BatchReport = run_alone(Chain(load_configuration(path)).fragment)
    assert sorted(report.failed) == ([1] if method == "mutex" else [0, 1])
    assert "affinity nan" in report.failed[1]


def test_blocks_that_share_nothing_are_refused(tmp_path):
    path = project(
        tmp_path,
        affinities_of(bars(), LONG[:3]),
        blocks={"shape": [8, 24, 8]},
        segment={"method": "waterz", "waterz": {"halo": [4, 4, 0]}},
    )
    with pytest.raises(StageError, match="halo is 0 along x, where there are 5 blocks"):
        list(Chain(load_configuration(path)).stages())
    list(Chain(load_configuration(path, ["blocks.shape=[8, 24, 40]"])).stages())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["merge.method=overlap"], "segment.method watershed shares no halo"),
        (["segment.method=waterz", "merge.method=agglomerate"], "leaves no region graph for merge.method agglomerate"),
        (["segment.method=mutex"], "needs long-range affinities"),
        (["segment.method=waterz", "segment.smoothing=1"], "segment.smoothing is for method watershed"),
        (["segment.method=waterz", "segment.waterz.halo=[1, 1, -1]"], "segment.waterz.halo"),
        (["segment.method=waterz", "segment.waterz.score=median"], "segment.waterz.score"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_loaded(settings, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        load_configuration(None, settings)


def test_the_methods_that_fit_are_accepted():
    load_configuration(None, ["merge.method=agglomerate"])
    load_configuration(None, ["segment.method=waterz", "merge.method=overlap"])
