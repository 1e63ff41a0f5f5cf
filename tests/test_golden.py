"""The bytes of each stage, pinned: whoever changes them must raise the stage's version, so that nothing old is reused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from axonloom.alone import run_alone
from axonloom.assembly.lookup_table import LookupTable
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.stage import StagePlan
from axonloom.volumes import create_volume, open_volume

SHAPE = (20, 30, 41)

#: stage -> (version, sha256 of what it wrote). Inference is not here: its bytes belong to a kind of processor.
GOLDEN = {
    "fragment": (4, "0928d4a660934a2e"),
    "join": (3, "905fedf2cc90ca43"),
    "agglomerate 1": (3, "5e215a8f31570911"),
    "agglomerate 2": (3, "71358dc6e12ea82f"),
    "agglomerate 3": (3, "98ec432e3a05a6de"),
    "pool": (2, "dced737ce5c64274"),
    "apply": (2, "5a5ad08512f63e3a"),
    "segments": (1, "b559c885ebc0aff1"),
    "pyramid 1": (1, "9dcb73b12380c28f"),
    "contingency": (1, "c375c34b1fd194c1"),
}
#: The same of stages that other settings lead to.
GOLDEN_OF_OTHERS = {
    "graph": (5, "bef564d8a823144e"),
    "multicut": (1, "f3d3b8628b3fd408"),
    "pool": (2, "1d635b82614c065a"),
}
#: The same with quantiles, which need histograms.
GOLDEN_OF_QUANTILES = {
    "fragment": (4, "35185d3fd1fb3a55"),
    "join": (3, "f0d7109f8b9f9b9d"),
    "agglomerate 1": (3, "7d3e283e0ec00a88"),
    "agglomerate 2": (3, "6269afc543c228c6"),
    "agglomerate 3": (3, "a18d3bb2bf46dd2a"),
    "pool": (2, "02fe0b1b27dfa44a"),
}
OTHERS = (
    "merge.method=multicut",
    "merge.multicut.beta=0.45",
    "merge.multicut.weight=contacts",
    "merge.dust=60",
    "merge.dust_lowest=0.42",
    "merge.discard=50",
)


#: The same for blocks that are segmented alone, with the versions of waterz and bioimage-cpp that constraints.txt names.
STITCHED = {
    "waterz": {
        "waterz": (2, "e8632338968f12ef"),
        "overlap": (1, "f3265534443cfd36"),
        "stitch": (2, "36e6d0a9af286004"),
    },
    "mutex": {"mutex": (2, "3b19a16510a633de"), "overlap": (1, "607e87f32fe36690"), "stitch": (2, "8db3127aca9733a4")},
}


def smooth_noise(channels: int = 3) -> np.ndarray:
    """Affinities uint8 (c, z, y, x) from integers alone, so that they are the same everywhere."""
    noise = np.random.RandomState(11).randint(0, 256, (channels, *SHAPE)).astype(np.int64)
    for axis in (1, 2, 3, 1, 2, 3):
        noise = noise + 2 * np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    low, high = noise.min(), noise.max()
    return ((noise - low) * 255 // (high - low)).astype(np.uint8)


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Chain:
    """Every stage of a small chain, run block by block."""
    folder = tmp_path_factory.mktemp("golden")
    affinities = create_volume(
        str(folder / "affinities.zarr"), shape=SHAPE, dtype=np.uint8, channels=3, chunk=(16, 16, 16)
    )
    affinities.write(affinities.box, smooth_noise())
    labels = create_volume(str(folder / "labels.zarr"), shape=SHAPE, dtype=np.uint32, chunk=(16, 16, 16))
    labels.write(labels.box, (np.arange(np.prod(SHAPE)) // 997).reshape(SHAPE).astype(np.uint32))
    content = {
        "workspace": "work",
        "volumes": {
            "affinities": {"path": "affinities.zarr"},
            "labels": {"path": "labels.zarr"},
            "segmentation": {"mips": 1},
        },
        "blocks": {"shape": [16, 16, 16]},
        "segment": {"low": "0.3", "high": "0.95", "smoothing": "0.7", "absorb": 5},
        "merge": {"threshold": "0.48", "part": "0.01"},
    }
    (folder / "axonloom.yaml").write_text(yaml.safe_dump(content))
    found = Chain(load_configuration(folder / "axonloom.yaml"))
    for plan in found.stages():
        assert not run_alone(plan).failed
    return found


def content(chain: Chain, plan: StagePlan) -> bytes:
    """What a stage wrote, without the parts that name machines and moments."""
    if plan.stage in ("apply", "pyramid"):
        voxels = open_volume(f"{chain.layer}?mip={plan.parameters.get('mip', 0)}").read().tobytes()
    elif (plan.folder / "fragments.zarr").exists():
        voxels = open_volume(str(plan.folder / "fragments.zarr")).read().tobytes()
    else:
        voxels = b""
    return voxels + b"".join(
        _columns(path) for path in sorted(plan.folder.rglob("*")) if path.suffix in (".parquet", ".arrow")
    )


def _columns(path: Path) -> bytes:
    """A table's values, whatever its compression."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()
    return repr({name: table[name].to_pylist() for name in table.column_names}).encode()


