"""How near the phantom comes to a real image with dense labels: figures side by side, and pictures at the same scale.

    python benchmarks/phantom_against_real.py --data train.h5 --out DIR

``train.h5`` holds ``volumes/raw`` (uint8) and ``volumes/labels/neuron_ids`` (zyx, the CREMI layout); the phantom is made with
its shape and voxel size. DIR gets ``phantom_against_real.md`` and three pictures.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from axonloom.geometry import Box
from axonloom.phantom import Phantom

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
DISTANCES = 12
DUST_NM = 30.0


@dataclass(frozen=True)
class Sample:
    """An image with its labels, (z, y, x), and the voxel's edge in nm."""

    title: str
    image: np.ndarray
    labels: np.ndarray
    voxel: float


def boundary_distance(labels: np.ndarray) -> np.ndarray:
    """Distance of every voxel to the nearest voxel that has a neighbour of another label, in voxels."""
    edge = np.zeros(labels.shape, bool)
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        differs = labels[tuple(low)] != labels[tuple(high)]
        edge[tuple(low)] |= differs
        edge[tuple(high)] |= differs
    return ndimage.distance_transform_edt(~edge)


def membrane_profile(image: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Mean grey level at 0, 1, 2... voxels from the label boundary."""
    return np.array([image[(distance >= n) & (distance < n + 1)].mean() for n in range(DISTANCES)])


def membrane_width(profile: np.ndarray) -> float:
    """Full width (voxels) of the dark profile at half its depth; the two voxels at distance 0 face each other."""
    half = 0.5 * (profile[0] + profile[4:7].max())
    beyond = int(np.argmax(profile > half))
    step = (half - profile[beyond - 1]) / (profile[beyond] - profile[beyond - 1])
    return 2.0 * (beyond - 1 + step) + 1.0


def profile_diameters(labels: np.ndarray, voxel: float) -> tuple[np.ndarray, np.ndarray]:
    """Diameters (nm) of circles as large as the connected profiles in sections along all axes, and the profiles' areas.

    Profiles under 30 nm are left out: in hand-corrected labels most are single wrong pixels.
    """
    from skimage.measure import label

    areas = []
    for axis in range(3):
        for index in range(10, labels.shape[axis], 20):
            parts = label(np.take(labels, index, axis), connectivity=1, background=-1)
            areas.append(np.bincount(parts.ravel())[1:])
    area = np.concatenate(areas).astype(float)
    diameter = 2 * np.sqrt(area / np.pi) * voxel
    return diameter[diameter >= DUST_NM], area[diameter >= DUST_NM]


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])


def correlation(image: np.ndarray, axis: int, step: int) -> float:
    """Correlation of grey levels ``step`` voxels apart."""
    near = np.take(image, range(image.shape[axis] - step), axis).ravel()
    far = np.take(image, range(step, image.shape[axis]), axis).ravel()
    return float(np.corrcoef(near, far)[0, 1])


def grain(image: np.ndarray) -> float:
    """Standard deviation of the noise, grey levels: from the median size of third differences along x."""
    third = np.diff(image.astype(float), 3, axis=2)
    return float(np.median(np.abs(third)) / 0.6745 / np.sqrt(20.0))


def figures(sample: Sample) -> dict[str, str]:
    """What the table shows, by row."""
    image, labels, voxel = sample.image, sample.labels, sample.voxel
    _, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape).astype(np.int32)
    distance = boundary_distance(dense)
    profile = membrane_profile(image, distance)
    diameters, areas = profile_diameters(dense, voxel)
    sizes = np.bincount(dense.ravel())
    calibre = 2 * voxel * ndimage.maximum(distance, dense, np.flatnonzero(sizes >= 1000))
    rows = {"grey level, mean / standard deviation": f"{image.mean():.0f} / {image.std():.0f}"}
    rows["grey level, 1 5 25 50 75 95 99 %"] = " ".join(f"{v:.0f}" for v in np.percentile(image, PERCENTILES))
    rows["correlation 1 2 4 8 voxels apart, along z"] = " ".join(
        f"{correlation(image, 0, n):.2f}" for n in (1, 2, 4, 8)
    )
    rows["correlation 1 2 4 8 voxels apart, along x"] = " ".join(
        f"{correlation(image, 2, n):.2f}" for n in (1, 2, 4, 8)
    )
    rows["fine noise, standard deviation"] = f"{grain(image):.1f}"
    rows["grey level 0 1 2 3 4 6 8 voxels from a label boundary"] = " ".join(
        f"{profile[n]:.0f}" for n in (0, 1, 2, 3, 4, 6, 8)
    )
    rows["width of the dark profile at half depth"] = f"{membrane_width(profile) * voxel:.0f} nm"
    rows["voxels that touch another label"] = f"{100 * (distance == 0).mean():.1f} %"
    rows["distance of a voxel to a boundary, 25 50 75 90 99 %"] = (
        " ".join(f"{v * voxel:.0f}" for v in np.percentile(distance, (25, 50, 75, 90, 99))) + " nm"
    )
    rows["diameter of profiles in sections, 10 25 50 75 90 99 %"] = (
        " ".join(f"{v:.0f}" for v in np.percentile(diameters, (10, 25, 50, 75, 90, 99))) + " nm"
    )
    rows["the same, median by area"] = f"{weighted_median(diameters, areas):.0f} nm"
    rows["widest inscribed ball of an object of 1000 voxels or more, 10 50 90 99 %"] = (
        " ".join(f"{v:.0f}" for v in np.percentile(calibre, (10, 50, 90, 99))) + " nm"
    )
    rows["objects of 1000 voxels or more, per cubic micrometre"] = (
        f"{(sizes >= 1000).sum() / (labels.size * (voxel / 1000) ** 3):.0f}"
    )
    return rows


def planes(volume: np.ndarray) -> list[np.ndarray]:
    z, y, x = (n // 2 for n in volume.shape)
    return [volume[z], volume[:, y], volume[:, :, x]]


def save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure).print_png(str(path), pil_kwargs={"optimize": True})


def compare_images(real: Sample, phantom: Sample, path: Path) -> None:
    """Three planes of each, one above the other, at the same scale and the same grey window."""
    widths = [p.shape[1] for p in planes(real.image)]
    heights = [p.shape[0] for p in planes(real.image)]
    figure = Figure(figsize=(sum(widths) / 62, 2 * max(heights) / 62 + 0.6), dpi=100)
    axes = figure.subplots(2, 3, width_ratios=widths, squeeze=False)
    for row, sample in zip(axes, (real, phantom), strict=True):
        for axis, plane, name in zip(row, planes(sample.image), ("z plane", "y plane", "x plane"), strict=True):
            axis.imshow(plane, cmap="gray", vmin=40, vmax=220, interpolation="nearest")
            axis.set_title(f"{sample.title}, {name}", fontsize=9)
            axis.set_anchor("N")
            axis.set_axis_off()
            bar = 500.0 / sample.voxel
            axis.plot([8, 8 + bar], [plane.shape[0] - 8] * 2, color="white", linewidth=3)
            axis.text(8, plane.shape[0] - 12, "500 nm", color="white", fontsize=7)
    figure.tight_layout(pad=0.4)
    save(figure, path)


def bright(labels: np.ndarray) -> np.ndarray:
    """A colour for every label, from its id alone: (..., 3) floats."""
    word = labels.astype(np.uint64)
    word = (word ^ (word >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return np.stack([(word >> np.uint64(40 + 8 * n)) & np.uint64(255) for n in range(3)], -1) / 320.0 + 0.2


def compare_labels(real: Sample, phantom: Sample, path: Path) -> None:
    figure = Figure(figsize=(10, 5.5), dpi=80)
    axes = figure.subplots(1, 2)
    for axis, sample in zip(axes, (real, phantom), strict=True):
        axis.imshow(bright(planes(sample.labels)[0]), interpolation="nearest")
        axis.set_title(f"{sample.title}, labels in the z plane", fontsize=9)
        axis.set_axis_off()
    figure.tight_layout(pad=0.4)
    save(figure, path)


def compare_curves(real: Sample, phantom: Sample, path: Path) -> None:
    figure = Figure(figsize=(10, 3), dpi=80)
    grey, membrane, calibre = figure.subplots(1, 3)
    for sample, colour in ((real, "black"), (phantom, "tab:red")):
        counts = np.bincount(sample.image.ravel(), minlength=256) / sample.image.size
        grey.plot(counts, color=colour, label=sample.title)
        distance = boundary_distance(sample.labels)
        membrane.plot(np.arange(DISTANCES) * sample.voxel, membrane_profile(sample.image, distance), color=colour)
        diameters, areas = profile_diameters(
            np.unique(sample.labels, return_inverse=True)[1].reshape(sample.labels.shape), sample.voxel
        )
        order = np.argsort(diameters)
        calibre.plot(diameters[order], np.cumsum(areas[order]) / areas.sum(), color=colour)
    grey.set(title="grey levels", xlabel="grey level", ylabel="share of voxels")
    membrane.set(title="membranes", xlabel="nm from a label boundary", ylabel="mean grey level")
    calibre.set(title="calibres", xlabel="diameter of a profile, nm", ylabel="share of area below", xscale="log")
    grey.legend(fontsize=8)
    figure.tight_layout(pad=0.6)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--origin", type=int, nargs=3, default=(3000, 3000, 3000), help="of the phantom's box, zyx voxels"
    )
    args = parser.parse_args()
    with h5py.File(args.data) as file:
        raw = file["volumes/raw"]
        image, labels = raw[:], file["volumes/labels/neuron_ids"][:]
        voxel = tuple(float(v) for v in raw.attrs.get("resolution", (10, 10, 10)))
    real = Sample("FIB-SEM", image, labels, voxel[2])
    box = Box(start=args.origin, size=image.shape)
    world = Phantom(args.seed, box.stop, voxel)
    world.both(Box(start=(0, 0, 0), size=(1, 1, 1)))  # compiles
    begin = time.process_time()
    made, ids = world.both(box)
    rate = made.size / 1e6 / (time.process_time() - begin)
    phantom = Sample("phantom", made, ids, voxel[2])
    left, right = figures(real), figures(phantom)
    lines = [
        "| | real (FIB-SEM) | phantom |",
        "|---|---|---|",
        *(f"| {row} | {left[row]} | {right[row]} |" for row in left),
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "phantom_against_real.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"\nimage and labels made at {rate:.2f} million voxels per CPU second")
    compare_images(real, phantom, args.out / "phantom_images.png")
    compare_labels(real, phantom, args.out / "phantom_labels.png")
    compare_curves(real, phantom, args.out / "phantom_curves.png")


if __name__ == "__main__":
    main()
