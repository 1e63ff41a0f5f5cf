"""What becomes of each key of PyTorch Connectomics when a network is trained: no key is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Keys of ``MODEL`` that say which network; an architecture reads those that it has, as there.
OF_NETWORKS = frozenset(
    f"MODEL.{key}"
    for key in (
        "ARCHITECTURE", "BLOCK_TYPE", "BACKBONE", "DEPLOY_MODE", "FILTERS", "BLOCKS", "KERNEL_SIZES", "ATTENTION", "ISOTROPY", "IN_PLANES",
        "OUT_PLANES", "PAD_MODE", "NORM_MODE", "ACT_MODE", "POOLING_LAYER", "UNETR_FEATURE_SIZE", "HIDDEN_SIZE", "MLP_DIM",
        "UNETR_NUM_HEADS", "POS_EMBED", "NORM_NAME", "CONV_BLOCK", "RES_BLOCK", "UNETR_DROPOUT_RATE", "SWIN_UNETR_FEATURE_SIZE", "DEPTHS",
        "SWIN_UNETR_NUM_HEADS", "SWIN_UNETR_DROPOUT_RATE", "ATTN_DROP_RATE", "DROPOUT_PATH_RATE", "NORMALIZE", "USE_CHECKPOINT",
        "SPATIAL_DIMS", "DOWNSAMPLE", "USE_V2",
    )
)  # fmt: skip
#: Keys whose values become settings of axonloom's.
MAPPED = OF_NETWORKS | {
    "MODEL.TARGET_OPT", "MODEL.LABEL_EROSION", "MODEL.LABEL_DILATION", "MODEL.WEIGHT_OPT", "MODEL.LOSS_OPTION", "MODEL.OUTPUT_ACT",
    "MODEL.LOSS_WEIGHT", "MODEL.LOSS_KWARGS_KEY", "MODEL.LOSS_KWARGS_VAL", "MODEL.MIXED_PRECESION", "MODEL.INPUT_SIZE",
    "MODEL.OUTPUT_SIZE", "MODEL.REGU_OPT", "MODEL.REGU_TARGET", "MODEL.REGU_WEIGHT",
    "DATASET.DATA_SCALE", "DATASET.IMAGE_SCALE", "DATASET.LABEL_SCALE", "DATASET.VALID_MASK_SCALE", "DATASET.IMAGE_NAME",
    "DATASET.LABEL_NAME", "DATASET.VALID_MASK_NAME", "DATASET.VAL_IMAGE_NAME", "DATASET.VAL_LABEL_NAME", "DATASET.VAL_VALID_MASK_NAME",
    "DATASET.INPUT_PATH", "DATASET.OUTPUT_PATH", "DATASET.IS_ABSOLUTE_PATH",
    "DATASET.IS_ISOTROPIC", "DATASET.DO_2D", "DATASET.NORMALIZE_RANGE", "DATASET.VALID_RATIO", "DATASET.MEAN", "DATASET.STD", "DATASET.MATCH_ACT",
    "SOLVER.NAME", "SOLVER.LR_SCHEDULER_NAME", "SOLVER.ITERATION_SAVE", "SOLVER.ITERATION_TOTAL", "SOLVER.ITERATION_VAL", "SOLVER.BASE_LR",
    "SOLVER.BIAS_LR_FACTOR", "SOLVER.WEIGHT_DECAY", "SOLVER.WEIGHT_DECAY_NORM", "SOLVER.WEIGHT_DECAY_BIAS", "SOLVER.MOMENTUM",
    "SOLVER.BETAS", "SOLVER.GAMMA", "SOLVER.STEPS", "SOLVER.WARMUP_FACTOR", "SOLVER.WARMUP_ITERS", "SOLVER.WARMUP_METHOD",
    "SOLVER.SAMPLES_PER_BATCH", "SOLVER.CLIP_GRADIENTS.ENABLED", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "SOLVER.CLIP_GRADIENTS.CLIP_VALUE",
    "SOLVER.SWA.ENABLED", "SOLVER.SWA.START_ITER", "SOLVER.SWA.MERGE_ITER",
    "SYSTEM.NUM_CPUS",
    "INFERENCE.INPUT_SIZE", "INFERENCE.STRIDE", "INFERENCE.PAD_SIZE", "INFERENCE.BLENDING", "INFERENCE.AUG_NUM", "INFERENCE.AUG_MODE",
}  # fmt: skip

NOT_READ = "PyTorch Connectomics does not read it either"
IN_CHUNKS = "patches are read from all of the volume, and no more of it is kept in memory than train.cache says"
#: Key, what it may be, and why it has no effect otherwise or what stands in its place.
WITHOUT_EFFECT: dict[str, tuple[tuple[Any, ...], str]] = {
    "MODEL.PRE_MODEL": (("",), "give --checkpoint"),
    "MODEL.PRE_MODEL_LAYER": (([""],), "give --checkpoint"),
    "MODEL.PRE_MODEL_ITER": ((0,), "iterations are counted from 0"),
    "MODEL.EMBEDDING": ((1,), NOT_READ),
    "MODEL.HEAD_DEPTH": ((1,), NOT_READ),
    "MODEL.FINETUNE": (("",), NOT_READ),
    "MODEL.EXACT": ((True,), NOT_READ),
    "MODEL.SIZE_MATCH": ((True,), NOT_READ),
    "DATASET.PAD_SIZE": (([0, 0, 0],), "patches lie inside the volume"),
    "DATASET.PAD_MODE": (("reflect",), "patches lie inside the volume"),
    "DATASET.VAL_PAD_SIZE": (([0, 0, 0],), "patches that are judged lie inside the volume"),
    "DATASET.ENSURE_MIN_SIZE": ((False,), "a patch that does not fit is said"),
    "DATASET.REDUCE_LABEL": ((True, False), "labels are read as they are"),
    "DATASET.DO_CHUNK_TITLE": ((0, False), IN_CHUNKS),
    "DATASET.DATA_CHUNK_NUM": (([1, 1, 1],), f"in training {IN_CHUNKS}"),
    "DATASET.DATA_CHUNK_STRIDE": ((True,), IN_CHUNKS),
    "DATASET.DATA_CHUNK_ITER": ((1000,), IN_CHUNKS),
    "DATASET.DISTRIBUTED": ((False,), "every process sees all volumes"),
    "DATASET.REJECT_SAMPLING.DIVERSITY": ((-1,), "patches are drawn again by train.least_labelled"),
    "DATASET.REJECT_SAMPLING.SIZE_THRES": ((-1,), "patches are drawn again by train.least_labelled"),
    "DATASET.REJECT_SAMPLING.P": ((0.95,), "patches are drawn again by train.least_labelled"),
    "DATASET.REJECT_SAMPLING.NUM_TRIAL": ((50,), NOT_READ),
    "SOLVER.ITERATION_STEP": ((1,), "PyTorch Connectomics ignores it too; see train.accumulate"),
    "SOLVER.ITERATION_RESTART": ((False,), "a training in a new folder begins anew"),
    "SOLVER.SWA.LR_FACTOR": ((0.05,), "the learning rate follows its schedule"),
    "SOLVER.SWA.BN_UPDATE_ITER": ((2000,), "statistics of batch normalisation are averaged"),
    "MONITOR.LOG_OPT": (([1, 1, 0],), "losses go to loss.jsonl and the Prefect server"),
    "SYSTEM.NUM_GPUS": ((0, 1), "one process trains, on one GPU where there is one"),
    "SYSTEM.DISTRIBUTED": ((False,), "one process trains"),
    "SYSTEM.PARALLEL": (("DP",), "one process trains"),
    "SYSTEM.DISTRIBUTED_BACKEND": (("nccl",), "one process trains"),
}
#: Keys that say what is shown, and change nothing of what is learned.
SHOWN = frozenset({"MONITOR.VIS_OPT", "MONITOR.ITERATION_NUM", "SYSTEM.DEBUG"})
#: Key and what it has to be: anything else would give another network in silence.
REFUSED: dict[str, tuple[Any, ...]] = {
    "MODEL.AUX_OUT": (False,),
    "MODEL.RETURN_FEATS": (None,),
    "MODEL.TARGET_OPT_MULTISEG_SPLIT": (None,),
    "DATASET.LOAD_2D": (False,),
    "DATASET.DROP_CHANNEL": (False,),
    "DATASET.LABEL_BINARY": (False,),
    "DATASET.LABEL_VAST": (False,),
    "DATASET.LABEL_MAG": (0,),
    "DATASET.DATA_CHUNK_IND": (None,),
    "DATASET.CHUNK_IND_SPLIT": (None,),
    "DATASET.DATA_COORD_RANGE": (None,),
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": (2, 2.0),
}
#: Grey levels of uint8 become -1..1 when a training begins anew; what a checkpoint begins with keeps its own.
WITHOUT_CHECKPOINT: dict[str, tuple[Any, ...]] = {
    "DATASET.MEAN": (0.5,),
    "DATASET.STD": (0.5,),
    "DATASET.MATCH_ACT": ("none", "tanh"),
}


def leaves(section: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The full names (``SOLVER.SWA.ENABLED``) of the keys of a section."""
    for key, value in values.items():
        name = f"{section}.{key}"
        if isinstance(value, Mapping):
            yield from leaves(name, value)
        else:
            yield name


def is_mapped(key: str) -> bool:
    """Whether a key that was set is found in axonloom's configuration."""
    return key in MAPPED or key in REFUSED or key.startswith("AUGMENTOR.")


def not_in_file(key: str) -> str | None:
    """A sentence for a key that is set, and not in a configuration file of axonloom's; None where it is, or has no effect anyway."""
    if is_mapped(key) or key in WITHOUT_EFFECT:
        return None
    if key in SHOWN:
        return f"{key} has no effect: what is shown here is shown without it"
    return f"{key} is not in it: `axonloom infer --pytc-config` reads it"
