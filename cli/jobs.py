"""The jobs: each command runs the flow of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import typer
from rich.console import Console

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.reached_thresholds import require_reached_thresholds
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import current_state, require_own_layer
from axonloom.stages.tool_stage import require_own_targets
from axonloom.tools import TOOLS
from cli.options import ConfigFile, On, Overrides, with_place
from cli.running import configuration_of, console, run_flow
from tasks.upstream import require_done


def run_job(job: str, configuration: Configuration, say: Console = console) -> Any:
    """Run a job's flow with progress; what it made is printed."""
    module, stages = JOBS[job]

    def flow(given: Configuration) -> Any:
        # Only here: the flows import Prefect, which `--help` and `info` do without.
        return getattr(import_module(f"flows.{module}"), module)(given)

    result = run_flow(job, flow, configuration, stages, say)
    for name, value in (result or {}).items():
        if isinstance(value, str | int | float):
            say.print(f"  {name}: {round(value, 4) if isinstance(value, float) else value}")
    return result


def _train_stages(chain: Chain) -> Iterable[StagePlan]:
    """None, but the volumes are opened and compared, so that what does not fit is said before a server starts."""
    from axonloom.training.configured import open_labelled_volumes

    open_labelled_volumes(chain.configuration)
    return ()


def _infer_stages(chain: Chain) -> Iterable[StagePlan]:
    return (chain.infer,)


def _run_stages(chain: Chain) -> Iterable[StagePlan]:
    require_own_layer(chain.apply)
    require_reached_thresholds(chain)
    return chain.stages()


def _segment_stages(chain: Chain) -> Iterable[StagePlan]:
    if chain.infers:
        require_done(chain.infer)
    require_reached_thresholds(chain)
    return chain.segmenting


def _pool_stages(chain: Chain) -> Iterable[StagePlan]:
    require_done(chain.segmenting[-1])
    require_reached_thresholds(chain)
    return chain.pooling


def _apply_stages(chain: Chain) -> Iterable[StagePlan]:
    require_done(chain.pool)
    return chain.writing


def _merge_stages(chain: Chain) -> Iterable[StagePlan]:
    return *_pool_stages(chain), *chain.writing


def _evaluate_stages(chain: Chain) -> Iterable[StagePlan]:
    require_done(chain.pool)
    return (chain.contingency,)


def _failed_stages(chain: Chain) -> Iterable[StagePlan]:
    return (plan for plan in chain.all_stages() if current_state(plan).failed)


def _tool_stages(tool: str) -> Callable[[Chain], Iterable[StagePlan]]:
    def stages(chain: Chain) -> Iterable[StagePlan]:
        plans = TOOLS[tool](chain.configuration)
        require_own_targets(plans)
        return plans

    return stages


#: What a job needs is looked at with its stages, before a server starts: a refusal comes first.
#: Job -> flow (module and function of one name), and the stages whose progress it shows.
JOBS: dict[str, tuple[str, Callable[[Chain], Iterable[StagePlan]]]] = {
    "run": ("reconstruct", _run_stages),
    "train": ("train", _train_stages),
    "infer": ("infer", _infer_stages),
    "segment": ("segment", _segment_stages),
    "merge": ("merge", _merge_stages),
    "pool": ("pool", _pool_stages),
    "apply": ("apply", _apply_stages),
    "evaluate": ("evaluate", _evaluate_stages),
    "retry-failed": ("retry_failed", _failed_stages),
    **{tool: (tool, _tool_stages(tool)) for tool in TOOLS},
}

HELP = {
    "run": "Images (or affinities) to a segmentation: infer, segment, merge, and evaluate where there are labels.",
    "segment": "Affinities to fragments and the contacts between them (or to segments of each block, by waterz or mutex watershed).",
    "merge": "Fragments to the segmentation: agglomerate (multicut, overlap), pool, apply.",
    "pool": "Fragments to the table of segment ids (the first half of merge).",
    "apply": "The table to the segmentation (the second half of merge).",
    "retry-failed": "Just the failed blocks of all stages, once more; says which command goes on from there.",
}


def add_jobs(app: typer.Typer) -> None:
    """One command a job."""
    for job, text in HELP.items():
        app.command(job, help=text)(_command(job))


def _command(job: str) -> Callable[..., None]:
    def command(config: ConfigFile = None, overrides: Overrides = None, on: On = None) -> None:
        run_job(job, configuration_of(config, with_place(overrides, on)))

    return command
