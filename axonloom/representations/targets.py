"""Several kinds of targets at once, each with losses of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from axonloom.geometry import Zyx
from axonloom.losses.registry import Loss, LossError, loss_called
from axonloom.losses.regularisers import REGULARISERS
from axonloom.representations.affinity import AffinityTarget
from axonloom.representations.balance import border_weights, class_balance
from axonloom.representations.centred_affinity import CentredAffinity
from axonloom.representations.channels import ACTIVATIONS
from axonloom.representations.contour import Contour
from axonloom.representations.dilation import dilated
from axonloom.representations.distance import ObjectDistance, SignedDistance, SkeletonDistance
from axonloom.representations.erosion import eroded
from axonloom.representations.flow import Flow
from axonloom.representations.foreground import Foreground
from axonloom.representations.polarity import Polarity
from axonloom.representations.representation import RepresentationError
from axonloom.representations.semantic import Semantic
from axonloom.representations.small_objects import SmallObjects
from axonloom.representations.target import Target
from axonloom.turn import Seen, Turn

KINDS: dict[str, Callable[..., Target]] = {
    "affinity": AffinityTarget,
    "centred_affinity": CentredAffinity,
    "foreground": Foreground,
    "polarity": Polarity,
    "contour": Contour,
    "distance": ObjectDistance,
    "skeleton_distance": SkeletonDistance,
    "signed_distance": SignedDistance,
    "small_objects": SmallObjects,
    "flow": Flow,
    "semantic": Semantic,
}
Balance = Literal["none", "class", "class_dilated", "border"]
BALANCES: tuple[Balance, ...] = ("none", "class", "class_dilated", "border")


@dataclass(frozen=True)
class Term:
    """One loss of a target.

    Attributes
    ----------
    loss : of :data:`axonloom.losses.registry.LOSSES`
    weight : how much it counts
    balance : how much each voxel counts: alike, the rarer class more (without or with a rim), or the gaps between objects more
    parameters : of the loss
    """

    loss: str
    weight: float = 1.0
    balance: Balance = "none"
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        loss_called(self.loss)
        if self.balance not in BALANCES:
            raise RepresentationError(f"balance is one of {', '.join(BALANCES)}, not {self.balance!r}")

    @property
    def kind(self) -> Loss:
        return loss_called(self.loss)


class _Part:
    """A kind of target, what is done to labels before, and its losses."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        unknown = set(given) - {"kind", "parameters", "erosion", "dilation", "losses"}
        if unknown:
            raise RepresentationError(
                f"a target has kind, parameters, erosion, dilation and losses, not {', '.join(sorted(unknown))}"
            )
        name = given.get("kind")
        if name not in KINDS:
            close = get_close_matches(str(name), KINDS, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KINDS)}"
            raise RepresentationError(f"there is no kind of target {name!r}; {hint}")
        self.name = str(name)
        try:
            self.kind = KINDS[self.name](**given.get("parameters", {}))
        except TypeError as error:
            raise RepresentationError(f"target {name!r} does not take these parameters: {error}") from error
        self.erosion = int(given.get("erosion", 0))
        self.dilation = int(given.get("dilation", 0))
        if self.erosion < 0 or self.dilation < 0:
            raise RepresentationError(f"erosion and dilation are not negative: {self.erosion} and {self.dilation}")
        self.terms = tuple(each if isinstance(each, Term) else Term(**each) for each in given.get("losses", ()))
        if not self.terms:
            self.terms = (Term("class_cross_entropy"),) if self.kind.classes else DEFAULT_TERMS[self.kind.activation]
        for term in self.terms:
            if term.kind.classes != self.kind.classes:
                what = "classes" if self.kind.classes else "channels of numbers"
                raise LossError(f"target {name!r} is {what}, and loss {term.loss!r} is not for them")
            if term.balance in ("class", "class_dilated") and (self.kind.classes or self.kind.activation == "tanh"):
                raise RepresentationError(f"balance {term.balance!r} is for targets of 0 and 1, which {name!r} is not")
        self.balances: tuple[Balance, ...] = tuple(dict.fromkeys(term.balance for term in self.terms))

    @property
    def targets(self) -> int:
        """Channels of the target."""
        return 1 if self.kind.classes else len(self.kind.channels)

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        reach = self.erosion + self.dilation
        low, high = self.kind.margin
        return (low[0], low[1] + reach, low[2] + reach), (high[0], high[1] + reach, high[2] + reach)

    def prepared(
        self, labels: np.ndarray, valid: np.ndarray | None, compat: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Target (targets, z, y, x), and the weights of each balance one after another."""
        changed = dilated(eroded(labels, self.erosion), self.dilation)
        target, known = self.kind.target(changed, None if compat else valid)
        if compat and valid is not None:
            weights = [_masked_as_pytc(balance, target, known, labels, valid) for balance in self.balances]
        else:
            weights = [_weights(balance, target, known, labels) for balance in self.balances]
        return target, np.concatenate(weights)

    def loss(self, logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        by_balance = dict(zip(self.balances, weights.split(self.targets, dim=1), strict=True))
        activated = ACTIVATED[self.kind.activation](logits)
        total = logits.new_zeros(())
        for term in self.terms:
            read = logits if term.kind.reads == "logits" else activated
            total = total + term.weight * term.kind.function(read, target, by_balance[term.balance], **term.parameters)
        return total

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "parameters": self.kind.parameters(),
            "erosion": self.erosion,
            "dilation": self.dilation,
            "losses": [asdict(term) for term in self.terms],
        }


@dataclass(frozen=True)
class _Regulariser:
    """A term of several targets' predictions."""

    kind: str
    targets: tuple[int, ...]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in REGULARISERS:
            raise RepresentationError(f"there is no regulariser {self.kind!r}; there are {', '.join(REGULARISERS)}")

    def require_fit(self, parts: Sequence[_Part]) -> None:
        count, _ = REGULARISERS[self.kind]
        if len(self.targets) != count or not all(0 <= number < len(parts) for number in self.targets):
            raise RepresentationError(
                f"regulariser {self.kind!r} takes {count} of {len(parts)} targets, by their numbers from 0, not {list(self.targets)}"
            )
        if self.kind == "apart" and len(parts[self.targets[0]].kind.channels) != 3:
            raise RepresentationError("regulariser 'apart' is for three channels: two kinds of object and their union")

    def loss(self, outputs: Sequence[Tensor]) -> Tensor:
        return self.weight * REGULARISERS[self.kind][1](*(outputs[number] for number in self.targets))


#: For training; what is stored is 0..1 for all, see :data:`axonloom.representations.channels.ACTIVATIONS`.
ACTIVATED: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda logits: torch.softmax(logits, dim=1),
}
#: By activation, where none are named.
DEFAULT_TERMS: dict[str, tuple[Term, ...]] = {
    "sigmoid": (Term("cross_entropy", 1.0, "class"), Term("dice", 0.5)),
    "tanh": (Term("squared_error"),),
}