def test_bytes_change_only_with_the_version(chain):
    found = {
        plan.title: (plan.version, hashlib.sha256(content(chain, plan)).hexdigest()[:16]) for plan in chain.stages()
    }
    assert found == GOLDEN, "bytes of a stage changed: raise its version, then pin the new hash here"


def test_bytes_of_other_settings_change_only_with_the_version(chain):
    others = Chain(load_configuration(chain.workspace.parent / "axonloom.yaml", OTHERS))
    found = {}
    for plan in (others.graph, others.multicut, others.pool):
        assert not run_alone(plan).failed
        found[plan.stage] = plan.version, hashlib.sha256(content(others, plan)).hexdigest()[:16]
    assert found == GOLDEN_OF_OTHERS, "bytes of a stage changed: raise its version, then pin the new hash here"
    plain = Chain(load_configuration(chain.workspace.parent / "axonloom.yaml", OTHERS[:3]))
    assert not run_alone(plain.pool).failed
    tables = [LookupTable.open(each.pool.folder / "lookup" / "00000000.arrow") for each in (others, plain)]
    assert 20 < tables[0].count < tables[1].count
    assert 0 in tables[0].segments


def test_bytes_of_quantiles_change_only_with_the_version(chain):
    quantiles = Chain(load_configuration(chain.workspace.parent / "axonloom.yaml", ["merge.score=aff75_his32"]))
    found = {}
    for plan in (*quantiles.segmenting, *quantiles.pooling):
        assert not run_alone(plan).failed
        found[plan.title] = plan.version, hashlib.sha256(content(quantiles, plan)).hexdigest()[:16]
    assert found == GOLDEN_OF_QUANTILES, "bytes of a stage changed: raise its version, then pin the new hash here"
    assert found["agglomerate 1"] != GOLDEN["agglomerate 1"]


def test_the_example_is_not_trivial(chain):
    segmentation = open_volume(chain.layer).read()
    assert 20 < len(np.unique(segmentation)) < 3000


@pytest.mark.parametrize("method", ["waterz", "mutex"])
def test_bytes_of_stitched_blocks_change_only_with_the_version(tmp_path, method):
    offsets = [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [0, -3, 0], [-2, 0, 2]][: 3 if method == "waterz" else 5]
    affinities = create_volume(
        str(tmp_path / "affinities.zarr"), shape=SHAPE, dtype=np.uint8, channels=len(offsets), chunk=(16, 16, 16)
    )
    affinities.write(affinities.box, smooth_noise(len(offsets)))
    content_of_file = {
        "workspace": "work",
        "volumes": {"affinities": {"path": "affinities.zarr", "offsets": offsets}, "segmentation": {"mips": 0}},
        "blocks": {"shape": [16, 16, 16]},
        "segment": {
            "method": method,
            "low": "0.3",
            "high": "0.95",
            "waterz": {"halo": [4, 4, 6], "threshold": "0.48"},
            "mutex": {"halo": [4, 4, 6]},
        },
        "merge": {"overlap": {"minimum": "0.3"}},
    }
    (tmp_path / "axonloom.yaml").write_text(yaml.safe_dump(content_of_file))
    chain = Chain(load_configuration(tmp_path / "axonloom.yaml"))
    for plan in chain.stages():
        assert not run_alone(plan).failed
    found = {
        plan.stage: (plan.version, hashlib.sha256(content(chain, plan)).hexdigest()[:16])
        for plan in (*chain.segmenting, *chain.pooling)
    }
    segments = len(np.unique(open_volume(chain.layer).read()))
    labels = len(np.unique(open_volume(str(chain.fragment.folder / "fragments.zarr")).read()))
    assert 20 < segments < labels < 3000, (segments, labels)
    assert found == STITCHED[method], "bytes of a stage changed: raise its version, then pin the new hash here"
