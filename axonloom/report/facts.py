"""What a report says of a chain: gathered from its configuration, ledgers and scores as they lie on disk; nothing is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from axonloom.block_sets import shown
from axonloom.chain import Chain
from axonloom.config.volumes import VolumeSettings
from axonloom.provenance import software
from axonloom.stage_status import StageStatus, stage_status
from axonloom.stages.inputs import open_configured
from axonloom.stages.scores import scores_path
from axonloom.volumes import VolumeError

#: Lines of different failures of a stage, at most.
MOST_FAILURES = 20


@dataclass(frozen=True)
class InputFacts:
    """A volume that the chain reads: its name in the configuration, where it lies, and what it is (None: unreadable now)."""

    name: str
    uri: str
    what: str | None


@dataclass(frozen=True)
class StageFacts:
    """How a stage stands, and what it took.

    Attributes
    ----------
    title, fingerprint, verdict : as ``axonloom status`` has them
    done, total : blocks
    began, ended : Unix times of the first and the last finished block; None where there is none
    block_seconds : time in all finished blocks, summed over workers
    failures : (blocks, last line of their traceback)
    """

    title: str
    fingerprint: str
    verdict: str
    done: int
    total: int
    began: float | None
    ended: float | None
    block_seconds: float
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportFacts:
    """Everything a report says in words and numbers.

    Attributes
    ----------
    workspace, layer : where everything lies, and the segmentation
    inputs : volumes, and the network where the chain infers
    stages : in the order in which they run
    scores : as :func:`axonloom.stages.scores.score_chain` keeps them; None where nothing was scored
    settings : YAML of what differs from the defaults, which gives the same result with the same inputs
    versions : package -> version, of what runs now
    """

    workspace: str
    layer: str
    inputs: tuple[InputFacts, ...]
    stages: tuple[StageFacts, ...]
    scores: Mapping[str, Any] | None
    settings: str
    versions: Mapping[str, str]

    @property
    def done(self) -> bool:
        return all(stage.verdict == "done" for stage in self.stages)


def gather(chain: Chain) -> ReportFacts:
    """Look at a chain as it is now.

    Raises
    ------
    BadInputError
        A stage cannot be planned: what it needs is not configured, or does not fit.
    """
    return ReportFacts(
        workspace=str(chain.workspace),
        layer=chain.layer,
        inputs=tuple(_inputs(chain)),
        stages=tuple(_stage(stage_status(plan)) for plan in chain.stages()),
        scores=_scores(chain),
        settings=yaml.safe_dump(
            chain.configuration.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
        ),
        versions=software(),
    )


def _inputs(chain: Chain) -> list[InputFacts]:
    volumes = chain.configuration.volumes
    found = []
    for name in ("image", "affinities", "labels", "tissue", "mask"):
        settings: VolumeSettings | None = getattr(volumes, name)
        if settings is not None:
            found.append(InputFacts(f"volumes.{name}", settings.path, _described(settings)))
    if chain.infers:
        from axonloom.stages.infer import planned_checkpoint

        description = planned_checkpoint(chain.infer).description
        channels = ", ".join(description.channels)
        what = (
            f"{description.architecture}, channels {channels}, identity {chain.infer.inputs['checkpoint']['identity']}"
        )
        found.append(InputFacts("network", str(chain.infer.inputs["checkpoint"]["path"]), what))
    return found


def _described(settings: VolumeSettings) -> str | None:
    try:
        volume = open_configured(settings)
    except VolumeError:
        return None
    shape = " x ".join(str(n) for n in volume.shape)
    channels = "" if volume.channels is None else f"{volume.channels} channels of "
    size = "voxel size not known"
    if volume.voxel_size is not None:
        size = f"voxels of {' x '.join(f'{s:g}' for s in volume.voxel_size)} nm"
    return f"{channels}{shape} (z, y, x), {volume.dtype}, {size}"


def _stage(status: StageStatus) -> StageFacts:
    began, ended = status.state.finished_at or (None, None)
    alike = list(status.failed_alike.items())[:MOST_FAILURES]
    return StageFacts(
        title=status.plan.title,
        fingerprint=status.plan.folder.name,
        verdict=status.verdict,
        done=status.done,
        total=status.total,
        began=began,
        ended=ended,
        block_seconds=status.state.seconds,
        failures=tuple((shown(blocks), error) for error, blocks in alike),
    )


def _scores(chain: Chain) -> Mapping[str, Any] | None:
    if chain.configuration.volumes.labels is None:
        return None
    with suppress(FileNotFoundError):
        return json.loads(scores_path(chain).read_text())
    return None