def _weights(balance: Balance, target: np.ndarray, known: np.ndarray, labels: np.ndarray) -> npt.NDArray[np.float32]:
    if balance in ("class", "class_dilated"):
        return class_balance(target > 0, known, dilation=1 if balance == "class_dilated" else 0)
    if balance == "border":
        return border_weights(labels)[None] * known
    return known.astype(np.float32)


def _masked_as_pytc(
    balance: Balance, target: np.ndarray, known: np.ndarray, labels: np.ndarray, valid: np.ndarray
) -> npt.NDArray[np.float32]:
    """Weights where a mask says which labels are right, with the mistakes of PyTorch Connectomics; ``known`` is without the mask."""
    inside = known & (valid != 0)
    if balance in ("class", "class_dilated"):
        dilation = 1 if balance == "class_dilated" else 0
        return class_balance(target > 0, inside, dilation=dilation, voxels=int(np.count_nonzero(valid)))
    if balance == "border":
        return border_weights(labels)[None] * known
    return inside.astype(np.float32)


class Targets:
    """Channels for several targets, side by side in the order given.

    Parameters
    ----------
    parts : sequence of dict
        ``kind`` (of :data:`KINDS`), its ``parameters``, ``erosion`` and ``dilation`` of the labels before (voxels, inside sections),
        and ``losses``: each with ``loss``, ``weight``, ``balance`` and ``parameters``; see :class:`Term`.
    regularisers : sequence of dict
        ``kind`` (of :data:`axonloom.losses.regularisers.REGULARISERS`), ``targets`` (their numbers, from 0), ``weight``.
    pytc_compat : bool
        Where a mask says which labels are right, weigh voxels as PyTorch Connectomics does, to repeat old results: class balancing
        divides the ones of all channels by the voxels of one, a pair counts if the voxel it stands at is valid, and border weights
        know no mask.
    """

    name = "targets"

    def __init__(
        self,
        parts: Sequence[Mapping[str, Any]],
        regularisers: Sequence[Mapping[str, Any]] = (),
        pytc_compat: bool = False,
    ) -> None:
        if not parts:
            raise RepresentationError("a network needs at least one target")
        self._parts = [_Part(part) for part in parts]
        self._regularisers = [_Regulariser(**given) for given in regularisers]
        for each in self._regularisers:
            each.require_fit(self._parts)
        self.pytc_compat = pytc_compat

    @property
    def channels(self) -> tuple[str, ...]:
        """Those of a kind that occurs twice are numbered."""
        names: list[str] = []
        for part in self._parts:
            for channel in part.kind.channels:
                again = sum(name == channel or name.startswith(f"{channel}#") for name in names)
                names.append(f"{channel}#{again + 1}" if again else channel)
        return tuple(names)

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        lows, highs = zip(*(part.margin for part in self._parts), strict=True)
        return tuple(cast(Zyx, tuple(max(each) for each in zip(*ends, strict=True))) for ends in (lows, highs))  # pyright: ignore

    def targets(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Targets of all parts, and their weights, one array a part and balance: both float32 (n, z, y, x), of different n."""
        prepared = [part.prepared(labels, valid, self.pytc_compat) for part in self._parts]
        return np.concatenate([target for target, _ in prepared]), np.concatenate([weight for _, weight in prepared])

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The weighted sum of all losses of all parts."""
        outputs = logits.split([len(part.kind.channels) for part in self._parts], dim=1)
        targets = target.split([part.targets for part in self._parts], dim=1)
        weights = weight.split([part.targets * len(part.balances) for part in self._parts], dim=1)
        losses = [p.loss(o, t, w) for p, o, t, w in zip(self._parts, outputs, targets, weights, strict=True)]
        losses += [each.loss(outputs) for each in self._regularisers]
        return torch.stack(losses).sum()

    def activation(self, logits: Tensor) -> Tensor:
        outputs = logits.split([len(part.kind.channels) for part in self._parts], dim=1)
        return torch.cat([ACTIVATIONS[p.kind.activation](o) for p, o in zip(self._parts, outputs, strict=True)], dim=1)

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        found: list[Seen | None] = []
        for part in self._parts:
            first = len(found)
            places = part.kind.seen(turn)
            if part.kind.classes:
                places = tuple(Seen(k) for k in range(len(part.kind.channels)))
            found += [None if p is None else Seen(first + p.channel, p.shift) for p in places]
        return tuple(found)

    def parameters(self) -> dict[str, Any]:
        return {
            "parts": [part.as_json() for part in self._parts],
            "regularisers": [asdict(each) for each in self._regularisers],
            **({"pytc_compat": True} if self.pytc_compat else {}),
        }
