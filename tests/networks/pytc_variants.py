"""Networks as PyTorch Connectomics built them: names of their tensors, and their outputs with weights made from these names."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

from axonloom.networks.registry import build

ARCHITECTURES = {"unet_3d": "residual_unet_3d", "unet_plus_3d": "residual_unet_plus_3d"}
NAMES = {
    "block_type": "block",
    "backbone_type": "backbone",
    "in_channel": "in_channels",
    "out_channel": "out_channels",
    "norm_mode": "norm",
    "act_mode": "act",
    "pad_mode": "padding",
    "is_isotropic": "isotropic",
    "ks": "kernel_sizes",
    "attn": "attention",
}


def formula_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights that depend on the key alone (the fixtures' README): a wrong key gives a wrong output."""
    weights = {}
    for key, shape in shapes.items():
        random = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.zeros(shape, dtype=torch.int64)
            continue
        if key.endswith("running_var"):
            value = 0.5 + random.random_sample(shape)
        elif key.endswith("running_mean"):
            value = 0.1 * random.standard_normal(shape)
        elif len(shape) >= 2:
            value = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        elif key.endswith("weight"):
            value = 1 + 0.1 * random.standard_normal(shape)
        else:
            value = 0.1 * random.standard_normal(shape)
        weights[key] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return weights


def variant(shared: Path, name: str) -> tuple[dict, torch.nn.Module]:
    """What is recorded of a variant, and the same network built here."""
    spec = json.loads((shared / "oracle/pytc/models_v1_spec.json").read_text())["variants"][name]
    parameters = {NAMES.get(key, key): value for key, value in spec["kwargs"].items()}
    return spec, build(ARCHITECTURES.get(spec["arch"], spec["arch"]), **parameters)


def require_keys(spec: dict, network: torch.nn.Module) -> None:
    """The same tensors in the same order, which is that of an optimizer's state."""
    ours = [[key, list(value.shape)] for key, value in network.state_dict().items()]
    assert ours == spec["state_dict"]
    assert sum(p.numel() for p in network.parameters()) == spec["num_params"]


def require_output(shared: Path, name: str) -> None:
    spec, network = variant(shared, name)
    network.load_state_dict(formula_weights({k: tuple(s) for k, s in spec["state_dict"]}))
    image = np.random.RandomState(42).standard_normal(spec["input_shape"]).astype(np.float32)
    with torch.no_grad():
        result = network.eval()(torch.from_numpy(image)).numpy()
    expected = np.load(shared / "oracle/pytc/models_v1_outputs.npz")[f"{name}__y"]
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=0)
