"""All scores of a segmentation in one record, with the conventions and counts that a number needs to be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from axonloom.evaluation.adapted_rand import adapted_rand_of
from axonloom.evaluation.contingency import ContingencyTable, EvaluationError, require_ids
from axonloom.evaluation.pairing import PredictedZero, scored_pairs
from axonloom.evaluation.voi import voi_of
from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.volumes.volume import Volume

CONVENTIONS = {
    "segment": "label 0 is not scored; labelled voxels predicted as 0 are one segment (as scikit-image counts them)",
    "singletons": "label 0 is not scored; each labelled voxel predicted as 0 is a segment of its own",
    "drop": "label 0 is not scored, nor are voxels predicted as 0",
}


@dataclass(frozen=True)
class Scores:
    """How well a segmentation agrees with labels.

    Attributes
    ----------
    voi_split, voi_merge : float
        Bits, 0 at best: H(segmentation | labels) and H(labels | segmentation). See :mod:`axonloom.evaluation.voi`.
    adapted_rand_error, adapted_rand_precision, adapted_rand_recall : float
        0..1; error 0 at best, precision suffers from merges and recall from splits. See
        :mod:`axonloom.evaluation.adapted_rand`.
    predicted_zero : str
        ``segment``, ``singletons`` or ``drop``: what labelled voxels predicted as 0 counted as.
    voxels : int
        Compared, in total.
    voxels_scored, voxels_unlabelled, voxels_predicted_zero : int
        Those that entered the scores, those with label 0, and labelled ones predicted as 0.
    segments, labels : int
        Different ids, other than 0, among labelled voxels.
    region : (start, stop) or None
        What was compared, (z, y, x) voxels of the segmentation volume; None where the scores come from a bare table.
    """

    voi_split: float
    voi_merge: float
    adapted_rand_error: float
    adapted_rand_precision: float
    adapted_rand_recall: float
    predicted_zero: str
    voxels: int
    voxels_scored: int
    voxels_unlabelled: int
    voxels_predicted_zero: int
    segments: int
    labels: int
    region: tuple[Zyx, Zyx] | None = None

    @property
    def voi(self) -> float:
        """Variation of information in bits, both halves."""
        return self.voi_split + self.voi_merge

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: all fields, the sum ``voi``, and ``conventions`` in words."""
        stored = asdict(self)
        if self.region is not None:
            stored["region"] = [list(corner) for corner in self.region]
        return {"voi": self.voi, **stored, "conventions": CONVENTIONS[self.predicted_zero]}


def score(
    table: ContingencyTable, predicted_zero: PredictedZero = "segment", region: tuple[Zyx, Zyx] | None = None
) -> Scores:
    """All scores from the counts of segments against labels.

    Raises
    ------
    EvaluationError
        No labelled voxel to score.
    """
    pairs = scored_pairs(table, predicted_zero)
    information, rand = voi_of(pairs), adapted_rand_of(pairs)
    labelled = table.without_label_zero()
    zero = labelled.segments == 0
    return Scores(
        voi_split=information.split,
        voi_merge=information.merge,
        adapted_rand_error=rand.error,
        adapted_rand_precision=rand.precision,
        adapted_rand_recall=rand.recall,
        predicted_zero=predicted_zero,
        voxels=table.voxels,
        voxels_scored=pairs.voxels,
        voxels_unlabelled=table.voxels - labelled.voxels,
        voxels_predicted_zero=int(labelled.counts[zero].sum()),
        segments=len(np.unique(labelled.segments[~zero])),
        labels=len(np.unique(labelled.labels)),
        region=region,
    )


def evaluate_volumes(
    segmentation: Volume,
    labels: Volume,
    block_shape: Zyx = (128, 256, 256),
    predicted_zero: PredictedZero = "segment",
) -> Scores:
    """Score one stored volume against another, block by block; the block shape changes memory and time, never the scores.

    Volumes of one shape are compared voxel for voxel. Labels of another shape are taken to lie at their offset inside the
    segmentation, where both files state their voxel size and it is the same. The region used is in the result.

    Parameters
    ----------
    segmentation, labels : Volume
        Integer ids, (z, y, x).
    block_shape : (z, y, x)
        Voxels held at once, of both volumes.
    predicted_zero : {"segment", "singletons", "drop"}
        What labelled voxels predicted as 0 count as.

    Raises
    ------
    EvaluationError
        The volumes do not fit each other, do not hold ids, or share no labelled voxel.
    """
    for volume in (segmentation, labels):
        require_ids(volume.dtype, volume.uri)
        if volume.channels is not None:
            raise EvaluationError(
                f"{volume.uri} has {volume.channels} channels; a volume of ids has axes zyx only: name the one to use"
            )
    region = compared_region(segmentation, labels)
    table = ContingencyTable.summed(
        ContingencyTable.of(
            segmentation.read(block.core.shifted(region.origin)),
            labels.read(block.core),
        )
        for block in BlockGrid(labels.box, block_shape)
    )
    try:
        return score(table, predicted_zero, region=(region.origin, region.stop))
    except EvaluationError as error:
        raise EvaluationError(f"{segmentation.uri} against {labels.uri}, {region}: {error}") from error


def compared_region(segmentation: Volume, labels: Volume) -> Box:
    """The voxels of ``segmentation`` that ``labels`` speak of.

    Raises
    ------
    EvaluationError
        Where that is not certain: it names what the two files say.
    """
    sizes = segmentation.voxel_size, labels.voxel_size
    if sizes[0] is not None and sizes[1] is not None and not np.allclose(sizes[0], sizes[1], rtol=1e-3):
        raise EvaluationError(
            f"voxels of {segmentation.uri} are {_nanometres(segmentation)} nm (zyx), those of {labels.uri} "
            f"{_nanometres(labels)} nm: compare volumes of one resolution, such as the same mip"
        )
    moved = segmentation.offset != labels.offset
    if tuple(segmentation.shape) == tuple(labels.shape):
        # An offset of 0 is what files say that know none.
        if moved and any(segmentation.offset) and any(labels.offset):
            raise EvaluationError(
                f"{segmentation.uri} begins at voxel {segmentation.offset} (zyx) of its data set, {labels.uri} at "
                f"{labels.offset}: they have one shape but show different places; correct the offset that is wrong"
            )
        return segmentation.box
    different = (
        f"{segmentation.uri} has {tuple(segmentation.shape)} voxels (zyx) and {labels.uri} {tuple(labels.shape)}"
    )
    if sizes[0] is None or sizes[1] is None:
        raise EvaluationError(
            f"{different}: cut one to the other, or give both their voxel size and offset so that the place of the labels "
            "in the segmentation is certain"
        )
    region = labels.box.shifted([a - b for a, b in zip(labels.offset, segmentation.offset, strict=True)])
    if not segmentation.box.contains(region):
        raise EvaluationError(
            f"{different}; by their offsets ({segmentation.offset} and {labels.offset}) the labels cover {region} of the "
            f"segmentation's {segmentation.box} and reach outside it: cut the labels to what was segmented"
        )
    return region


def _nanometres(volume: Volume) -> str:
    return " x ".join(f"{n:g}" for n in volume.voxel_size or ())
