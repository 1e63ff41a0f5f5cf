"""Peak memory of training against the size of the volumes it is trained on.

    python -m benchmarks.training_memory [--formats zarr hdf5 precomputed] [--sizes 64x256x256 256x512x512] [--json]

For each format and size a fresh process trains a small network on an image and its labels, larger than what it may keep in memory
(`train.cache`), and reports the peak of its resident memory, after a training on a volume of a few patches that loads all there is to load.
It must not grow with the volume. Labels fill an eighth of it, so that most places are drawn again. The caches of stored chunks, which fill up to limits
of their own, are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.volumes import create_volume

BLOCK = (64, 128, 128)
TINY = (32, 64, 64)
MEASURE = """
import sys
from pathlib import Path
from axonloom.config.train import TrainSettings
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import train
from axonloom.volumes import hdf5, open_volume, tensorstore_io
from benchmarks.resources import peak_bytes

tensorstore_io.CACHE_BYTES = 0
hdf5._CHUNK_CACHE_BYTES = 0

folder, tiny, real, cache = Path(sys.argv[1]), sys.argv[2:4], sys.argv[4:6], float(sys.argv[6])
settings = TrainSettings.model_validate({
    "network": {"architecture": "residual_unet_3d", "parameters": {"filters": [8, 8], "isotropy": [True, True], "norm": "gn"}},
    "patch": [16, 32, 32], "iterations": 40, "threads": 1, "loaders": 2, "cache": cache, "device": "cpu", "tensorboard": False,
    "validation": {"every": 20, "crops": 2}, "checkpoint_every": 40,
})
for name, uris in (("tiny", tiny), ("real", real)):
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    train(settings, [LabelledVolume(*map(open_volume, uris))], folder / name)
print(peak_bytes())
"""


def stored(folder: Path, format: str, shape: Zyx) -> tuple[str, str]:
    """An image of noise and labels in its middle (half of each axis), of one cell a block: their URIs."""
    folder.mkdir(parents=True)
    names = {"zarr": "{}.zarr", "hdf5": "{}.h5:main", "precomputed": "precomputed://{}"}[format]
    uris = [names.format(folder / name) for name in ("image", "labels")]
    more = {"chunk": (32, 64, 64), "voxel_size": (10, 10, 10), "shape": shape}
    image, labels = create_volume(uris[0], dtype=np.uint8, **more), create_volume(uris[1], dtype=np.uint32, **more)
    random = np.random.default_rng(0)
    inner = Box(start=[n // 4 for n in shape], end=[n - n // 4 for n in shape])
    for number, block in enumerate(BlockGrid(Box.of_shape(shape), BLOCK), 1):
        image.write(block.core, random.integers(0, 256, block.core.shape, np.uint8))
        ids = np.zeros(block.core.shape, np.uint32)
        there = block.core.clipped(inner)
        if there.voxels:
            ids[there.slices_in(block.core)] = number
        labels.write(block.core, ids)
    for volume in (image, labels):
        volume.sync()
        volume.close()
    return uris[0], uris[1]


def measure(format: str, shape: Zyx, cache: float = 0.0) -> dict[str, int]:
    """Bytes of the volumes, and of the training process's memory, with ``cache`` gigabytes to keep volumes in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny, real = stored(folder / "tiny-data", format, TINY), stored(folder / "data", format, shape)
        command = [sys.executable, "-c", MEASURE, str(folder), *tiny, *real, str(cache)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the training failed: {done.stderr[-2000:]}")
        return {"volume_bytes": 5 * int(np.prod(shape)), "peak_bytes": int(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="+", default=["zarr", "hdf5", "precomputed"])
    parser.add_argument("--sizes", nargs="+", default=["64x256x256", "256x512x512"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for format in args.formats:
        for size in args.sizes:
            z, y, x = map(int, size.split("x"))
            rows.append({"format": format, "shape": [z, y, x], **measure(format, (z, y, x))})
            if not args.json:
                last = rows[-1]
                print(
                    f"{format:>12} {size:>12}  {last['volume_bytes'] / 2**20:7.1f} MiB of image and labels  "
                    f"{last['peak_bytes'] / 2**20:6.1f} MiB at the peak",
                    flush=True,
                )
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
